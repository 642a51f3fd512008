"""Whether a stated confidence is worth something: how far it is from the truth, and how well it ranks.

`p` is the confidence that an answer is right, floats `[N]` in [0, 1]; `y` is whether it was, bool or 0/1 `[N]`.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

Binning = Literal["width", "mass"]


class Bin(NamedTuple):
    """One bar of a reliability diagram: its ends, how many fell in, their mean confidence and their share of right
    ones."""

    low: float
    high: float
    size: int
    confidence: float
    accuracy: float


def brier(p: Tensor, y: Tensor) -> float:
    """Brier score, the mean of `(p - y)^2`; 0 is perfect, 1 the worst, 1/4 is what saying 1/2 always gets."""
    truth = _checked(p, y, probability=True)
    return float(((p.to(torch.float64) - truth) ** 2).mean())


def reliability(p: Tensor, y: Tensor, bins: int = 10, how: Binning = "width") -> list[Bin]:
    """Bars of a reliability diagram, lowest confidence first; empty bins are left out.

    `width` cuts (0, 1] into `bins` intervals `(low, high]` of equal width, 0 falling into the first (1706.04599).
    `mass` cuts the sorted confidences into bins of equal count; equal confidences stay together, so the order of the
    input does not matter, and counts are as even as that allows; ends are then the lowest and highest confidence
    inside.

    Raises ValueError for bins < 1, an unknown `how`, and what `brier` raises for.
    """
    truth = _checked(p, y, probability=True)
    if bins < 1 or how not in ("width", "mass"):
        raise ValueError(f"bins must be at least 1 and how be width or mass, not {bins} and {how!r}")
    if how == "width":
        # edges in the dtype of p: 0.3 is then on the edge 3/10 in every dtype
        edges = torch.arange(1, bins, dtype=p.dtype, device=p.device) / bins
        which = torch.bucketize(p, edges)
    else:
        order = p.sort().values
        below, upto = torch.searchsorted(order, p), torch.searchsorted(order, p, right=True)
        # the middle rank of equal confidences, doubled to stay whole
        which = ((below + upto - 1) * bins) // (2 * len(p))
    out = []
    for b in sorted(set(which.tolist())):
        inside = which == b
        conf = p[inside].to(torch.float64)
        low, high = (b / bins, (b + 1) / bins) if how == "width" else (float(conf.min()), float(conf.max()))
        out.append(Bin(low, high, int(inside.sum()), float(conf.mean()), float(truth[inside].mean())))
    return out


def ece(p: Tensor, y: Tensor, bins: int = 10, how: Binning = "width") -> float:
    """Expected calibration error, `sum_b n_b / N * |accuracy_b - confidence_b|` over the bins of `reliability`; in
    [0, 1].

    1706.04599 for equal width, 1904.01685 for equal mass. It depends on the bins: compare like with like.
    """
    bars = reliability(p, y, bins, how)
    return sum(b.size * abs(b.accuracy - b.confidence) for b in bars) / len(p)


def auroc(score: Tensor, y: Tensor) -> float:
    """Chance that a right answer scores above a wrong one, ties counting half; in [0, 1], 1/2 for no information.

    `(1 / PN) sum over right i, wrong j of [s_i > s_j] + [s_i = s_j] / 2`; scores need not be probabilities. Raises
    ValueError unless both kinds are present.
    """
    truth = _checked(score, y, probability=False) == 1
    right, wrong = score[truth], score[~truth].sort().values
    if not len(right) or not len(wrong):
        raise ValueError(f"AUROC needs right and wrong answers, not {len(right)} and {len(wrong)} of them")
    twice = torch.searchsorted(wrong, right) + torch.searchsorted(wrong, right, right=True)
    return int(twice.sum()) / (2 * len(right) * len(wrong))


def _checked(p: Tensor, y: Tensor, *, probability: bool) -> Tensor:
    """The truth as float64, after refusing wrong shapes and values."""
    if p.dim() != 1 or p.shape != y.shape or not len(p) or not p.is_floating_point():
        raise ValueError(f"needs floats [N] and as many verdicts, N >= 1, not {list(p.shape)} and {list(y.shape)}")
    if not bool(torch.isfinite(p).all()) or (probability and bool(((p < 0) | (p > 1)).any())):
        raise ValueError("confidences must lie in [0, 1]" if probability else "scores must be finite")
    truth = y.to(device=p.device, dtype=torch.float64)
    if not bool(((truth == 0) | (truth == 1)).all()):
        raise ValueError("verdicts must be 0 or 1")
    return truth
