"""Tasks whose solution is written out: steps, then the answer. What they share is judging the three common rewards."""

from __future__ import annotations

import random
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

from sharpen.task.base import RewardSpec
from sharpen.task.procedural import Procedural, share
from sharpen.task.text import final, leading, steps_of
from sharpen.types import Problem, Trace

CORRECT = RewardSpec("correct", about="1 when the only answer, on the last line, is right")
FORMAT = RewardSpec("format", about="1 when every line is a step and the last one the answer")
STEPS = RewardSpec("steps", about="steps before the first wrong one, over the steps of the worked solution, at most 1")
COMMON: tuple[RewardSpec, ...] = (CORRECT, FORMAT, STEPS)


@dataclass(frozen=True)
class Worked(Procedural):
    """A text task. Its `check_steps` judges each step by what the steps before it claim, right or wrong.

    So a student who errs once and then reckons well has one wrong step. A step of a wrong form claims nothing. The
    answer line is a step too: it is valid when it follows from the steps before it, and nothing after it is valid.
    Steps may end with a line feed.
    """

    gives = frozenset({"answer", "solution", "steps"})
    rewards = COMMON

    @abstractmethod
    def is_step(self, line: str) -> bool:
        """Whether a line has the form of a step, whatever it claims."""

    @abstractmethod
    def normal(self, answer: str) -> str | None:
        """One spelling for answers that mean the same; None for what has not the form of an answer."""

    @abstractmethod
    def right(self, problem: Problem, answer: str) -> bool:
        """Whether an answer (what stands after the `#`) is right."""

    @abstractmethod
    def slip(self, problem: Problem, rng: random.Random, rate: float) -> tuple[str, ...]:
        """What `corrupt` gives, for a rate that was checked."""

    def corrupt(self, problem: Problem, rng: random.Random, rate: float) -> tuple[str, ...]:
        """A careless student's solution: each step is wrong with probability `rate`, and what it claims is carried on.

        At rate 0 it is the worked solution.
        """
        return self.slip(problem, rng, share(self.name, "rate", rate))

    def lesson(self, rng: random.Random) -> tuple[Problem, tuple[str, ...]]:
        """A problem of any size, small ones oftener, none held out, and how a careless teacher works it out."""
        problem = self.studied(rng)
        return problem, self.careless(problem, rng)

    def careless(self, problem: Problem, rng: random.Random) -> tuple[str, ...]:
        """What a careless teacher writes: each step is wrong at the rate `sloppy`."""
        return self.slip(problem, rng, self.sloppy)

    def answer_of(self, text: str) -> str | None:
        """The normal spelling of the answer, None where there is not exactly one, on the last line."""
        answer = final(text)
        return None if answer is None else self.normal(answer)

    def verify(self, problem: Problem, trace: Trace) -> Mapping[str, float]:
        """`correct`, `format` and `steps` of the text the model wrote."""
        text = trace.text
        answer, steps = final(text), steps_of(text)
        gold = problem.info["difficulty"]
        well = answer is not None and self.normal(answer) is not None and all(map(self.is_step, steps))
        return {
            "correct": float(answer is not None and self.right(problem, answer)),
            "format": float(well),
            "steps": min(1.0, leading(self.check_steps(problem, steps)) / gold),
        }
