"""Rewards of several models: brought to one scale, and made one that distrusts what they disagree on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor

from sharpen.bounds import require
from sharpen.core import Part
from sharpen.types import Group

if TYPE_CHECKING:
    from sharpen.ctx import Ctx

MEMBERS = ("rm0", "rm1", "rm2", "rm3", "rm4")
"""Names of the reward models of an ensemble of five, and of their rewards."""

How = Literal["mean", "min", "uncertain"]


def conservative(x: Tensor, how: How, weight: float = 0.5) -> Tensor:
    """One reward out of those of m models, `x[m, N]` to `[N]` (2310.02743, section 3.2).

    `mean`: mean_i x_i. `min`: min_i x_i, worst-case optimisation. `uncertain`: mean_i x_i - `weight` var_i x_i with
    the population variance, uncertainty-weighted optimisation.
    """
    if how == "min":
        return x.amin(0)
    mean = x.mean(0)
    return mean if how == "mean" else mean - weight * ((x - mean) ** 2).mean(0)


@dataclass(frozen=True)
class Conservative(Part):
    """The reward `name`: what `conservative` makes of the rewards `of` several models, which stay as they are.

    Members must be on one scale: put Standardise before it.
    """

    of: tuple[str, ...] = MEMBERS
    how: How = "min"
    weight: float = 0.5
    name: str = "rm"

    def __post_init__(self) -> None:
        require(self, "of", len(self.of) > 0, "the names of one or more rewards")
        require(self, "weight", 0 <= self.weight < math.inf, "0 or more, and finite")

    @property
    def reads(self) -> tuple[str, ...]:  # type: ignore[override]
        """The members' rewards."""
        return ("traces", *(f"reward:{n}" for n in self.of))

    @property
    def writes(self) -> tuple[str, ...]:  # type: ignore[override]
        """The reward's own column."""
        return (f"reward:{self.name}",)

    def __call__(self, groups: list[Group], ctx: Ctx) -> list[Group]:
        """Score every trace; log the mean standard deviation of the members."""
        traces = [t for g in groups for t in g.traces]
        if not traces:
            return groups
        x = torch.tensor([[t.rewards[n] for t in traces] for n in self.of], dtype=torch.float64)
        for trace, value in zip(traces, conservative(x, self.how, self.weight).tolist(), strict=True):
            trace.rewards[self.name] = value
            ctx.log(f"reward/{self.name}", value)
        ctx.log("ensemble/spread", float(x.std(0, correction=0).mean()), len(traces))
        return groups


@dataclass(frozen=True)
class Standardise(Part):
    """Each of the rewards `of`, less its mean and divided by its standard deviation over the first traces it saw.

    Scores of reward models have no natural zero and no unit, so without this a minimum over several would be that of
    whichever lies lowest. The first traces are those of the policy as the recipe finds it.
    """

    of: tuple[str, ...] = ("rm",)
    writes: ClassVar[tuple[str, ...]] = ()

    @property
    def reads(self) -> tuple[str, ...]:  # type: ignore[override]
        """The rewards."""
        return ("traces", *(f"reward:{n}" for n in self.of))

    def init(self) -> dict[str, Any]:
        """Mean and standard deviation by name, once they are known."""
        return {"scale": {}}

    def __call__(self, groups: list[Group], ctx: Ctx) -> list[Group]:
        """Rescale every trace's rewards."""
        traces = [t for g in groups for t in g.traces]
        scale = ctx.state(self)["scale"]
        for name in self.of if traces else ():
            if name not in scale:
                x = torch.tensor([t.rewards[name] for t in traces], dtype=torch.float64)
                scale[name] = [float(x.mean()), max(float(x.std(correction=0)), 1e-6)]
            mean, std = scale[name]
            for trace in traces:
                trace.rewards[name] = (trace.rewards[name] - mean) / std
                ctx.log(f"standardised/{name}", trace.rewards[name])
        return groups
