"""A task of one's own, for `--task examples/own_task.py:Parity`."""

import random
from dataclasses import dataclass

from sharpen.task.base import RewardSpec, Task
from sharpen.types import Problem, Trace


@dataclass(frozen=True)
class Parity(Task):
    """Is the number of ones even? `1011?` is answered by running parities `1 1 0 1`, then `#odd`."""

    length: int = 6

    name = "parity"
    gives = frozenset({"answer", "solution"})
    rewards = (RewardSpec("correct"), RewardSpec("worked", about="1 when the running parities are all right"))
    splits = ("train", "test")
    max_tokens = 40

    def problem(self, bits: str) -> Problem:
        """The problem of a string of bits."""
        running = " ".join(str(bits[: i + 1].count("1") % 2) for i in range(len(bits)))
        answer = "odd" if running[-1] == "1" else "even"
        return Problem(f"parity:{bits}", f"{bits}?", answer, (running, f"#{answer}"))

    def draw(self, split: str, rng: random.Random) -> Problem:
        """Strings that are 0 when read as numbers modulo 5 are the test split."""
        while True:
            bits = "".join(rng.choice("01") for _ in range(self.length))
            if (int(bits, 2) % 5 == 0) == (split == "test"):
                return self.problem(bits)

    def fixed(self, split: str, n: int) -> list[Problem]:
        """The first ones in the order of numbers."""
        numbers = [i for i in range(2**self.length) if (i % 5 == 0) == (split == "test")]
        return [self.problem(f"{i:0{self.length}b}") for i in numbers[:n]]

    def verify(self, problem: Problem, trace: Trace) -> dict[str, float]:
        """The answer on the last line, and whether the line before it is the worked solution."""
        lines = trace.text.split("\n")
        return {
            "correct": float(lines[-1] == f"#{problem.answer}"),
            "worked": float(lines[:-1] == list(problem.solution[:-1])),
        }

    def answer_of(self, text: str) -> str | None:
        """What follows the last `#`."""
        return text.rpartition("#")[2].strip() or None
