"""A policy gradient that also learns from text the policy did not draw where it stands."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from sharpen.bounds import require
from sharpen.core import Part
from sharpen.maths import log_ratio
from sharpen.types import Batch, Scored


@dataclass(frozen=True)
class Shaped(Part):
    """-w A, with w = pi / pi_old where the behaviour is known, and w = f(pi) = pi / (pi + gamma) where it is not.

    Unknown are atoms that were given, and those moved here from another context. f rises steeply at small pi: its
    gradient by log pi is f (1 - f), greatest at pi = gamma, and falls off at atoms that are likely already (LUFFY,
    2504.14945; Critique-GRPO, 2506.03106, `compute_token_on_off_policy_loss` of its released code). Nothing is clipped.
    """

    gamma: float = 0.1
    adv: str = "adv"
    unit: ClassVar[Literal["atom"]] = "atom"
    wants: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        require(self, "gamma", 0 < self.gamma < math.inf, "a finite number above 0")

    @property
    def reads(self) -> tuple[str, ...]:  # type: ignore[override]
        """Credit, and behaviour log-probs where they are known."""
        return (self.adv, "logp_old")

    @property
    def silent_where(self) -> str:
        """Atoms without credit get no gradient."""
        return self.adv

    def weight(self, new: Scored, batch: Batch) -> tuple[Tensor, Tensor]:
        """w, `float[N]`, and where it is f, `bool[N]`."""
        old = batch.cols["logp_old"]
        strange = old.isnan()
        # a NaN in the branch not taken would still reach the gradient
        r = log_ratio(new.logp, torch.where(strange, new.logp.detach(), old), batch.ids("atom"), how="atom").exp()
        p = new.logp.exp()
        return torch.where(strange, p / (p + self.gamma), r), strange

    def __call__(self, new: Scored, batch: Batch) -> Tensor:
        """`float[N]`."""
        return -self.weight(new, batch)[0] * batch.cols[self.adv]

    def watch(self, new: Scored, batch: Batch) -> dict[str, Tensor]:
        """The ratio where there is one, and f where there is none."""
        w, strange = self.weight(new, batch)
        return {"ratio": w[~strange], "shaped": w[strange]}
