"""Fitting what the policy says of its own answers to the verdicts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from sharpen.bounds import require
from sharpen.core import Part
from sharpen.types import Batch, Scored


@dataclass(frozen=True)
class ProbeFit(Part):
    """(beta (log pi(z) - base) - verdict)^2 at each token z that `Probe` appended: meant for a term `where="probe"`.

    LaSeR, 2510.14943, eq. 9; the weights of the two verdicts are the column `balance`, which the term takes with
    `weight_by`. `beta` must be the stage's.
    """

    beta: float = 0.1
    unit: ClassVar[Literal["atom"]] = "atom"
    reads: ClassVar[tuple[str, ...]] = ("base", "verdict")
    wants: ClassVar[tuple[str, ...]] = ()
    silent_where: ClassVar[str | None] = None

    def __post_init__(self) -> None:
        require(self, "beta", 0 < self.beta < math.inf, "a number above 0")

    def __call__(self, new: Scored, batch: Batch) -> Tensor:
        """`float[N]`."""
        return (self.beta * (new.logp - batch.cols["base"]) - batch.cols["verdict"]) ** 2
