"""Choosing how hot to sample and how strictly to select by what a small probe would give to train on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sharpen.bounds import require
from sharpen.core import Part, Wiring
from sharpen.ctx import Metrics
from sharpen.rollout.select import best
from sharpen.types import Group

if TYPE_CHECKING:
    from sharpen.ctx import Ctx

HEATS = tuple(k / 20 for k in range(10, 25))
"""0.5 to 1.2 by 0.05: the temperatures of B-STaR's released code."""

BARS = tuple(k / 10 for k in range(-10, 11))
"""-1 to 1 by 0.1; the released code goes by 0.01."""


@dataclass(frozen=True)
class Balance(Part):
    """Turn the knobs `T` (temperature) and `threshold` to the pair of highest balance score on a probe.

    For each of the `temperatures` the `stages` run on the first `problems` problems of the iteration, on groups of
    their own that are thrown away afterwards; they sample at the knob `T` (`Vary(Sample(...), "temperature", "T")`)
    and give a total reward, which the `thresholds` are compared with. The knobs hold until this part turns them again;
    of equal scores the strictest threshold wins, then the first temperature. What the probe costs is counted, its
    metrics are not logged. B-STaR, 2412.17256, and its released code; there the threshold is chosen anew
    on all that was sampled.
    """

    stages: tuple[Any, ...]
    temperatures: tuple[float, ...] = HEATS
    thresholds: tuple[float, ...] = BARS
    target: int = 8
    problems: int = 64

    def __post_init__(self) -> None:
        warm = self.temperatures != () and all(0 < t < math.inf for t in self.temperatures)
        require(self, "temperatures", warm, "at least one number, all above 0 and finite")
        require(self, "thresholds", self.thresholds != (), "at least one number")
        require(self, "target", self.target >= 1, "1 or more")
        require(self, "problems", self.problems >= 1, "1 or more")

    def wire(self, wiring: Wiring) -> None:
        """The probe has groups of its own; verdicts and totals must be among what its stages write."""
        probe = Wiring(wiring.recipe, wiring.task)
        for stage in self.stages:
            stage.wire(probe)
        for name in ("solved", "reward"):
            if not probe.holds(name):
                probe.refuse(type(self).__name__, name)

    def __call__(self, groups: list[Group], ctx: Ctx) -> list[Group]:
        """The groups as they came."""
        metrics, ctx.metrics = ctx.metrics, Metrics()
        found: dict[tuple[float, float], float] = {}
        for heat in self.temperatures:
            ctx.knobs["T"] = heat
            probe = [Group(g.problem) for g in groups[: self.problems]]
            for stage in self.stages:
                probe = stage(probe, ctx)
            for bar in self.thresholds:
                found[heat, bar] = sum(balance(g, bar, self.target) for g in probe) / max(1, len(probe))
        ctx.metrics = metrics
        chosen = max(found, key=lambda pair: (found[pair], pair[1]))
        ctx.knobs["T"], ctx.knobs["threshold"] = chosen
        ctx.log("balance/T", chosen[0])
        ctx.log("balance/threshold", chosen[1])
        ctx.log("balance/score", found[chosen])
        return groups


def balance(group: Group, threshold: float, target: int = 8) -> float:
    """min(n' / n*, 1) n' / n: of the n different answers above the threshold n' are right, and n* = `target` would do.

    High where many different answers are selected and most of them are right (B-STaR, 2412.17256); 0 where none is
    selected. Repeats are removed before either is counted, as in the released code.
    """
    chosen = best(group, threshold)
    right = sum(bool(t.solved) for t in chosen)
    return min(right / target, 1.0) * right / len(chosen) if chosen else 0.0
