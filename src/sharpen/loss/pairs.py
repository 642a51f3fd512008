"""Losses of pairs: which of two traces is better, said by log-probs, by their ratio to a reference, or by a score."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn.functional import softplus

from sharpen.bounds import require
from sharpen.core import Part
from sharpen.errors import SharpenError
from sharpen.maths import last_of, mean_by, sum_by
from sharpen.types import Batch, Scored, Sets


@dataclass(frozen=True)
class Pair(Part):
    """link(z), z = `beta` (s_best - s_other) - `margin`, for each pair of rows, the better one first.

    A trace's score s is, by `score`:

        logratio    sum over its atoms of log pi - log pi_ref (DPO, 2305.18290, eq. 7)
        logp        sum over its atoms of log pi (SimPO, 2405.14734, eq. 6, with agg="mean"; no reference)
        score       what a reward model says at its last atom (Bradley-Terry, with beta 1: 2203.02155, eq. 1)

    `agg="mean"` divides a sum by the number of atoms. The link is, by `link`:

        logistic    log(1 + exp(-z))
        hinge       max(0, 1 - z) (SLiC-HF, 2305.10425, section 3, with logp, beta 1 and margin delta - 1)
        square      ((z - 1/2) / beta)^2, so (s_best - s_other - 1/(2 beta))^2 without margin (IPO, 2310.12036, eq. 17)

    With `smooth` e > 0 the label counts as wrong with that chance: (1 - e) link(z) + e link(z'), z' with the two scores
    exchanged (conservative DPO: E. Mitchell, 2023). `margin` and `smooth` are numbers or name a column of the sets.
    With `nll` > 0 the mean of -log pi over the better trace's atoms is added with that weight, so that its probability
    does not fall together with the other's (2404.19733, eq. 1 and 2).
    Gradient reaches the trained atoms of both traces, but for `score`, where it reaches the two last ones.
    """

    score: Literal["logratio", "logp", "score"] = "logratio"
    agg: Literal["sum", "mean"] = "sum"
    link: Literal["logistic", "hinge", "square"] = "logistic"
    beta: float = 0.1
    margin: float | str = 0.0
    smooth: float | str = 0.0
    nll: float = 0.0
    ref: str = "logp_ref"
    unit: ClassVar[Literal["set"]] = "set"
    silent_where: ClassVar[str | None] = None

    def __post_init__(self) -> None:
        require(self, "beta", 0 < self.beta < math.inf, "a number above 0")
        given = self.margin if not isinstance(self.margin, str) else 0.0
        require(self, "margin", math.isfinite(given), "a finite number, or the name of a column of the sets")
        given = self.smooth if not isinstance(self.smooth, str) else 0.0
        require(self, "smooth", 0 <= given <= 0.5, "from 0 to 0.5, or the name of a column of the sets")
        require(self, "nll", 0 <= self.nll < math.inf, "0 or more")
        require(self, "nll", self.nll == 0 or self.score != "score", "0 for a score, which is no likelihood")
        require(self, "agg", self.agg == "sum" or self.score != "score", "sum for a score, of which a trace has one")

    @property
    def reads(self) -> tuple[str, ...]:  # type: ignore[override]
        """The reference's log-probs, where there is one."""
        return (self.ref,) if self.score == "logratio" else ()

    @property
    def wants(self) -> tuple[str, ...]:
        """The reward model's score, where it counts."""
        return ("score",) if self.score == "score" else ()

    def __call__(self, new: Scored, batch: Batch) -> Tensor:
        """`float[P]`, one entry a pair."""
        sets = _pairs(batch)
        gap = self.beta * self.gap(new, batch)
        margin, smooth = number(sets, self.margin, "margin"), number(sets, self.smooth, "smooth")
        loss = (1 - smooth) * self._link(gap - margin) + smooth * self._link(-gap - margin)
        if not self.nll:
            return loss
        likely = mean_by(new.logp, batch.trace, len(batch.traces))
        return loss - self.nll * likely[[better for better, _ in sets.members]]

    def gap(self, new: Scored, batch: Batch) -> Tensor:
        """s_best - s_other, `float[P]`."""
        n = len(batch.traces)
        if self.score == "score":
            s = new.extra["score"][last_of(batch.trace, n)]
        else:
            x = new.logp - batch.cols[self.ref] if self.score == "logratio" else new.logp
            s = (sum_by if self.agg == "sum" else mean_by)(x, batch.trace, n)
        index = torch.tensor(_pairs(batch).members, dtype=torch.long)
        return s[index[:, 0]] - s[index[:, 1]]

    def _link(self, z: Tensor) -> Tensor:
        if self.link == "logistic":
            return softplus(-z)
        return (1 - z).relu() if self.link == "hinge" else ((z - 0.5) / self.beta) ** 2

    def watch(self, new: Scored, batch: Batch) -> dict[str, Tensor]:
        """How often the better trace scores higher (half where they are equal), and by how much, times beta."""
        gap = self.gap(new, batch)
        return {"pair/accuracy": (gap > 0).float() + (gap == 0).float() / 2, "pair/gap": self.beta * gap}


def _pairs(batch: Batch) -> Sets:
    if batch.sets is None or any(len(m) != 2 for m in batch.sets.members):
        raise SharpenError(
            "Pair compares two rows at a time, and this update's rows are not in pairs. Give the update `rows=Pairs()`."
        )
    return batch.sets


def number(sets: Sets, value: float | str, what: str) -> float | Tensor:
    """A number of each set: the same for all, or the column of that name."""
    if not isinstance(value, str):
        return value
    if value not in sets.cols:
        raise SharpenError(
            f"Pair takes its {what} from the column {value!r} of the sets, which have {', '.join(sets.cols) or 'none'}."
            " Name one of those, or give a number."
        )
    return sets.cols[value]
