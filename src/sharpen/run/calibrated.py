"""Is the model as right as it is sure: what an evaluation holds of stated confidences and of agreement, measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sharpen.evaluation import Evaluation, Move, paired
from sharpen.maths.calibration import Bin, auroc, brier, ece, reliability

BINS = 10
"""Bins of equal width of a reliability diagram and of its ECE."""


@dataclass(frozen=True)
class Calibration:
    """How sure answers were and how right: `confidence` and `right` are means over `answers` of them.

    `ece` and `brier` are those of `sharpen.maths.calibration` (0 is perfect), `auroc` the chance that a right answer is
    surer than a wrong one (None where all are right or all wrong), `bars` the reliability diagram, and `silent` the
    share of answers that stated nothing and are not counted.
    """

    answers: int
    confidence: float
    right: float
    ece: float
    brier: float
    auroc: float | None
    bars: tuple[Bin, ...]
    silent: float = 0.0


def stated(e: Evaluation) -> Calibration | None:
    """The confidences that drawn answers state; None where none does."""
    said = e.outcomes.stated if e.outcomes else ()
    if e.outcomes is None or not said:
        return None
    counts = torch.tensor([(n - right, right) for _, n, right in said])
    p = torch.tensor([c for c, _, _ in said], dtype=torch.float64)
    shares, verdicts = p.repeat_interleave(2), torch.tensor([0.0, 1.0]).repeat(len(said))
    total = int(counts.sum())
    found = measured(shares.repeat_interleave(counts.flatten()), verdicts.repeat_interleave(counts.flatten()))
    return replace(found, silent=e.outcomes.silent / (total + e.outcomes.silent))


def agreed(e: Evaluation) -> Calibration | None:
    """How far agreement is a confidence: the share of a problem's answers that are the most frequent one, a problem
    each; None for one answer a problem.
    """
    if e.outcomes is None or not e.outcomes.votes or e.samples < 2:
        return None
    share = torch.tensor(e.outcomes.votes, dtype=torch.float64) / e.samples
    return measured(share, torch.tensor(e.outcomes.majority))


def measured(p: Tensor, right: Tensor) -> Calibration:
    """Of answers that were sure with `p[n]` in [0, 1] and turned out `right[n]` (0 or 1)."""
    y = right.double()
    both = 0 < float(y.sum()) < len(y)
    return Calibration(
        answers=len(p),
        confidence=float(p.mean()),
        right=float(y.mean()),
        ece=ece(p, y, BINS),
        brier=brier(p, y),
        auroc=auroc(p, y) if both else None,
        bars=tuple(reliability(p, y, BINS)),
    )


def brier_change(before: Evaluation, after: Evaluation, kind: str) -> Move | None:
    """How the Brier score of `stated` or `agreed` confidences changed, over the problems that have one both times."""

    def scores(e: Evaluation) -> Sequence[float | None]:
        if e.outcomes is None:
            return ()
        if kind == "stated":
            return e.outcomes.brier
        return [(n / e.samples - y) ** 2 for n, y in zip(e.outcomes.votes, e.outcomes.majority, strict=True)]

    a, b = scores(before), scores(after)
    if len(a) != len(b):
        return None
    both = [(x, y) for x, y in zip(a, b, strict=True) if x is not None and y is not None]
    return paired([x for x, _ in both], [y for _, y in both]) if both else None
