"""Variants of built-in tasks that claims are tested on."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from sharpen.actor.nano import Nano
from sharpen.claims.base import Base
from sharpen.task.chain import Chain
from sharpen.task.countdown import Countdown
from sharpen.task.deduce import PROOF
from sharpen.task.procedural import share
from sharpen.task.text import MARK, leading, lines, steps_of
from sharpen.task.worked import COMMON
from sharpen.types import Problem, Trace


@dataclass(frozen=True)
class ProvenChain(Chain):
    """`chain` that is solved only by a right answer with every step to it right.

    A digit guessed is right one time in ten, so sixteen guesses hit four times in five and pass@16 of the answer alone
    says nothing of reasoning; three steps guessed are right one time in a thousand.
    """

    rewards = (*COMMON, PROOF)
    main = "proof"

    def verify(self, problem: Problem, trace: Trace) -> Mapping[str, float]:
        """The rewards of `chain`, and `proof`: 1 when the answer is right and no line is wrong."""
        common = super().verify(problem, trace)
        proved = common["correct"] == 1.0 and all(self.check_steps(problem, lines(trace.text)))
        return {**common, "proof": float(proved)}


@dataclass(frozen=True)
class TwoTiers(ProvenChain):
    """`ProvenChain` that is trained on its harder sizes too: every other problem of `train` is one of them.

    None of those is held out, so `test` and `harder` measure either tier.
    """

    def split_of(self, problem: Problem) -> str | None:
        """The split a problem belongs to: one above `high` that is not held out is for training."""
        return super().split_of(problem) or "train"

    def draw(self, split: str, rng: random.Random) -> Problem:
        """One problem; in `train` its tier is drawn first, each as often as the other, then its size."""
        if split != "train" or rng.random() < 0.5:
            return super().draw(split, rng)
        while True:
            problem = self.make(rng.randint(self.harder_low, self.harder_high), rng)
            if not self.held_out(problem):
                return problem


@dataclass(frozen=True)
class SeldomLong(Chain):
    """`chain` whose lessons are seldom long: each next size is half as frequent as the one before."""

    name = "seldom-long"
    falloff: ClassVar[float] = 0.5


FILLER = "ok"
"""A line that is not wrong and says nothing."""


def fillers(text: str) -> int:
    """How many lines of a text say nothing: they are filler, or empty."""
    return sum(line in ("", FILLER) for line in lines(text))


@dataclass(frozen=True)
class PaddedChain(Chain):
    """`chain` whose teacher says `ok` before a line now and then, at the rate `filler` (again and again at that rate).

    Such a line before the answer is valid and takes no place of the prompt's; no reward depends on how many there are.
    It is half as long as a step. There is room for about twenty of them.
    """

    filler: float = field(default=0.2, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        share(self.name, "filler", self.filler, 0.0, 0.9)
        self.room(2 * self.max_tokens)

    def is_step(self, line: str) -> bool:
        """Whether a line is like `3+4=7`, or filler."""
        return line == FILLER or super().is_step(line)

    def check_steps(self, problem: Problem, steps: Sequence[str]) -> list[bool]:
        """As `chain`, with filler valid where no answer stands before it."""
        text = [s.removesuffix("\n") for s in steps]
        valid = iter(super().check_steps(problem, [s for s in text if s != FILLER]))
        done, out = False, []
        for line in text:
            out.append(not done if line == FILLER else next(valid))
            done = done or line.startswith(MARK)
        return out

    def verify(self, problem: Problem, trace: Trace) -> Mapping[str, float]:
        """The rewards of `chain`; in `steps` filler does not count."""
        steps = [s for s in steps_of(trace.text) if s != FILLER]
        right = leading(self.check_steps(problem, steps)) / problem.info["difficulty"]
        return {**super().verify(problem, trace), "steps": min(1.0, right)}

    def careless(self, problem: Problem, rng: random.Random) -> tuple[str, ...]:
        """The solution of `chain`'s careless teacher, with filler."""
        out: list[str] = []
        for line in super().careless(problem, rng):
            while rng.random() < self.filler:
                out.append(FILLER)
            out.append(line)
        return tuple(out)


ABLE = Base(Nano(width=48, layers=2, heads=3, context=160, steps=450, batch=64))
"""A base that writes nearly every line of a chain in its form and one step in five wrong."""

GUESSED = Countdown(low=3, high=3, harder_low=4, harder_high=4, ops="+-", limit=30)
"""Three numbers to add or subtract: 2.7 different sums reach the target on average, and one must guess."""

GUESSING = Base(Nano(width=48, layers=2, heads=3, context=160, steps=1000, batch=64))
"""A base that finds a sum for 4 problems in 10 at once, and for nearly all of them in 16 draws."""
