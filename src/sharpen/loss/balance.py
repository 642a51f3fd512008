"""Losses that fit a distribution instead of climbing a reward."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from sharpen.core import Part
from sharpen.maths import mean_by, sum_by
from sharpen.types import Batch, Scored


@dataclass(frozen=True)
class TrajectoryBalance(Part):
    """(log Z(x) + log pi(y | x) - log R(y))^2 for an answer y, all of whose atoms are trained (2201.13259, eq. 14).

    It is 0 for every y only where pi(y | x) = R(y) / Z(x): answers are drawn in proportion to their reward, not the
    best one again and again. A text is made in one way only, so the backward policy is 1.

    `center="learned"`: log Z is the column `logz` at a trace's first atom, of a value model that is fitted beside it.
    `group`: log Z is the mean of log R - log pi over the group, so that the loss of a group is the variance of
    log pi - log R (VarGrad; 2302.05446, eq. 4). Nothing asks who drew y: the loss holds off-policy too.
    """

    center: Literal["learned", "group"] = "learned"
    logr: str = "logr"
    logz: str = "logz"
    wants: ClassVar[tuple[str, ...]] = ()
    silent_where: ClassVar[str | None] = None

    @property
    def unit(self) -> Literal["trace", "group"]:
        """A group's answers are compared with each other where their mean is the centre."""
        return "group" if self.center == "group" else "trace"

    @property
    def reads(self) -> tuple[str, ...]:  # type: ignore[override]
        """Log-rewards, and log Z where it is learned."""
        return (self.logr, self.logz) if self.center == "learned" else (self.logr,)

    def __call__(self, new: Scored, batch: Batch) -> Tensor:
        """`float[B]`, one a trace or a group."""
        n = len(batch.traces)
        gap = sum_by(new.logp, batch.trace, n) - mean_by(batch.cols[self.logr], batch.trace, n)
        if self.center == "learned":
            return (gap + mean_by(batch.cols[self.logz], batch.trace, n)) ** 2
        # ids of groups are those of the whole iteration: number them anew
        ids = torch.unique(batch.group, return_inverse=True)[1]
        return mean_by((gap - mean_by(gap, ids)[ids]) ** 2, ids)

    def watch(self, new: Scored, batch: Batch) -> dict[str, Tensor]:
        """The log-probability of whole answers."""
        return {"answer_logp": sum_by(new.logp, batch.trace, len(batch.traces))}
