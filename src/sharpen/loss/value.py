"""Losses of models that give numbers: critics, outcome and process reward models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from sharpen.bounds import require
from sharpen.core import Part
from sharpen.types import Batch, Scored


@dataclass(frozen=True)
class ValueFit(Part):
    """Fit a scalar of the model to the column `target` at each atom.

    `mse`: (v - y)^2 / 2, y any number. `bce`: cross-entropy of sigmoid(v) to y in [0, 1]. `tanh`: (tanh(v) - y)^2 / 2,
    y in [-1, 1] (AlphaMath, 2405.03553, section 3.3). `want` is `value` (of the prefix before the atom: a critic) or
    `score` (of the prefix that ends with it: a reward model).

    With `clip` > 0 and `mse`, the larger of the plain loss and that of the value clipped to within `clip` of the column
    `old`: no gradient once the value has moved that far towards the target (PPO's value clipping; ReFT, 2401.08967).
    """

    target: str = "target"
    want: Literal["value", "score"] = "value"
    kind: Literal["mse", "bce", "tanh"] = "mse"
    clip: float = 0.0
    old: str = "value"
    unit: ClassVar[Literal["atom"]] = "atom"
    silent_where: ClassVar[str | None] = None

    def __post_init__(self) -> None:
        require(self, "clip", self.clip >= 0, "0 (no clipping) or more")
        require(self, "clip", not self.clip or self.kind == "mse", "0 unless kind is mse")

    @property
    def wants(self) -> tuple[str, ...]:
        """The scalar."""
        return (self.want,)

    @property
    def reads(self) -> tuple[str, ...]:  # type: ignore[override]
        """The target, and the value before the update where it clips."""
        return (self.target, self.old) if self.clip else (self.target,)

    def __call__(self, new: Scored, batch: Batch) -> Tensor:
        """`float[N]`."""
        v, y = new.extra[self.want], batch.cols[self.target]
        if self.kind == "bce":
            return bce(v, y, reduction="none")
        if self.kind == "tanh":
            return (v.tanh() - y) ** 2 / 2
        plain = (v - y) ** 2
        if self.clip:
            old = batch.cols[self.old]
            plain = torch.maximum(plain, (old + (v - old).clamp(-self.clip, self.clip) - y) ** 2)
        return plain / 2

    def watch(self, new: Scored, batch: Batch) -> dict[str, Tensor]:
        """The squared error, whatever is fitted."""
        v = new.extra[self.want]
        said = v.sigmoid() if self.kind == "bce" else v.tanh() if self.kind == "tanh" else v
        return {f"{self.want}/error": (said - batch.cols[self.target]) ** 2}
