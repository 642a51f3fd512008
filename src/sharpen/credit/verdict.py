"""Credit from the verdict alone, and from where a problem lies among the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch

from sharpen.core import Part
from sharpen.types import Group
from sharpen.units import Table

if TYPE_CHECKING:
    from sharpen.ctx import Ctx


@dataclass(frozen=True)
class Signed(Part):
    """A constant credit for each verdict: `positive` on a trace that solved its problem, `negative` on one that did
    not.

    No baseline and no scale (2506.01347, section 2: (1, 0) reinforces positives, (0, -1) negatives alone).
    """

    positive: float = 1.0
    negative: float = -1.0
    reads: ClassVar[tuple[str, ...]] = ("traces", "solved")
    writes: ClassVar[tuple[str, ...]] = ("adv",)

    def __call__(self, groups: list[Group], ctx: Ctx) -> list[Group]:
        """Write the credit on every atom."""
        for trace in (t for g in groups for t in g.traces):
            for s in trace.actions:
                s.put("adv", self.positive if trace.solved else self.negative)
        return groups


@dataclass(frozen=True)
class BetaNorm(Part):
    """BNPO's credit: (r - p) / f(p; alpha, beta), p the mean reward of the problem, f the density of a Beta
    distribution.

    With m and v the mean and (unbiased) variance of p over the groups of the batch, a = (m (1 - m) / v - 1) m and
    b = (m (1 - m) / v - 1)(1 - m) are the Beta distribution of the batch's solve rates; alpha = max(1, 1 + a / 3),
    beta = max(1, 1 + b / 3); 1 / f is at most 1e6. alpha = beta = 1 is a plain baseline, 3/2 is GRPO up to a constant.
    Rewards lie in [0, 1]. Source: BNPO, 2506.02864, and its released code.
    """

    reads: ClassVar[tuple[str, ...]] = ("traces", "reward")
    writes: ClassVar[tuple[str, ...]] = ("adv",)

    def __call__(self, groups: list[Group], ctx: Ctx) -> list[Group]:
        """Write the credit; the batch's alpha and beta are logged."""
        groups_with = [g for g in groups if g.traces]
        if not groups_with:
            return groups
        table = Table(groups_with, "trace")
        x, ids = table.get("reward").double(), table.ids("group")
        p = torch.zeros(int(ids.max()) + 1, dtype=torch.float64).index_add(0, ids, x) / torch.bincount(ids)
        alpha, beta = fitted(p)
        ctx.log("beta_norm/alpha", alpha)
        ctx.log("beta_norm/beta", beta)
        density = torch.distributions.Beta(torch.tensor(alpha).double(), torch.tensor(beta).double())
        inside = p.clamp(1e-6, 1 - 1e-6)
        log_density = density.log_prob(inside)  # type: ignore[no-untyped-call]
        weight = (-log_density).exp().clamp(max=1e6)
        credit = (x - p[ids]) * weight[ids]
        table.spread("adv", credit.float())
        ctx.log("groups/signal", float(((p > 0) & (p < 1)).double().mean()), len(p))
        return groups


def fitted(p: torch.Tensor) -> tuple[float, float]:
    """alpha and beta of the reweighing density for the solve rates `p` of a batch; 1 and 1 where they do not vary."""
    m, v = float(p.mean()), float(p.var()) if len(p) > 1 else 0.0
    if v <= 0:
        return 1.0, 1.0
    size = m * (1 - m) / v - 1
    return max(1.0, 1 + size * m / 3), max(1.0, 1 + size * (1 - m) / 3)
