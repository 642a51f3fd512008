"""Stages made of stages: order and condition instead of subclasses."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from sharpen.bounds import require
from sharpen.core import Part, Wiring, columns_read, reads
from sharpen.types import Group

if TYPE_CHECKING:
    from sharpen.ctx import Ctx


@reads("solved")
def mixed(group: Group) -> bool:
    """True of a group in which some traces solved the problem and some did not."""
    return 0 < sum(bool(t.solved) for t in group.traces) < len(group.traces)


@reads("solved")
def all_failed(group: Group) -> bool:
    """True of a group without a solution."""
    return not any(t.solved for t in group.traces)


@reads("solved")
def any_solved(group: Group) -> bool:
    """True of a group with a solution."""
    return any(t.solved for t in group.traces)


@reads("solved")
def all_solved(group: Group) -> bool:
    """True of a group of solutions only."""
    return bool(group.traces) and all(t.solved for t in group.traces)


def _run(stages: tuple[Any, ...], groups: list[Group], ctx: Ctx) -> list[Group]:
    for stage in stages:
        groups = stage(groups, ctx)
    return groups


def _require(part: Part, wiring: Wiring) -> None:
    for name in columns_read(part):
        if not wiring.holds(name):
            wiring.refuse(type(part).__name__, name)


@dataclass(frozen=True)
class When(Part):
    """Run `stages` on the groups that satisfy `test` (extra rollouts, hints).

    The others pass unchanged, all in order.
    """

    test: Callable[[Group], bool]
    stages: tuple[Any, ...]

    def wire(self, wiring: Wiring) -> None:
        """The test must be answerable before; columns that only these stages write are not counted on after."""
        _require(self, wiring)
        wiring.branch(self.stages)

    def __call__(self, groups: list[Group], ctx: Ctx) -> list[Group]:
        """The other groups as they are, the chosen ones as the stages leave them; groups the stages add come last."""
        chosen = [g for g in groups if self.test(g)]
        ctx.log(f"when/{self.test.__name__}", len(chosen) / max(1, len(groups)))
        return _some(self.stages, groups, chosen, ctx)


def _some(stages: tuple[Any, ...], groups: list[Group], chosen: list[Group], ctx: Ctx) -> list[Group]:
    """All groups in order, the chosen ones as the stages leave them; groups the stages add come last."""
    if not chosen:
        return groups
    hit = {id(g) for g in chosen}
    made = {id(g): g for g in _run(stages, chosen, ctx)}
    kept = [g for g in groups if id(g) not in hit or id(g) in made]
    return kept + [g for key, g in made.items() if key not in hit]


@dataclass(frozen=True)
class By(Part):
    """Run `stages` on the groups all of whose traces are of one `agent`: credit of a verifier's verdicts beside that of
    the solutions they judge, targets of replayed episodes.

    What the stages write counts as written. Updates choose the same traces by `Traces(by=agent)`; on those of another
    agent the columns are unknown.
    """

    agent: str
    stages: tuple[Any, ...]

    def wire(self, wiring: Wiring) -> None:
        """The stages, in order; what other agents' columns were used for does not bind them."""
        before, wiring.used = wiring.used, {}
        for stage in self.stages:
            stage.wire(wiring)
        wiring.used = before | wiring.used

    def __call__(self, groups: list[Group], ctx: Ctx) -> list[Group]:
        """The other groups pass unchanged, all in order; groups the stages add come last."""
        chosen = [g for g in groups if g.traces and all(t.agent == self.agent for t in g.traces)]
        return _some(self.stages, groups, chosen, ctx)


@dataclass(frozen=True)
class Refill(Part):
    """Run `stages` on fresh problems until as many groups as were asked for pass `keep` (dynamic sampling, 2503.14476).

    After `rounds` it goes on with what there is. The source is shown the refused groups at once.
    """

    stages: tuple[Any, ...]
    keep: Callable[[Group], bool] = mixed
    rounds: int = 8

    def __post_init__(self) -> None:
        require(self, "rounds", self.rounds >= 1, "1 or more")

    def wire(self, wiring: Wiring) -> None:
        """The stages always run, so what they write stays."""
        for stage in self.stages:
            stage.wire(wiring)
        _require(self, wiring)

    def __call__(self, groups: list[Group], ctx: Ctx) -> list[Group]:
        """At most as many groups as came in."""
        want = len(groups)
        kept: list[Group] = []
        for round_ in range(self.rounds):
            groups = _run(self.stages, groups, ctx)
            kept += [g for g in groups if self.keep(g)]
            ctx.observe([g for g in groups if not self.keep(g)])
            if len(kept) >= want or round_ == self.rounds - 1:
                break
            groups = ctx.draw(want - len(kept))
        ctx.log("refill/rounds", round_ + 1)
        ctx.log("refill/kept", len(kept) / max(1, want))
        return kept[:want]


@dataclass(frozen=True)
class Keep(Part):
    """Only the groups that satisfy `test` go on; the source is shown the others."""

    test: Callable[[Group], bool] = mixed
    reads: ClassVar[tuple[str, ...]] = ("traces",)

    def __call__(self, groups: list[Group], ctx: Ctx) -> list[Group]:
        """The kept groups, in order."""
        ctx.observe([g for g in groups if not self.test(g)])
        return [g for g in groups if self.test(g)]


Schedule = Callable[[float], float]
"""A number as a function of the run's progress, 0 to 1."""


@dataclass(frozen=True)
class Linear(Part):
    """From `start` to `end` in a straight line."""

    start: float
    end: float

    def __call__(self, progress: float) -> float:
        """The value at some progress."""
        return self.start + (self.end - self.start) * min(1.0, max(0.0, progress))


@dataclass(frozen=True)
class Cosine(Part):
    """From `start` to `end` along half a cosine, slow at both ends: end + (start - end)(1 + cos(pi p)) / 2."""

    start: float
    end: float

    def __call__(self, progress: float) -> float:
        """The value at some progress p."""
        half = (1 + math.cos(math.pi * min(1.0, max(0.0, progress)))) / 2
        return self.end + (self.start - self.end) * half


@dataclass(frozen=True)
class Decay(Part):
    """From `start` down by the factor e^-`rate` over the run: start x exp(-rate x progress)."""

    start: float
    rate: float

    def __call__(self, progress: float) -> float:
        """The value at some progress."""
        return self.start * math.exp(-self.rate * progress)


@dataclass(frozen=True)
class Vary(Part):
    """A stage one field of which changes during the run, by a schedule of progress or by a knob another part turns.

    Fields themselves stay plain numbers. The value in use is logged. The part must be without memory.
    """

    part: Any
    field: str
    by: Schedule | str

    def __post_init__(self) -> None:
        if self.part.init() is not None:
            raise ValueError(
                f"{type(self.part).__name__} remembers things between iterations, so its fields cannot vary"
            )
        if self.field not in {f.name for f in dataclasses.fields(self.part)}:
            raise ValueError(f"{type(self.part).__name__} has no field {self.field!r}")

    def wire(self, wiring: Wiring) -> None:
        """The part it varies."""
        self.part.wire(wiring)

    def __call__(self, groups: list[Group], ctx: Ctx) -> list[Group]:
        """Run the part with the value of the moment."""
        start = getattr(self.part, self.field)
        value = ctx.knobs.get(self.by, start) if isinstance(self.by, str) else self.by(ctx.progress)
        value = type(start)(value)
        ctx.log(f"vary/{type(self.part).__name__}.{self.field}", value)
        out: list[Group] = dataclasses.replace(self.part, **{self.field: value})(groups, ctx)
        return out
