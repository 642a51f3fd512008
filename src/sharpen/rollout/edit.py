"""Stages that change what is in a group: cutting into steps, adding demonstrations, columns scored by an actor."""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch

from sharpen.actor.scoring import scores
from sharpen.core import Part
from sharpen.errors import SharpenError
from sharpen.types import Group, Problem, Segment, Trace

if TYPE_CHECKING:
    from sharpen.actor.base import Actor
    from sharpen.ctx import Ctx


@dataclass(frozen=True)
class Split(Part):
    """Cut drawn segments into steps after each `separator`, so that rewards and credit can stand on steps.

    A step's segment holds its own atoms, log-probs and columns. The separator must end a token: with a character
    tokenizer it always does; a token that runs across it stays with the step it begins in.
    """

    separator: str = "\n"
    reads: ClassVar[tuple[str, ...]] = ("traces",)
    writes: ClassVar[tuple[str, ...]] = ("steps",)

    def __call__(self, groups: list[Group], ctx: Ctx) -> list[Group]:
        """Each trainable segment becomes one or more; given text stays whole."""
        for trace in (t for g in groups for t in g.traces):
            decode = ctx.actors[trace.agent if trace.agent in ctx.actors else "policy"].decode
            trace.segments = [
                p for s in trace.segments for p in (cut(s, decode, self.separator) if s.trainable else [s])
            ]
        return groups


def cut(segment: Segment, decode, separator: str) -> list[Segment]:  # type: ignore[no-untyped-def]
    """A segment's pieces, each ending where `separator` is complete (the last with whatever is left)."""
    ends: list[int] = []
    start = 0
    for i in range(1, len(segment) + 1):
        if decode(segment.atoms[start:i].tolist()).endswith(separator) and i < len(segment):
            ends.append(i)
            start = i
    bounds = [0, *ends, len(segment)]
    out = []
    for a, b in itertools.pairwise(bounds):
        out.append(
            dataclasses.replace(
                segment,
                atoms=segment.atoms[a:b],
                logp=None if segment.logp is None else segment.logp[a:b],
                text=decode(segment.atoms[a:b].tolist()),
                cols={k: v[a:b] for k, v in segment.cols.items()},
                info=dict(segment.info),
                fresh=segment.fresh and a == 0,
            )
        )
    return out


@dataclass(frozen=True)
class Demonstrate(Part):
    """Add the worked solution of each problem as a trace to imitate; nobody drew it, so it has no log-prob."""

    actor: str = "policy"
    writes: ClassVar[tuple[str, ...]] = ("traces",)
    keeps: ClassVar[tuple[str, ...]] = (
        "logp_old",
    )  # it has none, which a loss that takes a ratio refuses unless told otherwise
    needs: ClassVar[tuple[str, ...]] = ("solution",)

    def __call__(self, groups: list[Group], ctx: Ctx) -> list[Group]:
        """One trace a group."""
        for group in groups:
            group.traces.append(demonstration(group.problem, ctx.actors[self.actor]))
        return groups


def worked(problem: Problem) -> str:
    """The worked solution as one text, a step a line. A problem without one is refused."""
    if problem.solution is None:
        raise SharpenError(
            f"Problem {problem.key!r} has no worked solution to learn from. Give every row one, or train with a recipe "
            "that needs only answers (grpo)."
        )
    return "\n".join(problem.solution)


def demonstration(problem: Problem, actor: Actor) -> Trace:
    """The worked solution as a trace to imitate: trainable, drawn by nobody, without a log-prob."""
    return Trace(problem, [*actor.prompt(problem), actor.given(worked(problem))], agent="data")


@dataclass(frozen=True)
class Annotate(Part):
    """Write a column scored by an actor on every trainable atom: log-probs of a reference, values, entropies.

    With `missing`, only on segments that have no such column yet (text that was given gets what drawn text came with).
    """

    actor: str
    want: str = "logp"
    into: str = "logp_ref"
    missing: bool = False
    reads: ClassVar[tuple[str, ...]] = ("traces",)

    @property
    def writes(self) -> tuple[str, ...]:  # type: ignore[override]
        """The column."""
        return (self.into,)

    def __call__(self, groups: list[Group], ctx: Ctx) -> list[Group]:
        """Scores in micro-batches; a segment shared by several traces is written once per trace, to the same values."""
        traces = [t for g in groups for t in g.traces if any(len(s) and self._wanted(s) for s in t.actions)]
        said = scores(ctx.actors[self.actor], traces, self.want, ctx.micro_tokens)
        for trace, values in zip(traces, said, strict=True):
            for segment, mine in zip(trace.actions, torch.split(values, [len(s) for s in trace.actions]), strict=True):
                if self._wanted(segment):
                    segment.put(self.into, mine.clone())
        ctx.cost.scored_tokens += sum(t.length for t in traces)
        return groups

    def _wanted(self, segment: Segment) -> bool:
        return not (self.missing and self.into in segment.cols)
