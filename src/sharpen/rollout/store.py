"""Episodes that are kept beyond their iteration: a store, what is drawn from it, and turns taken anew there."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from sharpen.bounds import require
from sharpen.core import Part
from sharpen.rollout.program import Play
from sharpen.types import Group, Sampling, Segment, Trace

if TYPE_CHECKING:
    from sharpen.ctx import Ctx


@dataclass(frozen=True)
class Store(Part):
    """Keep a bare copy of every trace in the store `name`, the newest `size` of them.

    A copy has atoms, texts, rewards of segments, and the columns named in `keep`; credit and verdicts are left behind,
    and so are states of worlds, which need not be plain data. A checkpoint holds the store.
    """

    name: str = "episodes"
    size: int = 10_000
    keep: tuple[str, ...] = ()
    reads: ClassVar[tuple[str, ...]] = ("traces",)

    def __post_init__(self) -> None:
        require(self, "size", self.size >= 1, "1 or more")

    def __call__(self, groups: list[Group], ctx: Ctx) -> list[Group]:
        """The groups go on as they are."""
        kept = ctx.stores[self.name]
        kept += [_bare(t, self.keep) for g in groups for t in g.traces]
        del kept[: -self.size]
        ctx.log(f"store/{self.name}", len(kept))
        return groups


@dataclass(frozen=True)
class Replay(Part):
    """Add `n` traces of the store `name`, drawn uniformly with replacement, each as a group; their agent is `replay`.

    They carry no verdict, so they count in no measure of this iteration's policy. Credit, rewards and rows of one kind
    of trace are had with `By` and `Traces(by=...)`.
    """

    name: str = "episodes"
    n: int = 128
    reads: ClassVar[tuple[str, ...]] = ("traces",)

    def __post_init__(self) -> None:
        require(self, "n", self.n >= 1, "1 or more")

    def __call__(self, groups: list[Group], ctx: Ctx) -> list[Group]:
        """New groups come last; none while the store is empty."""
        kept = ctx.stores[self.name]
        drawn = [ctx.rng.choice(kept) for _ in range(self.n if kept else 0)]
        return groups + [Group(t.problem, [dataclasses.replace(_bare(t, None), agent="replay")]) for t in drawn]


@dataclass(frozen=True)
class Redraw(Part):
    """Add `n` turns that `actor` takes now where a turn of these traces was taken, drawn uniformly with replacement.

    Each is a group of one trace, of the agent `redraw`: the words before the turn as context, and the new turn. No
    world hears it, so it has no reward and no verdict. ArCHer (2402.19446, released code) asks its critics about
    the policy's present action in states of the past.
    """

    n: int = 128
    temperature: float = 1.0
    actor: str = "policy"
    reads: ClassVar[tuple[str, ...]] = ("traces",)
    draws: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require(self, "n", self.n >= 1, "1 or more")
        require(self, "temperature", self.temperature > 0, "above 0")

    def __call__(self, groups: list[Group], ctx: Ctx) -> list[Group]:
        """New groups come last."""
        turns = [(t, i) for g in groups for t in g.traces for i, s in enumerate(t.segments) if s.trainable and len(s)]
        chosen = [ctx.rng.choice(turns) for _ in range(self.n if turns else 0)]
        runs = ctx.play(
            [partial(_again, before=t.segments[:i]) for t, i in chosen],
            [t.problem for t, _ in chosen],
            Sampling(self.temperature),
            self.actor,
        )
        return groups + [Group(traces[0].problem, traces) for traces in runs]


async def _again(play: Play, before: Sequence[Segment]) -> Trace:
    """One turn after what stood before another."""
    context = [dataclasses.replace(s, trainable=False) for s in before]
    return Trace(play.problem, [*context, await play.sample(context)], agent="redraw")


KEPT_WITH = {"mismatch": "logp_old"}
"""Columns that say how another one came about, and stay or go with it."""


def _bare(trace: Trace, keep: tuple[str, ...] | None) -> Trace:
    """A trace without what was said about it, with the columns `keep` (None: all), free to be written on."""
    segments = [
        dataclasses.replace(
            s,
            cols={k: v for k, v in s.cols.items() if keep is None or KEPT_WITH.get(k, k) in keep},
            logp=None,
            state=None,
            info={},
        )
        for s in trace.segments
    ]
    return dataclasses.replace(trace, segments=segments, rewards={}, reward=None, solved=None, info={})
