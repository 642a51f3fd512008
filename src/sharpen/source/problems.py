"""Sources that draw from the run's task or from ready groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sharpen.bounds import require
from sharpen.core import Part
from sharpen.types import Group, Problem

if TYPE_CHECKING:
    from sharpen.ctx import Ctx


@dataclass(frozen=True)
class Uniform(Part):
    """Problems of one split of the run's task, each as likely as the task makes it."""

    split: str = "train"

    def draw(self, n: int, ctx: Ctx) -> list[Problem]:
        """`n` problems, drawn independently."""
        return [ctx.task.draw(self.split, ctx.rng) for _ in range(n)]

    def observe(self, groups: list[Group], ctx: Ctx) -> None:
        """Nothing to learn from them."""


@dataclass(frozen=True)
class Pass(Part):
    """The first `size` problems of a split in an order shuffled anew each epoch: the way a fixed data set is gone
    through.
    """

    size: int = 1024
    split: str = "train"

    def __post_init__(self) -> None:
        require(self, "size", self.size >= 1, "1 or more")

    def init(self) -> dict[str, list[int]]:
        """Indices still to come in this epoch."""
        return {"left": []}

    def draw(self, n: int, ctx: Ctx) -> list[Problem]:
        """The next `n` of the epoch, and of the next ones when it ends."""
        problems = ctx.task.fixed(self.split, self.size)
        left = ctx.state(self)["left"]
        out: list[Problem] = []
        while len(out) < n:
            if not left:
                left += ctx.rng.sample(range(len(problems)), len(problems))
            out.append(problems[left.pop()])
        return out

    def observe(self, groups: list[Group], ctx: Ctx) -> None:
        """Nothing to learn from them."""
