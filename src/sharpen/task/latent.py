"""Tasks of latents: a policy that is no language model draws a vector or a picture, and the task judges that."""

from __future__ import annotations

import math
import random
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor

from sharpen.errors import SharpenError, near
from sharpen.latents import read, shown
from sharpen.task.base import Task
from sharpen.task.procedural import digest, share, whole
from sharpen.types import Problem, Trace


@dataclass(frozen=True)
class Latent(Task):
    """A task whose problems are conditions, few enough to be listed, and whose answers are latents.

    A problem's `info["condition"]` holds the numbers a flow policy is conditioned on. `prompt` is for people. A hash of
    its key decides whether a problem is held out; a `test_share` of all are.

    The base model of such a task is trained by flow matching on `examples`: real data, which a careless source shows
    under the wrong condition at the rate `sloppy`.
    """

    test_share: float = field(default=0.2, kw_only=True)
    sloppy: float = field(default=0.55, kw_only=True)

    shape: ClassVar[tuple[int, ...]]
    """Of a latent."""
    conditions: ClassVar[int]
    """Numbers of a condition."""
    width: ClassVar[int] = 128
    """Width of the base model."""
    batches: ClassVar[int] = 2000
    """Batches of 256 examples it is trained on."""

    gives = frozenset({"answer", "latent"})
    splits = ("train", "test")
    max_tokens = 10

    def __post_init__(self) -> None:
        share(self.name, "sloppy", self.sloppy)
        if not 0 < share(self.name, "test_share", self.test_share) < 1 or not all(self.catalogue.values()):
            raise SharpenError(
                f"Task {self.name!r}: test_share is {self.test_share}, which leaves the train or the test split empty. "
                "Give a number between 0 and 1, such as 0.2."
            )

    @abstractmethod
    def everything(self) -> list[Problem]:
        """Every problem there is."""

    @abstractmethod
    def target(self, problem: Problem) -> Tensor:
        """A latent that earns the top of every reward, `float32[d]`."""

    @abstractmethod
    def judge(self, problem: Problem, x: Tensor) -> Mapping[str, float]:
        """Every named reward of a latent, `float32[d]` of finite numbers."""

    @abstractmethod
    def data(self, problems: list[Problem], gen: torch.Generator) -> Tensor:
        """A real example of each problem, `float32[n, d]`."""

    @abstractmethod
    def answer(self, x: Tensor) -> str | None:
        """What a latent shows, for majority votes."""

    @cached_property
    def mistakable(self) -> dict[str, list[Problem]]:
        """For the key of a problem, those whose data a careless source shows in its place. Here: any."""
        found = self.everything()
        return dict.fromkeys((p.key for p in found), found)

    @cached_property
    def catalogue(self) -> dict[str, list[Problem]]:
        """The problems of each split, in an order that depends on their keys alone."""
        found = sorted(self.everything(), key=lambda p: digest(f"{self.name}/{p.key}"))
        held = {p.key for p in found if digest(p.key) < self.test_share * 2**64}
        return {s: [p for p in found if (p.key in held) == (s == "test")] for s in self.splits}

    def _of(self, split: str) -> list[Problem]:
        if split not in self.splits:
            raise SharpenError(f"Task {self.name!r} has no split {split!r}. {near(split, self.splits)}")
        return self.catalogue[split]

    def draw(self, split: str, rng: random.Random) -> Problem:
        """One problem of the split, all alike likely."""
        return rng.choice(self._of(split))

    def fixed(self, split: str, n: int) -> list[Problem]:
        """The first `n` problems of a split (all where it has fewer)."""
        whole(self.name, "n", n, 0)
        return self._of(split)[:n]

    def latent(self, trace: Trace) -> Tensor | None:
        """What the last denoising step of a trace led to, `float32[d]`; None unless it is a finite latent."""
        atoms = trace.actions[-1].atoms if trace.actions else torch.zeros(0)
        size = math.prod(self.shape)
        if atoms.dim() != 2 or not len(atoms) or atoms.shape[1] != size or not atoms.is_floating_point():
            return None
        return atoms[-1] if bool(atoms[-1].isfinite().all()) else None

    def verify(self, problem: Problem, trace: Trace) -> dict[str, float]:
        """The rewards of the trace's latent; the worst of each where it has none (a text, a number that is none)."""
        x = self.latent(trace)
        if x is None:
            return {r.name: r.low if r.best == "high" else r.high for r in self.rewards}
        return dict(self.judge(problem, x))

    def examples(self, n: int, gen: torch.Generator) -> tuple[list[Problem], Tensor]:
        """`n` problems of the train split and what a careless source shows for each, `float32[n, d]`.

        At the rate `sloppy` it shows the data of another problem (`mistakable`), which may be one that is held out.
        """
        known = self.catalogue["train"]
        asked = [known[i] for i in torch.randint(len(known), (n,), generator=gen).tolist()]
        wrong = (torch.rand(n, generator=gen) < self.sloppy).tolist()
        which = torch.rand(n, generator=gen).tolist()
        others = [self.mistakable[p.key] if w else [p] for p, w in zip(asked, wrong, strict=True)]
        return asked, self.data([o[int(u * len(o))] for o, u in zip(others, which, strict=True)], gen)

    def lesson(self, rng: random.Random) -> tuple[Problem, tuple[str, ...]]:
        """Refused: there is no text to be brought up on."""
        raise SharpenError(
            f"Task {self.name!r} asks for latents, so there are no lessons in words and a language model cannot be "
            "trained for it. Give a flow policy, or a task of texts (`sharpen tasks` says what each gives)."
        )

    def answer_of(self, text: str) -> str | None:
        """What the latent that a text shows is."""
        x = read(text, self.shape)
        return None if x is None else self.answer(x)

    def problem(self, content: str, prompt: str, answer: str, condition: list[float], **info: Any) -> Problem:
        """A problem with its condition."""
        return Problem(f"{self.name}:{content}", prompt, answer, info={**info, "condition": tuple(condition)})

    def text(self, x: Tensor) -> str:
        """A latent as the policy's `decode` shows it."""
        return shown(x, self.shape)


def latent_task(task: Task) -> Latent | None:
    """The task of latents that a task is, or was made from by adding a reward; None for a task of texts."""
    if "latent" not in task.gives:
        return None
    inner = getattr(task, "task", task)
    if not isinstance(inner, Latent):
        raise SharpenError(
            f"Task {task.name!r} says that it gives 'latent' and is no subclass of sharpen.task.latent.Latent. Derive "
            "it from that, or leave 'latent' out of what it gives."
        )
    return inner
