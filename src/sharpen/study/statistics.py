"""What results of several methods say of each other: numbers in, numbers out.

Scores of one method on one task are `x[S, P]`: a row a seed, a column a problem, and the problems are the same for all
seeds and methods. All intervals are percentile bootstraps, widened for the few seeds there are (`widening`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sharpen.maths.intervals import Difference, Interval, iqm, quantiles, student_t

LEVEL = 0.95
SAMPLES = 2000


class Reached(NamedTuple):
    """What it cost to reach a target: the median over all seeds, None where half of them or more did not reach it."""

    median: float | None
    reached: int
    seeds: int


def counts(n: int, gen: torch.Generator, samples: int) -> Tensor:
    """How often each of n units is in each of `samples` resamples with replacement: [samples, n], rows sum to n."""
    drawn = torch.randint(n, (samples, n), generator=gen)
    return torch.zeros(samples, n, dtype=torch.float64).scatter_add_(1, drawn, torch.ones(samples, n).double())


def widening(seeds: int, groups: int = 1) -> float:
    """How much further resampled means of a few seeds must lie from their mean for their quantiles to cover at `LEVEL`.

    sqrt(n / (n - 1)) t(df) / z for n seeds, df = groups (n - 1): resampling n values gives the variance of their mean
    without Bessel's correction, and normal quantiles where Student's t is due (the expanded percentile interval,
    1411.5279, section 4). 9.17, 2.69, 1.87, 1.58 for 2 to 5 seeds, 1.17 for 12. 1 for one seed, which knows nothing of
    others.
    """
    if seeds < 2:
        return 1.0
    z = NormalDist().inv_cdf((1 + LEVEL) / 2)
    return math.sqrt(seeds / (seeds - 1)) * student_t(LEVEL, groups * (seeds - 1)) / z


def resampled(x: Tensor, gen: torch.Generator, samples: int = SAMPLES) -> Tensor:
    """Means of `x[S, P]` over resampled seeds and, within them, resampled problems: [samples].

    Seeds and problems are drawn each by themselves, and a resample has the same problems in all its seeds, for they are
    crossed: mean_b = sum_sp (1 + w (u_bs - 1)) v_bp x_sp / (S P) with the `counts` u of seeds (drawn first) and v of
    problems, and w the `widening`. So two methods get the same resamples from generators in the same state.
    """
    s, p = x.shape
    u, v = counts(s, gen, samples), counts(p, gen, samples)
    return (((1 + widening(s) * (u - 1)) @ x.double()) * v).sum(1) / (s * p)


def interval(x: Tensor, gen: torch.Generator, samples: int = SAMPLES) -> Interval:
    """The mean of `x[S, P]`, shares, with its interval, which stays within 0 and 1."""
    low, high = quantiles(resampled(_scores(x), gen, samples), LEVEL)
    return Interval(max(low, 0.0), float(x.double().mean()), min(high, 1.0))


def difference(a: Tensor, b: Tensor, gen: torch.Generator, samples: int = SAMPLES) -> Difference:
    """Mean of `a - b`, paired by seed and problem, its interval, and the share of resamples in which a is ahead.

    a and b are shares, so no end lies outside -1 and 1. A resample with a difference of 0 counts half. The share is no
    p-value. Raises ValueError when shapes differ.
    """
    if a.shape != b.shape:
        raise ValueError(f"a and b must have the same seeds and problems, not {list(a.shape)} and {list(b.shape)}")
    gap = _scores(a) - _scores(b)
    means = resampled(gap, gen, samples)
    low, high = quantiles(means, LEVEL)
    # gaps of shares that cancel leave rounding behind, which must not decide who wins
    tie = means.abs() <= 1e-12
    wins = (means > 0) & ~tie
    return Difference(
        float(gap.mean()), max(low, -1.0), min(high, 1.0), float(wins.double().mean() + tie.double().mean() / 2)
    )


def sign(pair: Mapping[str, Any], name: str) -> int:
    """1 where `name` is ahead of the other of a pair for sure, -1 where it is behind, 0 where neither is sure.

    `pair` is {"a", "b"} with a `Difference` of a to b, or without where they share no seed; sure is an interval without
    0.
    """
    if "low" not in pair or name not in (pair["a"], pair["b"]):
        return 0
    side = 1 if pair["a"] == name else -1
    return side if pair["low"] > 0 else -side if pair["high"] < 0 else 0


def cost_to_reach(points: Sequence[tuple[float, float]], target: float) -> float:
    """The cost of the first of `points` (cost, score), in order, that is at or above the target, or infinity."""
    return next((cost for cost, score in points if score >= target - 1e-12), math.inf)


def median_cost(costs: Sequence[float]) -> Reached:
    """The median over seeds; one that did not reach the target (infinite) counts as dearer than all others."""
    if not costs:
        return Reached(None, 0, 0)
    ordered, n = sorted(costs), len(costs)
    middle = (ordered[(n - 1) // 2] + ordered[n // 2]) / 2
    return Reached(middle if math.isfinite(middle) else None, sum(map(math.isfinite, costs)), n)


def normalised(score: float, base: float) -> float:
    """(score - base) / (1 - base): 0 for what the base does, 1 for what cannot be better; below 0 for what is worse.

    A base that is right always leaves nothing to learn: its own score is 0 and any other counts as it is below it.
    """
    return (score - base) / (1 - base) if base < 1 else score - base


def stratified_iqm(scores: Sequence[Tensor], gen: torch.Generator, samples: int = SAMPLES) -> Interval:
    """Interquartile mean of the normalised scores of all runs, `scores[task][S]`, with its stratified interval.

    The mean without the lowest and the highest floor(N / 4) of the N runs of all tasks together; a resample draws the
    runs of each task with replacement among themselves (2108.13264, section 4.3 and its released code). Other than
    there the ends are moved away from the mean by `widening`, that of the task with the fewest runs.
    """
    runs = [_scores(x[None])[0] for x in scores]
    drawn = [x[torch.randint(len(x), (samples, len(x)), generator=gen)] for x in runs]
    joined = torch.cat(drawn, 1).sort(1).values
    n = joined.shape[1]
    low, high = quantiles(joined[:, n // 4 : n - n // 4].mean(1), LEVEL)
    mean, wide = iqm(torch.cat(runs)), widening(min(map(len, runs)), len(runs))
    return Interval(mean + wide * (low - mean), mean, mean + wide * (high - mean))


def between(points: Sequence[tuple[float, float]], at: float) -> float:
    """The value of a curve at a place: linear between its points, level beyond its ends. The places rise."""
    if at <= points[0][0]:
        return points[0][1]
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        if at <= x1:
            return y1 if x1 == x0 else y0 + (y1 - y0) * (at - x0) / (x1 - x0)
    return points[-1][1]


class Band(NamedTuple):
    """Curves of several seeds as one: at each place the mean, the lowest and the highest."""

    at: list[float]
    mean: list[float]
    low: list[float]
    high: list[float]


def band(curves: Sequence[Sequence[tuple[float, float]]], points: int) -> Band:
    """`points` places, evenly from the start to where the first curve ends, with what the curves are there."""
    end = min(c[-1][0] for c in curves)
    begin = min(c[0][0] for c in curves)
    at = [begin + (end - begin) * k / max(1, points - 1) for k in range(points)] if end > begin else [begin]
    values = [[between(c, x) for c in curves] for x in at]
    return Band(at, [sum(v) / len(v) for v in values], [min(v) for v in values], [max(v) for v in values])


def _scores(x: Tensor) -> Tensor:
    if x.dim() != 2 or not x.numel() or not bool(torch.isfinite(x).all()):
        raise ValueError(f"scores must be finite and of shape [seeds, problems]; got {list(x.shape)}")
    return x.double()
