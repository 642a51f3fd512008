"""Sums of one digit after another: `3+4*7-2?`, from left to right, modulo 10."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from sharpen.errors import SharpenError
from sharpen.task.procedural import share
from sharpen.task.text import MARK
from sharpen.task.worked import Worked
from sharpen.types import Problem

STEP = re.compile(r"([0-9])([-+*])([0-9])=([0-9])")
FACT = re.compile(r"[0-9][-+*][0-9]")


def reckon(a: int, op: str, b: int) -> int:
    """`a op b` modulo 10, for the operators `+`, `-`, `*`; always a digit."""
    return (a + b if op == "+" else a - b if op == "-" else a * b) % 10


HABITS = tuple((f"{a}*{b}", str((a * b + 1) % 10), 0.6) for a in range(10) for b in (6, 7, 8, 9))
"""A careless teacher's tables: six times in ten the products by 6 to 9 come out one too high."""


@dataclass(frozen=True)
class Chain(Worked):
    """Sizes are numbers of operations. Prompt `3+4*7-2?`; steps `3+4=7`, `7*7=9`, `9-2=7`; answer `#7`.

    `habits` are facts that the teacher of `lesson` has learnt wrongly: with `(("7*8", "4", 0.6),)` it writes `7*8=4`
    six times in ten, and errs at the rate `sloppy` otherwise. `corrupt` knows no habits.
    """

    low: int = 5
    high: int = 7
    harder_low: int = 8
    harder_high: int = 10
    habits: tuple[tuple[str, str, float], ...] = HABITS
    sloppy: float = field(default=0.11, kw_only=True)

    name = "chain"

    def __post_init__(self) -> None:
        super().__post_init__()
        for fact, wrong, chance in self.habits:
            share(self.name, f"the chance of the habit {fact!r}", chance)
            right = str(reckon(int(fact[0]), fact[1], int(fact[2]))) if FACT.fullmatch(fact) else None
            if right is None or not re.fullmatch(r"[0-9]", wrong) or wrong == right:
                raise SharpenError(
                    f"Task 'chain': the habit {fact!r} -> {wrong!r} is not a fact and a wrong digit for it. Write "
                    'habits as (("7*8", "4", 0.6),), with the operators + - *, and a digit other than the true one.'
                )
        self.room(6 * self.harder_high + 8)

    def make(self, size: int, rng: random.Random) -> Problem:
        """Digits and operators drawn uniformly."""
        value = rng.randrange(10)
        text, steps = str(value), []
        for _ in range(size):
            op, digit = rng.choice("+-*"), rng.randrange(10)
            text += f"{op}{digit}"
            result = reckon(value, op, digit)
            steps.append(f"{value}{op}{digit}={result}")
            value = result
        return self.problem(text, size, (*steps, f"{MARK}{value}"), str(value), expression=text)

    def is_step(self, line: str) -> bool:
        """Whether a line is like `3+4=7`."""
        return STEP.fullmatch(line) is not None

    def normal(self, answer: str) -> str | None:
        """The digit itself; nothing else is an answer."""
        return answer if re.fullmatch(r"[0-9]", answer) else None

    def right(self, problem: Problem, answer: str) -> bool:
        """Whether it is the digit the chain ends with."""
        text = problem.info["expression"]
        value = int(text[0])
        for op, digit in places(text):
            value = reckon(value, op, int(digit))
        return answer == str(value)

    def check_steps(self, problem: Problem, steps: Sequence[str]) -> list[bool]:
        """A step is valid when it takes the value so far, the next operator and digit of the prompt, and reckons well.

        A step with the next operator and digit takes their place even where it is wrong; any other step takes none.
        """
        text = problem.info["expression"]
        todo, at, value = places(text), 0, text[0]
        done = False
        judged = []
        for step in steps:
            line = step.removesuffix("\n")
            found = STEP.fullmatch(line)
            ok = False
            if done:
                pass
            elif line.startswith(MARK):
                done, ok = True, at == len(todo) and line[1:] == value
            elif found and at < len(todo) and found.group(2, 3) == todo[at]:
                a, op, b, result = found.groups()
                ok = a == value and result == str(reckon(int(a), op, int(b)))
                at, value = at + 1, result
            judged.append(ok)
        return judged

    def slip(self, problem: Problem, rng: random.Random, rate: float) -> tuple[str, ...]:
        """Wrong digits at random among the nine others, each carried into the next step."""
        return self._worked(problem, rng, rate, by_habit=False)

    def careless(self, problem: Problem, rng: random.Random) -> tuple[str, ...]:
        """Wrong digits by habit, else at random at the rate `sloppy`, each carried into the next step."""
        return self._worked(problem, rng, self.sloppy, by_habit=True)

    def _worked(self, problem: Problem, rng: random.Random, rate: float, by_habit: bool) -> tuple[str, ...]:
        text = problem.info["expression"]
        value, steps = int(text[0]), []
        for op, digit in places(text):
            true = reckon(value, op, int(digit))
            said = self.habit(f"{value}{op}{digit}", rng) if by_habit else None
            if said is None:
                said = rng.choice([d for d in range(10) if d != true]) if rng.random() < rate else true
            steps.append(f"{value}{op}{digit}={said}")
            value = said
        return (*steps, f"{MARK}{value}")

    def habit(self, fact: str, rng: random.Random) -> int | None:
        """The digit that habit writes for a fact this time, if it does."""
        for known, wrong, chance in self.habits:
            if known == fact and rng.random() < chance:
                return int(wrong)
        return None


def places(text: str) -> list[tuple[str, str]]:
    """The operators of a chain, each with the digit after it."""
    return list(zip(text[1::2], text[2::2], strict=True))
