"""Losses over the denoising steps of chains that are compared."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from sharpen.bounds import require
from sharpen.core import Part
from sharpen.errors import SharpenError
from sharpen.maths import mean_by
from sharpen.types import Batch, Scored


@dataclass(frozen=True)
class StepPreference(Part):
    """-log sigmoid(beta [log clip(r_w, 1 - eps, 1 + eps) - log clip(r_l, 1 - eps, 1 + eps)]), a mean over steps.

    r = pi / pi_ref of one denoising step; step k of the preferred chain w is compared with step k of the rejected chain
    l, and a pair's loss is the mean over its steps. A ratio outside the clip sends no gradient, so each step can leave
    the reference by eps at most, whatever beta is. Both chains have as many steps.

    DPO's loss (2305.18290, eq. 7) a step at a time: D3PO, 2311.13231, section 4; the clip is that of the authors' code.
    One entry a pair (rows of `Pairs`).
    """

    beta: float = 0.1
    eps: float = 0.1
    ref: str = "logp_ref"
    unit: ClassVar[Literal["set"]] = "set"
    wants: ClassVar[tuple[str, ...]] = ()
    silent_where: ClassVar[str | None] = None
    needs: ClassVar[tuple[str, ...]] = ("latent",)

    def __post_init__(self) -> None:
        require(self, "beta", 0 < self.beta < math.inf, "a number above 0")
        require(self, "eps", 0 < self.eps < 1, "above 0 and below 1")

    @property
    def reads(self) -> tuple[str, ...]:  # type: ignore[override]
        """The reference's log-probs."""
        return (self.ref,)

    def __call__(self, new: Scored, batch: Batch) -> Tensor:
        """`float[M]`, for M pairs."""
        pairs = _pairs(batch)
        gap = new.logp - batch.cols[self.ref]
        inside = gap.clamp(math.log1p(-self.eps), math.log1p(self.eps))
        won, lost, pair = _aligned(inside, batch, pairs)
        return mean_by(-F.logsigmoid(self.beta * (won - lost)), pair, len(pairs))

    def watch(self, new: Scored, batch: Batch) -> dict[str, Tensor]:
        """`accuracy`: the share of steps at which pi prefers what was preferred, more than the reference does.

        `clipped`: the share of steps whose ratio has left the clip.
        """
        gap = new.logp - batch.cols[self.ref]
        won, lost, _ = _aligned(gap, batch, _pairs(batch))
        outside = (gap < math.log1p(-self.eps)) | (gap > math.log1p(self.eps))
        return {"accuracy": (won > lost).float(), "clipped": outside.float()}


def _pairs(batch: Batch) -> list[tuple[int, ...]]:
    members = batch.sets.members if batch.sets else []
    if any(len(m) != 2 for m in members):
        raise SharpenError("StepPreference compares two chains at a time. Give the update rows of pairs (`Pairs`).")
    return members


def _aligned(x: Tensor, batch: Batch, pairs: list[tuple[int, ...]]) -> tuple[Tensor, Tensor, Tensor]:
    """x on the steps of the better chains and on those of the worse ones, and which pair each belongs to."""
    at = [torch.nonzero(batch.trace == t).squeeze(1) for t in range(len(batch.traces))]
    for w, r in pairs:
        if len(at[w]) != len(at[r]):
            raise SharpenError(
                f"Two chains of {batch.traces[w].problem.key!r} have {len(at[w])} and {len(at[r])} denoising steps, so "
                "their steps cannot be compared one by one. Draw all chains with as many steps."
            )
    none = torch.zeros(0, dtype=torch.long)
    won = torch.cat([at[w] for w, _ in pairs] or [none])
    lost = torch.cat([at[r] for _, r in pairs] or [none])
    counts = torch.tensor([len(at[w]) for w, _ in pairs], dtype=torch.long)
    return x[won], x[lost], torch.arange(len(pairs)).repeat_interleave(counts)
