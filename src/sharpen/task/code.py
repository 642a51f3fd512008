"""Write a small function: `even +3 sum?`, as the lines of its body."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from sharpen.errors import SharpenError
from sharpen.machine import cores
from sharpen.sandbox import Called, Question, call_many, same
from sharpen.task.base import RewardSpec
from sharpen.task.boxed import Boxed
from sharpen.task.procedural import share, whole
from sharpen.task.programs import DIGITS, FOLD, PROBES, SIGNS, counts, drawn, hidden, parts, value, written
from sharpen.types import Problem, Trace

LONGEST = 4000
"""The most characters of a text that is run; a longer one has failed."""

TRIES = 1000

HABITS = ((">", ">=", 0.6), ("<", "<=", 0.6))
"""A careless teacher's bounds: six times in ten they include the number itself."""


@dataclass(frozen=True)
class Code(Boxed):
    """Sizes are numbers of operations on a list `x` of whole numbers. The answer is a function's body, a line each.

    Prompt `>3 *2 sum?`; answer `x=[v for v in x if v>3]`, `x=[v*2 for v in x]`, `return sum(x)`. Any program is right
    that returns what is asked for on eight inputs, which are drawn from the problem's key, stand in no prompt, and show
    any operation that is left out and any `>` or `<` that is taken for `>=` or `<=`. Programs run in a
    sandbox (`sharpen.sandbox`), where no right value is; what they return is compared outside, types told apart. A text
    of more than 4000 characters is not run.

    `habits` are what the teacher of `lesson` has learnt wrongly: with `((">", ">=", 0.6),)` it writes `v>=3` for `v>3`
    six times in ten, and errs at the rate `sloppy` otherwise. `workers` programs run at a time (0: one a core).
    """

    low: int = 2
    high: int = 3
    harder_low: int = 4
    harder_high: int = 5
    habits: tuple[tuple[str, str, float], ...] = HABITS
    sloppy: float = field(default=0.08, kw_only=True)
    workers: int = field(default=0, kw_only=True)

    name = "code"
    unique_answer: ClassVar[bool] = False
    gives = frozenset({"answer", "solution"})
    rewards = (
        RewardSpec("correct", about="1 when the program returns the right value on every input"),
        RewardSpec("passed", about="share of the inputs on which it does"),
        RewardSpec("runs", about="1 when the program returns plain values on every input, right or wrong"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        whole(self.name, "workers", self.workers, 0, 1024)
        for meant, said, chance in self.habits:
            share(self.name, f"the chance of the habit {meant!r}", chance)
            alike = (meant in FOLD) == (said in FOLD) and (said[:1] in DIGITS) == (meant in DIGITS)
            if meant not in SIGNS or said not in SIGNS or meant == said or not alike:
                raise SharpenError(
                    f"Task 'code': the habit {meant!r} -> {said!r} is not an operation and another of its kind. Write "
                    f'habits as ((">", ">=", 0.6),), with operations out of {" ".join(SIGNS)}; both have a digit or '
                    "none, and both end a program or neither."
                )
        self.room(32 * self.harder_high + 8)

    def make(self, size: int, rng: random.Random) -> Problem:
        """Operations at random, drawn again until each of them matters."""
        for _ in range(TRIES):
            operations = drawn(size, rng)
            text = " ".join(operations)
            if counts(operations, PROBES) and counts(operations, hidden(f"{self.name}:{text}")):
                lines = written(operations)
                return self.problem(text, size, lines, "\n".join(lines), operations=text)
        raise SharpenError(
            f"Task 'code': in {TRIES} draws of {size} operations there was none of which each matters. Ask for fewer."
        )

    def inputs(self, problem: Problem) -> list[list[int]]:
        """What a problem's programs are called with."""
        return hidden(f"{self.name}:{problem.info['operations']}")

    def answer_of(self, text: str) -> str | None:
        """The lines without blanks at their ends; None for a text of blanks."""
        return "\n".join(line.rstrip() for line in text.split("\n")).strip("\n") or None

    def verify(self, problem: Problem, trace: Trace) -> Mapping[str, float]:
        """`correct`, `passed` and `runs` of the text the model wrote."""
        return self.verify_many([(problem, trace)])[0]

    def verify_many(self, pairs: Sequence[tuple[Problem, Trace]]) -> list[Mapping[str, float]]:
        """`verify` of every pair, in order; equal texts for one problem run once."""
        texts = [(str(problem.info["operations"]), self.answer_of(trace.text) or "") for problem, trace in pairs]
        first = {key: pairs[i][0] for i, key in reversed(list(enumerate(texts)))}
        asked = [key for key in first if key[1] and len(key[1]) <= LONGEST]
        questions = [Question(source(text), "f", [[x] for x in self.inputs(first[ops, text])]) for ops, text in asked]
        called = call_many(self.box, questions, self.limits, self.workers or cores())
        judged = {key: self._judged(first[key], one) for key, one in zip(asked, called, strict=True)}
        none = {"correct": 0.0, "passed": 0.0, "runs": 0.0}
        return [judged.get(key, none) for key in texts]

    def _judged(self, problem: Problem, called: Called) -> dict[str, float]:
        operations = problem.info["operations"].split(" ")
        right = [same(v, value(operations, x)) for v, x in zip(called.values, self.inputs(problem), strict=True)]
        passed = sum(right) / len(right)
        return {"correct": float(passed == 1.0), "passed": passed, "runs": float(called.clean)}

    def lesson(self, rng: random.Random) -> tuple[Problem, tuple[str, ...]]:
        """A problem of any size, small ones oftener, none held out, and how a careless teacher solves it."""
        problem = self.studied(rng)
        return problem, written([self.meant(o, rng) for o in problem.info["operations"].split(" ")])

    def meant(self, operation: str, rng: random.Random) -> str:
        """What a careless teacher takes an operation for: by habit, else another of its kind at the rate `sloppy`."""
        sign, digit = parts(operation)[0], operation[-1] if operation[-1].isdigit() else ""
        for known, said, chance in self.habits:
            if known == sign and rng.random() < chance:
                return said + digit
        if rng.random() >= self.sloppy:
            return operation
        if digit:
            return sign + rng.choice([d for d in DIGITS[sign] if d != digit])
        return rng.choice(
            [s for s in SIGNS if s not in DIGITS and s[-1] != "=" and s != sign and (s in FOLD) == (sign in FOLD)]
        )


def source(text: str) -> str:
    """The program whose function `f` has a text as its body."""
    return "def f(x):\n" + "\n".join(f" {line}" for line in text.split("\n")) + "\n"
