"""Fitting what the policy says of its own answers to the verdicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from sharpen.core import Part
from sharpen.types import Batch, Scored


@dataclass(frozen=True)
class ProbeFit(Part):
    """(log pi(z) - goal)^2 at each token z that `Probe` appended: meant for a term `where="probe"`.

    With goal = base + verdict / beta and the weight beta^2 w of the column `balance` (`weight_by`) this is
    w (beta (log pi(z) - base) - verdict)^2: LaSeR, 2510.14943, and its released code.
    """

    unit: ClassVar[Literal["atom"]] = "atom"
    reads: ClassVar[tuple[str, ...]] = ("goal",)
    wants: ClassVar[tuple[str, ...]] = ()
    silent_where: ClassVar[str | None] = None

    def __call__(self, new: Scored, batch: Batch) -> Tensor:
        """`float[N]`."""
        return (new.logp - batch.cols["goal"]) ** 2
