"""Variants of built-in tasks that claims are tested on."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from sharpen.actor.nano import Nano
from sharpen.claims.base import Base
from sharpen.task.chain import Chain
from sharpen.task.countdown import Countdown
from sharpen.task.deduce import PROOF
from sharpen.task.text import lines
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


GUESSED = Countdown(low=3, high=3, harder_low=4, harder_high=4, ops="+-", limit=30)
"""Three numbers to add or subtract: 2.7 different sums reach the target on average, and one must guess."""

GUESSING = Base(Nano(width=48, layers=2, heads=3, context=160, steps=1000, batch=64))
"""A base that finds a sum for 4 problems in 10 at once, and for nearly all of them in 16 draws."""
