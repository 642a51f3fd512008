"""Tasks that make their problems: sizes, splits that cannot overlap, and fixed sets for evaluation."""

from __future__ import annotations

import hashlib
import random
from abc import abstractmethod
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import ClassVar

from sharpen.errors import SharpenError, near
from sharpen.task.base import Task
from sharpen.types import Problem

TRIES = 20_000
"""Draws after which a split counts as empty."""


def digest(content: str) -> int:
    """A number of 64 bits that depends on nothing but the text (the same on every machine and in every process)."""
    return int.from_bytes(hashlib.sha256(content.encode()).digest()[:8], "big")


def whole(owner: str, name: str, value: object, low: int, high: int | None = None) -> None:
    """Refuse a field that is not a whole number in `[low, high]`."""
    if isinstance(value, int) and not isinstance(value, bool) and low <= value and (high is None or value <= high):
        return
    bound = f"at least {low}" if high is None else f"from {low} to {high}"
    raise SharpenError(
        f"Task {owner!r}: {name} must be a whole number {bound}, and it is {value!r}. Give such a number."
    )


def share(owner: str, name: str, value: object, low: float = 0.0, high: float = 1.0) -> float:
    """Refuse a number that is not in `[low, high]`; the number otherwise."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high:
        return float(value)
    raise SharpenError(
        f"Task {owner!r}: {name} must be a number from {low:g} to {high:g}, and it is {value!r}. Give such a number."
    )


@dataclass(frozen=True)
class Procedural(Task):
    """A task whose problems are generated.

    A hash of its content decides whether a problem is held out; a `test_share` of all are, and which depends on no
    other field. Of the sizes `low..high`, `test` has those held out and `train` the rest. `harder` has those held out
    of the sizes `harder_low..harder_high`, all above `high`. The size shows in the content, so no problem is in two
    splits. Lessons show problems of all sizes, none that is held out.

    `problem.info` holds `category` (the size), `difficulty` (the number of steps before the answer in the worked
    solution), and the content as plain data; judging reads the content there, so the prompt may be rewritten.

    `sloppy` is how often a step is wrong in what `lesson` shows; each next size is `falloff` times as frequent there.
    """

    low: int = 1
    high: int = 1
    harder_low: int = 2
    harder_high: int = 2
    test_share: float = field(default=0.2, kw_only=True)
    sloppy: float = field(default=0.1, kw_only=True)

    smallest: ClassVar[int] = 1
    """Least size there is."""
    largest: ClassVar[int | None] = None
    """Greatest size there is (None: no bound)."""
    unique_answer: ClassVar[bool] = True
    """Whether exactly one answer is right."""
    falloff: ClassVar[float] = 0.85
    """How many lessons there are of a size, for one of the size below."""

    def __post_init__(self) -> None:
        for name in ("low", "high", "harder_low", "harder_high"):
            whole(self.name, name, getattr(self, name), self.smallest, self.largest)
        if not self.low <= self.high < self.harder_low <= self.harder_high:
            raise SharpenError(
                f"Task {self.name!r}: sizes must satisfy low <= high < harder_low <= harder_high, and they are "
                f"{self.low}, {self.high}, {self.harder_low}, {self.harder_high}. Harder problems must be larger than "
                "all others."
            )
        share(self.name, "sloppy", self.sloppy)
        if not 0 < share(self.name, "test_share", self.test_share) < 1:
            raise SharpenError(
                f"Task {self.name!r}: test_share is {self.test_share}, which leaves the train or the test split empty. "
                "Give a number between 0 and 1, such as 0.2."
            )

    @abstractmethod
    def make(self, size: int, rng: random.Random) -> Problem:
        """One problem of a size, at random, whatever its split."""

    def content(self, problem: Problem) -> str:
        """The text whose hash decides between train and test. Problems that give each other away share it."""
        return problem.key

    def held_out(self, problem: Problem) -> bool:
        """Whether a problem is for evaluation only, whatever its size."""
        return digest(self.content(problem)) < self.test_share * 2**64

    def split_of(self, problem: Problem) -> str | None:
        """The split a problem of this task belongs to; None for one above `high` that is not held out."""
        if problem.info["category"] > self.high:
            return "harder" if self.held_out(problem) else None
        return "test" if self.held_out(problem) else "train"

    def draw(self, split: str, rng: random.Random) -> Problem:
        """One problem: the size is uniform, and problems that are not of the split are drawn again."""
        if split not in self.splits:
            raise SharpenError(f"Task {self.name!r} has no split {split!r}. {near(split, self.splits)}")
        low, high = (self.harder_low, self.harder_high) if split == "harder" else (self.low, self.high)
        for _ in range(TRIES):
            problem = self.make(rng.randint(low, high), rng)
            if self.split_of(problem) == split:
                return problem
        raise SharpenError(
            f"Task {self.name!r}: none of {TRIES} problems drawn belongs to the split {split!r}, so there are too few "
            "of these sizes. Widen low..high, or change test_share."
        )

    @property
    def simplest(self) -> int:
        """The least size of which there are problems with these fields, where lessons begin; at most `low`."""
        return self.smallest

    def studied(self, rng: random.Random) -> Problem:
        """A problem for a lesson: of any size from `simplest` to `harder_high`, small ones oftener, none held out."""
        sizes = range(self.simplest, self.harder_high + 1)
        weights = [self.falloff**k for k in range(len(sizes))]
        for _ in range(TRIES):
            problem = self.make(rng.choices(sizes, weights)[0], rng)
            if not self.held_out(problem):
                return problem
        raise SharpenError(
            f"Task {self.name!r}: all of {TRIES} problems drawn are held out, so none is left for lessons. Lower "
            "test_share."
        )

    def fixed(self, split: str, n: int) -> list[Problem]:
        """The first `n` different problems of a stream that depends on the task's name and fields and the split alone.

        Fewer where 1000 draws, or twenty for each one found, bring nothing new. A longer list begins with the shorter
        one.
        """
        whole(self.name, "n", n, 0)
        rng = random.Random(digest(f"{self.name}/{split}"))
        found: dict[str, Problem] = {}
        missed = 0
        while len(found) < n and missed < max(1000, 20 * len(found)):
            problem = self.draw(split, rng)
            missed = missed + 1 if problem.key in found else 0
            found.setdefault(problem.key, problem)
        return list(found.values())

    def room(self, tokens: int) -> None:
        """Set `max_tokens` once, while the task is being built."""
        object.__setattr__(self, "max_tokens", tokens)

    def problem(self, content: str, size: int, solution: tuple[str, ...], answer: str, **info: Hashable) -> Problem:
        """A problem whose prompt is its content and a question mark."""
        steps = len(solution) - 1
        known = {"category": size, "difficulty": steps, **info}
        return Problem(f"{self.name}:{content}", f"{content}?", answer, solution, known)
