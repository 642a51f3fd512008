"""What the passes of one optimiser step showed, in one process or in several."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch

from sharpen.ctx import Ctx
from sharpen.errors import SharpenError
from sharpen.parallel.world import World
from sharpen.types import Batch, Scored


class Gap:
    """How far the trainer's log-probs lie from those the rollout reported, on what this very policy drew."""

    def __init__(self) -> None:
        self.total = 0.0
        self.most = 0.0
        self.atoms = 0

    @torch.no_grad()
    def add(self, new: Scored, batch: Batch, label: str) -> None:
        """Count the atoms drawn by `label`, the policy as it is now."""
        segments = [s for t in batch.traces for s in t.actions if len(s)]
        fresh = torch.tensor([s.by == label and not s.moved for s in segments], dtype=torch.bool)[batch.segment]
        if bool(fresh.any()):
            gap = (new.logp - batch.cols["logp_old"])[fresh].abs()
            self.total += float(gap.sum())
            self.most = max(self.most, float(gap.max()))
            self.atoms += len(gap)

    def check(self, limit: float, ctx: Ctx) -> None:
        """Stop the run where the mean is over `limit`: weights were stale, or sampling and training compute different
        things.
        """
        if not self.atoms:
            return
        mean = self.total / self.atoms
        ctx.log("agreement/mean", mean)
        ctx.log("agreement/max", self.most)
        if not mean <= limit:
            raise SharpenError(
                f"Rollout and training disagree in iteration {ctx.step}: the log-probs of the sampled tokens differ by "
                f"{mean:.2g} on average (limit {limit:.2g}), so every ratio would be wrong. The engine has stale or "
                "partial "
                "weights, or computes in another precision. The step was not applied; a recipe that means this to be "
                "so "
                "waives the check `agreement` by name."
            )


@dataclass
class Tally:
    """Losses by term, what the losses show of themselves, atoms trained on, and whether any loss had a gradient."""

    sums: dict[str, float]
    watched: list[tuple[str, float, int]] = field(default_factory=list)
    atoms: int = 0
    heard: bool = False
    gap: Gap = field(default_factory=Gap)

    def of_all(self, world: World) -> Tally:
        """The tallies of all processes as one."""
        gap = self.gap
        plain = [list(self.sums.values()), self.watched, self.atoms, self.heard, [gap.total, gap.most, gap.atoms]]
        told: Iterable[list[Any]] = world.gather(plain)
        whole = Tally(dict.fromkeys(self.sums, 0.0))
        for sums, watched, atoms, heard, (total, most, fresh) in told:
            for label, value in zip(whole.sums, sums, strict=True):
                whole.sums[label] += value
            whole.watched += watched
            whole.atoms += atoms
            whole.heard |= heard
            whole.gap.total += total
            whole.gap.most = max(whole.gap.most, most)
            whole.gap.atoms += fresh
        return whole
