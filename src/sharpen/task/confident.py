"""Any text task with a stated confidence: the answer, then a last line `?7`, which says how sure it is."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sharpen.errors import SharpenError
from sharpen.task.base import RewardSpec, Task
from sharpen.task.text import said
from sharpen.types import Problem, Trace

STATED = re.compile(r"(?:\A|\n)\?([0-9])\n?\Z")
"""A last line of a question mark and a digit."""

LAYOUT = RewardSpec("layout", about="1 when there is an answer, and after it a line that states a confidence")


def stated(text: str) -> tuple[str, float | None]:
    """What stands before the confidence line, and the confidence d / 9 of a line `?d`, d from 0 to 9.

    Without such a line the whole text, and None.
    """
    found = STATED.search(text, max(0, len(text) - 4))
    return (text, None) if found is None else (text[: found.start()], int(found[1]) / 9)


def confidence(trace: Trace) -> float | None:
    """The confidence a trace states, in [0, 1]; None where it states none."""
    return stated(trace.text)[1]


@dataclass(frozen=True)
class Confident(Task):
    """A task whose answers end with a line `?d`: the digit d says that the answer is right with probability d / 9.

    Prompts, splits and verdicts are those of `task`, which never sees the line; `layout` is 1 for a text with an answer
    and a confidence. Lessons end with a digit at random, so that a model made from scratch knows the form and nothing
    of how sure it may be; worked solutions end with `?9`. Environments are refused: they judge turns, not a text.
    """

    task: Task

    def __post_init__(self) -> None:
        if "environment" in self.task.gives:
            raise SharpenError(
                f"Task {self.task.name!r} is an environment, and a confidence is stated at the end of one text. Choose "
                "a task that is answered by a text (`sharpen tasks`)."
            )
        if any(r.name == LAYOUT.name for r in self.task.rewards):
            raise SharpenError(
                f"Task {self.task.name!r} has a reward {LAYOUT.name!r} already, as a task with a stated confidence "
                "has. Rename it."
            )
        object.__setattr__(self, "name", f"{self.task.name}+confidence")
        object.__setattr__(self, "gives", self.task.gives & {"answer", "solution"} | {"confidence"})
        object.__setattr__(self, "rewards", (*self.task.rewards, LAYOUT))
        object.__setattr__(self, "main", self.task.main)
        object.__setattr__(self, "splits", self.task.splits)
        object.__setattr__(self, "max_tokens", self.task.max_tokens + 4)

    @property
    def unique_answer(self) -> bool:
        """Whether exactly one answer is right."""
        return bool(getattr(self.task, "unique_answer", False))

    def draw(self, split: str, rng: random.Random) -> Problem:
        """One problem of the task."""
        return _sure(self.task.draw(split, rng))

    def fixed(self, split: str, n: int) -> list[Problem]:
        """The fixed problems of the task."""
        return [_sure(p) for p in self.task.fixed(split, n)]

    def lesson(self, rng: random.Random) -> tuple[Problem, tuple[str, ...]]:
        """The task's lesson and a confidence at random."""
        problem, lines = self.task.lesson(rng)
        return problem, (*lines, f"?{rng.randrange(10)}")

    def verify(self, problem: Problem, trace: Trace) -> Mapping[str, float]:
        """The task's rewards of what stands before the confidence line, and `layout`."""
        return self.verify_many([(problem, trace)])[0]

    def verify_many(self, pairs: Sequence[tuple[Problem, Trace]]) -> list[Mapping[str, float]]:
        """`verify` of every pair, in order, by the task's own `verify_many`."""
        read = [stated(trace.text) for _, trace in pairs]
        bare = [
            (p, replace(trace, segments=said(p, text).segments))
            for (p, trace), (text, _) in zip(pairs, read, strict=True)
        ]
        return [
            {**rewards, LAYOUT.name: float(q is not None and self.task.answer_of(text) is not None)}
            for rewards, (text, q) in zip(self.task.verify_many(bare), read, strict=True)
        ]

    def solved(self, rewards: Mapping[str, float]) -> bool:
        """Whether the task says so."""
        return self.task.solved(rewards)

    def answer_of(self, text: str) -> str | None:
        """The task's answer of what stands before the confidence line."""
        return self.task.answer_of(stated(text)[0])

    def identity(self) -> dict[str, Any]:
        """The task's, and that a confidence follows."""
        return {"name": self.name, "task": self.task.identity()}


def _sure(problem: Problem) -> Problem:
    """A problem whose worked solution ends with full confidence."""
    return problem if problem.solution is None else replace(problem, solution=(*problem.solution, "?9"))
