"""Rows: which traces an update trains on, and which sets of them it compares."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from sharpen.bounds import require
from sharpen.core import Part, reads
from sharpen.errors import SharpenError
from sharpen.types import Group, Sets, Trace

if TYPE_CHECKING:
    from sharpen.ctx import Ctx


def every(trace: Trace) -> bool:
    """True of each trace."""
    return True


@reads("solved")
def solved(trace: Trace) -> bool:
    """True of a trace that solved its problem and ended by itself."""
    return bool(trace.solved) and trace.end == "stop"


@reads("solved")
def failed(trace: Trace) -> bool:
    """True of a trace that did not solve its problem."""
    return not trace.solved


@dataclass(frozen=True)
class Traces(Part):
    """Every trace of the agent `by` (any, without one) that passes `where` and has something to train.

    `most` > 0 keeps at most so many of a problem, different texts first come first (ReST-EM caps at 10: 2312.06585,
    section 4).
    """

    where: Callable[[Trace], bool] = every
    most: int = 0
    by: str = ""
    reads: ClassVar[tuple[str, ...]] = ("traces",)

    def __post_init__(self) -> None:
        require(self, "most", self.most >= 0, "0 (all) or more")

    def __call__(self, groups: list[Group], ctx: Ctx) -> tuple[list[Trace], Sets | None]:
        """Rows in the order of groups."""
        rows: list[Trace] = []
        for group in groups:
            kept = [t for t in group.traces if t.length and self.by in ("", t.agent) and self.where(t)]
            if self.most:
                kept = list({_words(t): t for t in reversed(kept)}.values())[::-1][: self.most]
            rows += kept
        return rows, None


@dataclass(frozen=True)
class Steps(Part):
    """One row a distinct trained segment of the traces that pass `where`: its prefix as context, itself to be trained.

    Traces of a tree share segments, and each is trained on once, however many traces run through it.
    """

    where: Callable[[Trace], bool] = every
    by: str = ""
    reads: ClassVar[tuple[str, ...]] = ("traces",)

    def __call__(self, groups: list[Group], ctx: Ctx) -> tuple[list[Trace], Sets | None]:
        """Rows in the order of groups, traces and steps."""
        rows: list[Trace] = []
        done: set[int] = set()
        for trace in (t for g in groups for t in g.traces if self.by in ("", t.agent) and self.where(t)):
            for i, s in enumerate(trace.segments):
                if s.trainable and len(s) and id(s) not in done:
                    done.add(id(s))
                    before = [dataclasses.replace(p, trainable=False) for p in trace.segments[:i]]
                    rows.append(dataclasses.replace(trace, segments=[*before, s]))
        return rows, None


@dataclass(frozen=True)
class Take(Part):
    """The `n` oldest traces of a store, which leave it, once it holds that many; until then no rows, and no update.

    What is left waits for the next time. `Remember` fills stores.
    """

    store: str
    n: int

    def __post_init__(self) -> None:
        require(self, "n", self.n >= 1, "1 or more")

    @property
    def reads(self) -> tuple[str, ...]:  # type: ignore[override]
        """The store, which some part must fill."""
        return (f"store:{self.store}",)

    def __call__(self, groups: list[Group], ctx: Ctx) -> tuple[list[Trace], Sets | None]:
        """Rows in the order they were stored."""
        held: list[Trace] = ctx.stores[self.store]
        if len(held) < self.n:
            return [], None
        rows, held[:] = held[: self.n], held[self.n :]
        return rows, None


def _words(trace: Trace) -> Any:
    """What makes two traces the same text: the atoms that were drawn."""
    return tuple(tuple(s.atoms.flatten().tolist()) for s in trace.actions)


@reads("reward")
def best(group: Group) -> Trace:
    """The trace with the highest total reward, the first of equals."""
    return max(group.traces, key=_total)


@reads("reward")
def worst(group: Group) -> Trace:
    """The trace with the lowest total reward, the first of equals."""
    return min(group.traces, key=_total)


def _total(trace: Trace) -> float:
    if trace.reward is None:
        raise SharpenError(f"A trace of {trace.problem.key!r} has no total reward; put Total before the update.")
    return trace.reward


@dataclass(frozen=True)
class SaidBy(Part):
    """Selects the first trace of a group that `agent` said (`data`: one that was given)."""

    agent: str

    def __call__(self, group: Group) -> Trace:
        """That trace."""
        for trace in group.traces:
            if trace.agent == self.agent:
                return trace
        raise SharpenError(
            f"Problem {group.problem.key!r} has no trace by {self.agent!r} to compare; its traces are by "
            f"{', '.join(dict.fromkeys(t.agent for t in group.traces))}. Add the stage that makes one, or name another."
        )


@dataclass(frozen=True)
class Pairs(Part):
    """One pair a group, `better` first; a group whose two are the same trace, or of equal reward, gives none.

    Where all rewards are known, the column `gap` of the sets is how much more the better one earned.
    """

    better: Callable[[Group], Trace] = best
    worse: Callable[[Group], Trace] = worst
    reads: ClassVar[tuple[str, ...]] = ("traces",)

    def __call__(self, groups: list[Group], ctx: Ctx) -> tuple[list[Trace], Sets | None]:
        """Rows two by two, and the pairs of their indices."""
        rows: list[Trace] = []
        members: list[tuple[int, ...]] = []
        gaps: list[float | None] = []
        for group in groups:
            if len(group.traces) < 2:
                continue
            one, two = self.better(group), self.worse(group)
            if one is two or (one.reward is not None and one.reward == two.reward):
                continue
            members.append((len(rows), len(rows) + 1))
            rows += [one, two]
            gaps.append(None if one.reward is None or two.reward is None else one.reward - two.reward)
        known = [g for g in gaps if g is not None]
        return rows, Sets(members, {"gap": torch.tensor(known)} if len(known) == len(gaps) else {})
