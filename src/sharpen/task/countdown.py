"""Reach a target from some numbers, each used once: `2 5 7 9=31?`."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from sharpen.errors import SharpenError
from sharpen.task.expression import NUMBER, RANK, Operation, combine, operation, parse, spell
from sharpen.task.procedural import whole
from sharpen.task.text import MARK
from sharpen.task.worked import Worked
from sharpen.types import Problem

STEP = re.compile(rf"({NUMBER})([-+*/])({NUMBER})=({NUMBER})")


@dataclass(frozen=True)
class Countdown(Worked):
    """Sizes are how many numbers there are. The answer is a sum that uses each of them once and comes to the target.

    Prompt `2 5 7 9=31?`; steps such as `5*7=35`, `35-2=33`, ... take two numbers that are there and put their result
    in their place; answer `#5*7-...`. Every result must be a whole number above 0 (so there is no zero and no sign).
    Numbers are drawn from `1..top`, targets and the results on the way to them are at most `limit`, `ops` are the
    operators allowed. Any such sum is right.
    """

    low: int = 2
    high: int = 3
    harder_low: int = 4
    harder_high: int = 4
    top: int = 9
    limit: int = 99
    ops: str = "+-*"

    name = "countdown"
    smallest: ClassVar[int] = 2
    largest: ClassVar[int | None] = 10
    unique_answer: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        whole(self.name, "top", self.top, 1, 999_999)
        whole(self.name, "limit", self.limit, self.top, 999_999)
        if not self.ops or len(set(self.ops)) < len(self.ops) or not set(self.ops) <= set(RANK):
            raise SharpenError(
                f"Task 'countdown': ops must be different operators out of + - * /, and it is {self.ops!r}. Write them "
                "as one text, such as '+-*'."
            )
        digits = len(str(self.limit))
        self.room((self.harder_high - 1) * (4 * digits + 7) + digits + 8)

    def make(self, size: int, rng: random.Random) -> Problem:
        """Numbers drawn uniformly, then two of them combined at random until one is left: the target."""
        for _ in range(1000):
            start = sorted(rng.randint(1, self.top) for _ in range(size))
            pool, steps = list(start), []
            while len(pool) > 1:
                a, b = (pool.pop(rng.randrange(len(pool))) for _ in range(2))
                options = [(op, combine(a, op, b)) for op in self.ops]
                good = [(op, c) for op, c in options if c is not None and c <= self.limit]
                if not good:
                    break
                op, c = rng.choice(good)
                steps.append((a, op, b, c))
                pool.append(c)
            if len(steps) == size - 1:
                text = written(start, steps)
                answer = parse(text)
                assert answer is not None
                content = f"{' '.join(map(str, start))}={pool[0]}"
                solution = (*(f"{a}{op}{b}={c}" for a, op, b, c in steps), f"{MARK}{text}")
                return self.problem(content, size, solution, answer.spelling, numbers=tuple(start), target=pool[0])
        raise SharpenError(
            f"Task 'countdown': 1000 draws of {size} numbers up to {self.top} gave no target up to {self.limit} with "
            f"the operators {self.ops!r}. Allow more operators or a higher limit."
        )

    def is_step(self, line: str) -> bool:
        """Whether a line is like `9*5=45`, with the operators of this task."""
        found = STEP.fullmatch(line)
        return found is not None and found[2] in self.ops

    def normal(self, answer: str) -> str | None:
        """The sum in the spelling that sums alike share: `7*5-2` and `(5*7)-2` are `(5*7)-2`; None if it is no sum."""
        found = parse(answer)
        return None if found is None else found.spelling

    def right(self, problem: Problem, answer: str) -> bool:
        """Whether the sum uses each number once, only operators allowed, and comes to the target."""
        found = parse(answer)
        return (
            found is not None
            and found.value == problem.info["target"]
            and sorted(found.numbers) == sorted(problem.info["numbers"])
            and found.ops <= set(self.ops)
        )

    def check_steps(self, problem: Problem, steps: Sequence[str]) -> list[bool]:
        """A step is valid when it takes two numbers that are there and reckons well; what it claims takes their place.

        That it can still lead to the target is not asked. An answer is valid when it is right and its operations are
        those of the steps.
        """
        pool = Counter(problem.info["numbers"])
        claimed: list[Operation] = []
        done = False
        judged = []
        for step in steps:
            line = step.removesuffix("\n")
            found = STEP.fullmatch(line)
            ok = False
            if done:
                pass
            elif line.startswith(MARK):
                answer = parse(line[1:])
                ok = answer is not None and self.right(problem, line[1:]) and sorted(answer.nodes) == sorted(claimed)
                done = True
            elif found and found[2] in self.ops:
                a, op, b, result = int(found[1]), found[2], int(found[3]), int(found[4])
                there = pool[a] >= 1 and pool[b] >= 1 + (a == b)
                if there:
                    pool.subtract((a, b))
                    pool[result] += 1
                    claimed.append(operation(a, op, b, result))
                ok = there and combine(a, op, b) == result
            judged.append(ok)
        return judged

    def slip(self, problem: Problem, rng: random.Random, rate: float) -> tuple[str, ...]:
        """Another operator written where the worked solution has one, with the result it had; the answer has it too."""
        steps: list[Operation] = []
        for line in (problem.solution or ())[:-1]:
            found = STEP.fullmatch(line)
            assert found is not None
            a, op, b, result = int(found[1]), found[2], int(found[3]), int(found[4])
            others = [o for o in "+-*" if combine(a, o, b) != result]
            steps.append((a, rng.choice(others) if rng.random() < rate else op, b, result))
        lines = (f"{a}{op}{b}={c}" for a, op, b, c in steps)
        return (*lines, f"{MARK}{written(problem.info['numbers'], steps)}")


def written(numbers: Sequence[int], steps: Sequence[Operation]) -> str:
    """The one sum that steps amount to, whatever results they claim."""
    texts = [(n, str(n)) for n in numbers]
    for a, op, b, result in steps:
        left, right = (texts.pop(next(i for i, (n, _) in enumerate(texts) if n == x)) for x in (a, b))
        texts.append((result, spell(left[1], op, right[1])))
    return texts[0][1]
