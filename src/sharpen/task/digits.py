"""Pictures of digits: eight by eight pixels, a digit asked for in a strength of ink."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sharpen.task.base import RewardSpec
from sharpen.task.latent import Latent
from sharpen.types import Problem

SIDE = 8
FONT = (
    ".##. ..#. .##. ###. #..# #### .##. #### .##. .##.",
    "#..# .##. #..# ...# #..# #... #... ...# #..# #..#",
    "#..# ..#. ...# .##. #### ###. ###. ..#. .##. .###",
    "#..# ..#. .##. ...# ...# ...# #..# ..#. #..# ...#",
    "#..# ..#. #... ...# ...# #..# #..# .#.. #..# ...#",
    ".##. .### #### ###. ...# .##. .##. .#.. .##. .##.",
)
"""The digits 0 to 9, four pixels wide and six high."""

PLACES = ((0, 1), (0, 3), (2, 1), (2, 3))
"""Rows and columns a digit may be moved by: any of them is right."""

INK = range(50, 100)
"""Strengths of ink, in percent."""


def mask(digit: int, down: int, right: int) -> Tensor:
    """1 where there is ink, 0 elsewhere: `float32[64]`."""
    picture = torch.zeros(SIDE, SIDE)
    for row, line in enumerate(FONT):
        for column, pixel in enumerate(line.split(" ")[digit]):
            picture[down + row, right + column] = float(pixel == "#")
    return picture.flatten()


MASKS = torch.stack([torch.stack([mask(digit, *place) for place in PLACES]) for digit in range(10)])
"""`float32[10, 4, 64]`, by digit and place."""

PATTERNS = F.normalize(MASKS - MASKS.mean(-1, keepdim=True), dim=-1)
"""The same with mean 0 and length 1: what a picture is correlated with."""

LEGIBLE = 0.5
"""The least correlation with a clean digit at which a picture shows one."""


@dataclass(frozen=True)
class Digits(Latent):
    """Pictures of digits, eight by eight: draw the digit asked for, at any of four places, in the ink asked for.

    A problem is a digit and a strength of ink from 50 to 99 percent; its condition is a number for each digit, 1 for
    the one that is meant, and the strength from -1 to 1. Paper is -1; ink is -1 plus twice its strength.

    `correct` is 1 where the clean digit that the picture correlates with most, at its best place, is the one asked for
    (and the correlation at least 0.5). `likeness` is 1 less half the mean absolute difference of pixels from the clean
    picture, brightness cut off at -1 and 1.
    """

    name = "digits"
    shape = (SIDE, SIDE)
    conditions = 11
    width = 256
    rewards = (
        RewardSpec("correct", about="1 where the picture looks most like the digit that was asked for"),
        RewardSpec("likeness", about="1 for the clean picture in the ink asked for, 0 for its negative"),
    )

    def everything(self) -> list[Problem]:
        """Ten digits in fifty strengths."""
        found = []
        for digit in range(10):
            for ink in INK:
                condition = [*(float(i == digit) for i in range(10)), (ink - 75) / 25]
                prompt = f"the digit {digit} in ink of {ink} percent"
                content = f"{digit} in {ink}"
                found.append(self.problem(content, prompt, str(digit), condition, category=digit, ink=ink / 100))
        return found

    def target(self, problem: Problem) -> Tensor:
        """The clean picture at the first place."""
        return self._clean(problem)[0]

    def _clean(self, problem: Problem) -> Tensor:
        ink: float = problem.info["ink"]
        return 2 * ink * MASKS[problem.info["category"]] - 1

    def judge(self, problem: Problem, x: Tensor) -> dict[str, float]:
        """By the digit it looks most like, and by the distance to the one asked for at the place that suits best."""
        gap = (x.clamp(-1, 1) - self._clean(problem)).abs().mean(1).min()
        return {"correct": float(self.answer(x) == problem.answer), "likeness": 1 - float(gap) / 2}

    def data(self, problems: list[Problem], gen: torch.Generator) -> Tensor:
        """Clean pictures at a random place, blurred by a random amount, with noise."""
        n = len(problems)
        place = torch.randint(len(PLACES), (n,), generator=gen)
        ink = torch.tensor([p.info["ink"] for p in problems])[:, None]
        clean = 2 * ink * MASKS[torch.tensor([p.info["category"] for p in problems]), place] - 1
        pages = F.pad(clean.view(n, 1, SIDE, SIDE), (1, 1, 1, 1), value=-1.0)
        blur = 0.3 * torch.rand(n, 1, generator=gen)
        picture = (1 - blur) * clean + blur * F.avg_pool2d(pages, 3, stride=1).flatten(1)
        return picture + 0.1 * torch.randn(n, SIDE * SIDE, generator=gen)

    def answer(self, x: Tensor) -> str | None:
        """The digit it correlates with most; None where no correlation reaches 0.5."""
        bright = x.clamp(-1, 1)
        match = (PATTERNS @ bright).amax(1) / (bright - bright.mean()).norm().clamp(min=1e-6)
        return str(int(match.argmax())) if float(match.max()) >= LEGIBLE else None
