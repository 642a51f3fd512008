"""Rewards: what the task says of a trace, more of one's own, and what a recipe makes of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from sharpen.bounds import require
from sharpen.core import Part
from sharpen.errors import SharpenError
from sharpen.task.lost import LOST
from sharpen.types import Group, Trace

if TYPE_CHECKING:
    from sharpen.ctx import Ctx


def mean(values: Mapping[str, float], weights: Mapping[str, float]) -> float:
    """Weighted mean of named rewards."""
    return weighted_sum(values, weights) / sum(weights.values())


def weighted_sum(values: Mapping[str, float], weights: Mapping[str, float]) -> float:
    """Sum of weight x reward, the usual total."""
    return sum(w * values[name] for name, w in weights.items())


def gated(values: Mapping[str, float], weights: Mapping[str, float]) -> float:
    """The weighted sum, or 0 unless every weighed reward is above 0: nothing counts without the rest."""
    return weighted_sum(values, weights) if all(values[n] > 0 for n in weights) else 0.0


@dataclass(frozen=True)
class Verify(Part):
    """Ask the task for every named reward of every trace that has none yet, and whether it solved its problem.

    A text that its judge was lost on (`sharpen.task.lost`) is marked `lost` in the trace's info and counted in the
    metric `verifier/lost`, a share. Other parts that ask the task leave it at the line in the log.
    """

    reads: ClassVar[tuple[str, ...]] = ("traces",)
    writes: ClassVar[tuple[str, ...]] = ("reward:*", "solved")

    def __call__(self, groups: list[Group], ctx: Ctx) -> list[Group]:
        """Traces keep rewards they already have, so that this may stand after each of several rollouts."""
        todo = [t for g in groups for t in g.traces if t.solved is None]
        scores = ctx.world.verify(ctx.task, [(t.problem, t) for t in todo])
        marks = all(spec.name != LOST for spec in ctx.task.rewards)  # a task may have a reward of its own of that name
        lost = [marks and bool(rewards.get(LOST)) for rewards in scores]
        for trace, rewards, gone in zip(todo, scores, lost, strict=True):
            for spec in ctx.task.rewards:
                trace.rewards[spec.name] = _valid(rewards[spec.name], spec.name, trace, ctx)
            trace.solved = ctx.task.solved(rewards)
            if gone:
                trace.info[LOST] = True
        ctx.cost.verifier_calls += len(todo)
        if any(lost):
            ctx.log("verifier/lost", sum(lost) / len(todo), len(todo))
        for name in [r.name for r in ctx.task.rewards] if todo else []:
            ctx.log(f"reward/{name}", sum(t.rewards[name] for t in todo) / len(todo), len(todo))
        return groups


@dataclass(frozen=True)
class Reward(Part):
    """One more named reward, computed from a trace by a function."""

    fn: Callable[[Trace], float]
    name: str
    reads: ClassVar[tuple[str, ...]] = ("traces",)

    @property
    def writes(self) -> tuple[str, ...]:  # type: ignore[override]
        """The reward's own column."""
        return (f"reward:{self.name}",)

    def __call__(self, groups: list[Group], ctx: Ctx) -> list[Group]:
        """Score every trace."""
        for trace in (t for g in groups for t in g.traces):
            trace.rewards[self.name] = _valid(self.fn(trace), self.name, trace, ctx)
            ctx.log(f"reward/{self.name}", trace.rewards[self.name])
        return groups


@dataclass(frozen=True)
class Answered(Part):
    """The reward `answered`: 1 where the task finds an answer in the text, right or wrong, else 0."""

    reads: ClassVar[tuple[str, ...]] = ("traces",)
    writes: ClassVar[tuple[str, ...]] = ("reward:answered",)

    def __call__(self, groups: list[Group], ctx: Ctx) -> list[Group]:
        """Score every trace."""
        for trace in (t for g in groups for t in g.traces):
            trace.rewards["answered"] = float(ctx.task.answer_of(trace.text) is not None)
            ctx.log("reward/answered", trace.rewards["answered"])
        return groups


MAIN = "main"
"""Stands in weights for the task's main reward, whatever its name."""


@dataclass(frozen=True)
class Total(Part):
    """The total reward of every trace: `how` of the weighed rewards (without weights: the task's main one, which
    `main` names in weights).

    A reward of weight 0 is recorded and not optimised. `how` may be any function of (values, weights): a gate, a
    product.
    """

    weights: Mapping[str, float] = field(default_factory=dict)
    how: Callable[[Mapping[str, float], Mapping[str, float]], float] = weighted_sum
    writes: ClassVar[tuple[str, ...]] = ("reward",)

    def __post_init__(self) -> None:
        bad = [w for w in self.weights.values() if isinstance(w, float) and not math.isfinite(w)]
        require(self, "weights", not bad, "finite numbers by name")

    @property
    def reads(self) -> tuple[str, ...]:  # type: ignore[override]
        """Every reward that counts."""
        return tuple("reward:*" if name == MAIN else f"reward:{name}" for name in self.weights) or ("reward:*",)

    def __call__(self, groups: list[Group], ctx: Ctx) -> list[Group]:
        """Write the totals."""
        named = {ctx.task.main if n == MAIN else n: w for n, w in self.weights.items() if w}
        weights = named or {ctx.task.main: 1.0}
        for trace in (t for g in groups for t in g.traces):
            trace.reward = self.how(trace.rewards, weights)
            ctx.log("reward/total", trace.reward)
        return groups


def _valid(value: float, name: str, trace: Trace, ctx: Ctx) -> float:
    """A reward that is not a finite number is refused where it arises, with the sample."""
    known = isinstance(value, float) or (isinstance(value, int) and abs(value) < 1 << 64)  # larger ones are no rewards
    if not known or not math.isfinite(value):
        raise SharpenError(
            f"Reward {name!r} of problem {trace.problem.key!r} is {value!r}, not a finite number, in iteration "
            f"{ctx.step}; the text was {trace.text[:200]!r}. Mend the reward function; nothing was trained on this "
            "iteration."
        )
    return float(value)
