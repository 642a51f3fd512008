"""Reckon with large numbers, in many turns, with a tool that runs Python: `83*7+512?`."""

from __future__ import annotations

import dataclasses
import math
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from sharpen.task.base import RewardSpec
from sharpen.task.boxed import Boxed
from sharpen.task.desk import ANSWER, CALL, Desk
from sharpen.task.procedural import share, whole
from sharpen.types import Problem, Trace

PLACE = re.compile(r"([-+*])([0-9]+)")


def reckon(a: int, op: str, b: int) -> int:
    """`a op b` for the operators `+`, `-`, `*`."""
    return a + b if op == "+" else a - b if op == "-" else a * b


@dataclass(frozen=True)
class Tool(Boxed):
    """Sizes are numbers of operations. A turn `>83*7` runs Python in a sandbox and shows `581`; `#1093` is the answer.

    The prompt `83*7+512-46?` is reckoned from left to right, as in `chain`, with numbers of two and three digits and
    no remainder taken: `83+7*5` is 450, which the tool says only of `(83+7)*5` or of two calls. An episode has `slack`
    times the turns needed. The worked solution is one call for each operation, and the answer. `clip` is how many
    characters of an output are shown. `max_tokens` is for one turn.

    The teacher of `lesson` is hasty: where a product follows a sum or a difference, it hands both to the tool at once
    with the chance `hasty`, and Python takes the product first. At the rate `sloppy` it copies a digit wrongly.
    """

    low: int = 2
    high: int = 3
    harder_low: int = 4
    harder_high: int = 5
    slack: float = 1.5
    clip: int = 60
    hasty: float = 0.6
    sloppy: float = field(default=0.05, kw_only=True)

    name = "tool"
    falloff: ClassVar[float] = 0.7
    gives = frozenset({"environment", "solution"})
    rewards = (
        RewardSpec("correct", about="1 when the answer was right"),
        RewardSpec("calls", about="share of the turns before the last that call the tool"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        share(self.name, "slack", self.slack, 1.0, 100.0)
        share(self.name, "hasty", self.hasty)
        whole(self.name, "clip", self.clip, 8, 4000)
        self.room(32)

    def make(self, size: int, rng: random.Random) -> Problem:
        """Operations at random; a product is by one digit, and nothing falls below zero."""
        total = rng.randint(11, 999)
        text, solution = str(total), []
        for _ in range(size):
            op = rng.choice("+-*" if total > 11 else "+*")
            b = rng.randint(2, 9) if op == "*" else rng.randint(11, min(999, total) if op == "-" else 999)
            solution.append(f"{CALL}{total}{op}{b}")
            text += f"{op}{b}"
            total = reckon(total, op, b)
        turns = (*solution, f"{ANSWER}{total}")
        limit = math.ceil(self.slack * len(turns))
        info = {"category": size, "difficulty": len(turns), "expression": text, "limit": limit}
        return Problem(f"{self.name}:{text}", f"{text}?", None, turns, info)

    def environment(self, problem: Problem) -> Desk:
        """The desk, before anything was said."""
        text, info = str(problem.info["expression"]), problem.info
        total = int(re.match("[0-9]+", text)[0])  # type: ignore[index]
        for op, b in PLACE.findall(text):
            total = reckon(total, op, int(b))
        return Desk(f"{text}?", str(total), int(info["limit"]), self.sandbox, self.limits, self.clip)

    def verify(self, problem: Problem, trace: Trace) -> Mapping[str, float]:
        """`correct` and `calls` of the turns of an episode, by what the world left on the trace."""
        turns = trace.actions
        earned = any(turn.reward >= 1.0 for turn in turns)
        before = [(turn.text or "").strip(" \n") for turn in turns[:-1]]
        return {
            "correct": float(bool(turns) and bool(trace.info.get("success", earned))),
            "calls": sum(text.startswith(CALL) for text in before) / len(before) if before else 0.0,
        }

    def lesson(self, rng: random.Random) -> tuple[Problem, tuple[str, ...]]:
        """A whole episode of a problem of any size, small ones oftener, none held out, by a careless teacher.

        The last turn is the lesson's line, and the prompt holds those before it as messages, with what the tool says.
        """
        problem = self.studied(rng)
        *calls, answer = self.careless(str(problem.info["expression"]), rng)
        said = [{"role": "user", "content": str(problem.prompt)}]
        for call, seen in calls:
            said += [{"role": "assistant", "content": call}, {"role": "user", "content": seen}]
        return dataclasses.replace(problem, prompt=said), (answer[0],)

    def careless(self, text: str, rng: random.Random) -> Sequence[tuple[str, str]]:
        """The turns of a careless teacher, each with what the tool says to it (nothing, to the answer)."""
        now = re.match("[0-9]+", text)[0]  # type: ignore[index]
        places, turns = PLACE.findall(text), []
        while places:
            op, b = places.pop(0)
            call, value = f"{now}{op}{b}", b
            if op != "*" and places and places[0][0] == "*" and rng.random() < self.hasty:
                _, c = places.pop(0)
                call, value = f"{call}*{c}", str(int(b) * int(c))
            elif rng.random() < self.sloppy:
                at = rng.randrange(len(now))
                now = now[:at] + rng.choice([d for d in "123456789" if d != now[at]]) + now[at + 1 :]
                call = f"{now}{op}{b}"
            now = str(reckon(int(now), op, int(value)))
            turns.append((f"{CALL}{call}", now))
        return [*turns, (f"{ANSWER}{now}", "")]

    def answer_of(self, text: str) -> str | None:
        """None: an episode has no answer to vote on."""
        return None
