"""Stages that spend samples where they are needed, and that keep some of what was drawn."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from sharpen.bounds import require
from sharpen.core import Part, Wiring
from sharpen.errors import SharpenError
from sharpen.types import Group, Trace

if TYPE_CHECKING:
    from sharpen.ctx import Ctx


@dataclass(frozen=True)
class SampleUntil(Part):
    """Run `stages` (samples and their verdicts) again and again on the groups that still lack right or wrong answers.

    A group retires once it has `positive` right and `negative` wrong ones, the others after `rounds` rounds
    (Reinforce-Ada, 2510.04996, algorithm 1). k / 2 and k / 2 is its balanced rule for k answers to train on, 1 and 0
    its positive-focused one. Nothing that was drawn is thrown away.
    """

    stages: tuple[Any, ...]
    positive: int = 2
    negative: int = 2
    rounds: int = 4

    def __post_init__(self) -> None:
        require(self, "positive", self.positive >= 0, "0 or more")
        require(self, "negative", self.negative >= 0, "0 or more")
        require(self, "rounds", self.rounds >= 1, "1 or more")

    def wire(self, wiring: Wiring) -> None:
        """The stages always run, so what they write stays; they must bring verdicts."""
        for stage in self.stages:
            stage.wire(wiring)
        if not wiring.holds("solved"):
            wiring.refuse(type(self).__name__, "solved")

    def __call__(self, groups: list[Group], ctx: Ctx) -> list[Group]:
        """All groups, in order; the number of rounds and the share of groups that retired are logged."""
        active, made = groups, 0
        while active and made < self.rounds:
            for stage in self.stages:
                active = stage(active, ctx)
            active = [g for g in active if not self.enough(g)]
            made += 1
        ctx.log("until/rounds", made)
        ctx.log("until/retired", 1 - len(active) / max(1, len(groups)))
        return groups

    def enough(self, group: Group) -> bool:
        """Whether a group has what it needs."""
        right = sum(bool(t.solved) for t in group.traces)
        return right >= self.positive and len(group.traces) - right >= self.negative


@dataclass(frozen=True)
class Thin(Part):
    """At most `n` traces of each group: n // 2 right ones, the rest wrong, more of one kind where the other is short.

    Those drawn first stay, right ones before wrong ones. What was computed over the whole group (credit) is kept
    (2510.04996 and its released code).
    """

    n: int = 4
    reads: ClassVar[tuple[str, ...]] = ("traces", "solved")

    def __post_init__(self) -> None:
        require(self, "n", self.n >= 1, "1 or more")

    def __call__(self, groups: list[Group], ctx: Ctx) -> list[Group]:
        """The same groups with fewer traces."""
        for group in groups:
            right, wrong = ([t for t in group.traces if bool(t.solved) is kind] for kind in (True, False))
            few = max(min(len(right), self.n // 2), self.n - len(wrong))
            ctx.log("thin/kept", min(self.n, len(group.traces)) / max(1, len(group.traces)))
            group.traces = [*right[:few], *wrong[: self.n - min(few, len(right))]]
        return groups


@dataclass(frozen=True)
class KeepBest(Part):
    """In each group the traces whose total reward is above `above`, best first, equal texts once, none that was cut.

    `fill` > 0 allows each group the least number of traces at which `fill` stay in all: easy problems do not crowd
    out hard ones (B-STaR, 2412.17256, released code).
    """

    above: float = 0.0
    fill: int = 0
    reads: ClassVar[tuple[str, ...]] = ("traces", "reward")

    def __post_init__(self) -> None:
        require(self, "above", not math.isnan(self.above), "a number")
        require(self, "fill", self.fill >= 0, "0 (all) or more")

    def __call__(self, groups: list[Group], ctx: Ctx) -> list[Group]:
        """The same groups with fewer traces, perhaps none."""
        kept = [best(g, self.above) for g in groups]
        most = next((m for m in range(1, self.fill + 1) if sum(min(m, len(k)) for k in kept) >= self.fill), None)
        for group, traces in zip(groups, kept, strict=True):
            ctx.log("keep/share", len(traces[:most]) / max(1, len(group.traces)))
            group.traces = traces[:most]
        return groups


def best(group: Group, above: float) -> list[Trace]:
    """The traces of a group that ended by themselves with a total above a threshold, best first, equal texts once."""
    once: dict[str, Trace] = {}
    for trace in group.traces:
        if trace.reward is None:
            raise SharpenError(f"A trace of {trace.problem.key!r} has no total reward; put Total before this part.")
        if trace.end == "stop" and trace.reward > above:
            once.setdefault(trace.text, trace)
    return sorted(once.values(), key=lambda t: -(t.reward or 0.0))
