"""Labels of steps by rolling on: how often does an answer that goes on from here come out right?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from sharpen.bounds import require
from sharpen.core import Part
from sharpen.errors import SharpenError
from sharpen.rollout.program import Play, Program
from sharpen.types import Group, Problem, Sampling, Segment, Trace

if TYPE_CHECKING:
    from sharpen.ctx import Ctx


@dataclass(frozen=True)
class MonteCarlo(Part):
    """What each step is worth, in [0, 1]: `actor` goes on `n` times from where the step ends, and the task judges.

    `soft`: the share of the continuations that solve the problem, an estimate of Q^actor (Math-Shepherd, 2312.08935,
    section 3.3, SE). `hard`: 1 if one of them does, else 0 (HE). After the last step there is nothing left to draw:
    its label is the trace's own verdict. All continuations of all steps are drawn in one batch; steps that traces
    share as one segment (a tree) are continued once. A continuation may be as long as the rest of the longest answer
    allowed. It is counted as generated and verified, and joins no group.
    """

    n: int = 8
    actor: str = "policy"
    label: Literal["soft", "hard"] = "soft"
    temperature: float = 1.0
    top_p: float = 1.0
    into: str = "mc"
    reads: ClassVar[tuple[str, ...]] = ("traces", "steps", "solved")
    draws: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require(self, "n", self.n >= 1, "1 or more continuations of each step")
        require(self, "temperature", 0 <= self.temperature < math.inf, "0 (greedy) or more, and finite")
        require(self, "top_p", 0 < self.top_p <= 1, "above 0 and at most 1")

    @property
    def writes(self) -> tuple[str, ...]:  # type: ignore[override]
        """The label, on every atom of its step."""
        return (self.into,)

    def __call__(self, groups: list[Group], ctx: Ctx) -> list[Group]:
        """Write the labels; their mean is logged."""
        if "environment" in ctx.task.gives:
            raise SharpenError(
                f"MonteCarlo goes on with one written answer, and task {ctx.task.name!r} is played in turns. Choose "
                "a task whose answers are one text."
            )
        traces = [t for g in groups for t in g.traces if t.length]
        prefixes = _inner(traces)
        values = self._values(list(prefixes.values()), ctx)
        worth = dict(zip(prefixes, values, strict=True))
        for trace in traces:
            for i, s in enumerate(trace.segments):
                if s.trainable and len(s):
                    known = worth.get(_name(trace.segments[: i + 1]), float(bool(trace.solved)))
                    s.put(self.into, known)
                    ctx.log(f"{self.into}/label", known)
        return groups

    def _values(self, prefixes: list[tuple[Problem, list[Segment]]], ctx: Ctx) -> list[float]:
        """The worth of each prefix of a problem's answer."""
        longest = ctx.actors[self.actor].longest
        own = [going_on(prefix, longest) for _, prefix in prefixes]
        runs = ctx.play(
            [program for program in own for _ in range(self.n)],
            [problem for problem, _ in prefixes for _ in range(self.n)],
            Sampling(self.temperature, self.top_p),
            self.actor,
        )
        ends = [trace for (trace,) in runs]
        right = [ctx.task.solved(r) for r in ctx.world.verify(ctx.task, [(t.problem, t) for t in ends])]
        ctx.cost.traces += len(ends)
        ctx.cost.verifier_calls += len(ends)
        shares = [sum(right[i : i + self.n]) / self.n for i in range(0, len(right), self.n)]
        return shares if self.label == "soft" else [float(s > 0) for s in shares]


def going_on(prefix: Sequence[Segment], longest: int) -> Program:
    """The program that ends an answer begun with `prefix`, within `longest` drawn atoms of the whole answer."""
    room = max(1, longest - sum(len(s) for s in prefix if s.trainable))

    async def rest(play: Play) -> Trace:
        drawn = await play.sample(prefix, max_tokens=room)
        return Trace(play.problem, [*prefix, drawn], end="length" if drawn.info.get("end") == "length" else "stop")

    return rest


def _inner(traces: Sequence[Trace]) -> dict[tuple[int, ...], tuple[Problem, list[Segment]]]:
    """Every different prefix that ends with a step and is not a whole answer, by the identity of its segments."""
    out: dict[tuple[int, ...], tuple[Problem, list[Segment]]] = {}
    for trace in traces:
        steps = [i for i, s in enumerate(trace.segments) if s.trainable and len(s)]
        for i in steps[:-1]:
            prefix = trace.segments[: i + 1]
            out.setdefault(_name(prefix), (trace.problem, prefix))
    return out


def _name(prefix: Sequence[Segment]) -> tuple[int, ...]:
    return tuple(id(s) for s in prefix)
