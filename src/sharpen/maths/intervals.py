"""How sure a score is: intervals over problems, each problem being one unit.

Average the samples of a problem first; an interval over samples would count them as independent, which they are not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import NormalDist
from typing import NamedTuple

import torch
from torch import Tensor


class Interval(NamedTuple):
    """A mean between the ends of its interval."""

    low: float
    mean: float
    high: float


class Difference(NamedTuple):
    """How much better a is than b, the ends of the interval, and how often a resample has a ahead."""

    diff: float
    low: float
    high: float
    p_a_better: float


def wilson(successes: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson score interval (low, high) of a proportion, inside [0, 1].

    With `p = successes / n` and z the two-sided normal quantile of `level`: `(p + z^2/2n -+ z sqrt(p(1-p)/n +
    z^2/4n^2)) / (1 + z^2/n)` (E. B. Wilson, 1927). No success gives low = 0 and no failure gives high = 1 exactly.
    Raises ValueError unless `0 <= successes <= n`, `n >= 1` and `0 < level < 1`.
    """
    _level(level)
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"a proportion needs 0 <= successes <= n and n >= 1, not {successes} of {n}")
    z = NormalDist().inv_cdf((1 + level) / 2)
    p = successes / n
    middle = p + z * z / (2 * n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    below = 1 + z * z / n
    low = 0.0 if successes == 0 else (middle - half) / below
    high = 1.0 if successes == n else (middle + half) / below
    return low, high


def bootstrap_mean(x: Tensor, rng: torch.Generator, level: float = 0.95, samples: int = 2000) -> Interval:
    """Mean over problems with its percentile bootstrap interval.

    `x[P]` holds one score per problem. Each of `samples` resamples draws P problems with replacement; the ends are the
    (1 - level)/2 and (1 + level)/2 quantiles of their means. The interval is too narrow for a handful of problems.

    Raises ValueError when x is not 1-D, is empty or not finite, when level leaves (0, 1), or samples < 1.
    """
    scores = _scores(x, "x", rng)
    means = _resampled_means(scores, rng, samples)
    low, high = quantiles(means, level)
    return Interval(low, float(scores.mean()), high)


def paired_bootstrap(
    a: Tensor, b: Tensor, rng: torch.Generator, level: float = 0.95, samples: int = 2000
) -> Difference:
    """Mean of `a - b` over the same problems, with its percentile bootstrap interval and the share of resamples a wins.

    `a[P]` and `b[P]` are scores of the same problems in the same order. A resample with a mean difference of 0 counts
    half. `p_a_better` is a bootstrap share, not a p-value. Raises ValueError as `bootstrap_mean` does, and when
    shapes differ.
    """
    first, second = _scores(a, "a", rng), _scores(b, "b", rng)
    if first.shape != second.shape:
        raise ValueError(f"a and b must score the same problems, not {len(first)} and {len(second)} of them")
    gap = first - second
    means = _resampled_means(gap, rng, samples)
    low, high = quantiles(means, level)
    # gaps that cancel leave rounding behind, which must not decide who wins
    tie = means.abs() <= 1e-12 * gap.abs().max()
    wins = (means > 0) & ~tie
    return Difference(float(gap.mean()), low, high, float(wins.double().mean() + tie.double().mean() / 2))


def student_t(level: float, df: int) -> float:
    """The t with P(|T| <= t) = level, for T of Student's distribution with `df` degrees of freedom.

    With a = atan(t / sqrt(df)) that probability is a finite sum: for odd df 2/pi (a + sin a (cos a + 2/3 cos^3 a + ...
    up to cos^(df-2) a)), for even df sin a (1 + 1/2 cos^2 a + 1*3/(2*4) cos^4 a + ... up to cos^(df-2) a)
    (Abramowitz and Stegun, 26.7.3 and 26.7.4). It is solved for a by halving. Raises ValueError unless df >= 1 and
    0 < level < 1.
    """
    _level(level)
    if df < 1:
        raise ValueError(f"Student's distribution needs 1 degree of freedom or more: {df}")

    def inside(a: float) -> float:
        odd = df % 2
        term = math.cos(a) if odd else 1.0
        total = 0.0
        for k in range(2 + odd, df + 1, 2):
            total += term
            term *= math.cos(a) ** 2 * (k - 1) / k
        return 2 / math.pi * (a + math.sin(a) * total) if odd else math.sin(a) * total

    low, high = 0.0, math.pi / 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if inside(middle) < level else (low, middle)
    return math.tan(high) * math.sqrt(df)


def paired_t(a: Tensor, b: Tensor, level: float = 0.95) -> Interval:
    """Mean of `a - b` over pairs, with Student's interval: mean -+ t(level, n - 1) s / sqrt(n).

    `a[n]` and `b[n]` are scores of the same n units (seeds, say) in the same order; s is the standard deviation of the
    differences with n - 1. For differences from a normal distribution it covers at its level however small n is; a
    percentile bootstrap of five differences covers about 84 times in a hundred (its ends lie near mean -+ 1.96 s sqrt(n
    - 1) / n, and P(|T| <= 1.75) = 0.85 for 4 degrees of freedom). One pair gives an endless interval. Raises
    ValueError when shapes differ, are not 1-D or empty, or a score is not finite.
    """
    first, second = _scores(a, "a"), _scores(b, "b")
    if first.shape != second.shape:
        raise ValueError(f"a and b must score the same units, not {len(first)} and {len(second)} of them")
    gap = first - second
    mean, n = float(gap.mean()), len(gap)
    half = math.inf if n == 1 else student_t(level, n - 1) * float(gap.std()) / math.sqrt(n)
    return Interval(mean - half, mean, mean + half)


def iqm(x: Tensor) -> float:
    """Interquartile mean: the mean without the lowest and the highest `floor(P / 4)` of the P scores.

    Less moved by a few problems than the mean, less wasteful than the median (2108.13264). Raises ValueError when x
    is not 1-D, is empty or not finite.
    """
    scores = _scores(x, "x").sort().values
    cut = len(scores) // 4
    return float(scores[cut : len(scores) - cut].mean())


def _scores(x: Tensor, name: str, rng: torch.Generator | None = None) -> Tensor:
    if x.dim() != 1 or not len(x) or not bool(torch.isfinite(x).all()):
        raise ValueError(
            f"{name} must hold one finite score per problem and at least one, shape [P]; got {list(x.shape)}"
        )
    return x.detach().to(device=x.device if rng is None else rng.device, dtype=torch.float64)


def _level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level must lie strictly between 0 and 1: {level}")


def _resampled_means(x: Tensor, rng: torch.Generator, samples: int) -> Tensor:
    if samples < 1:
        raise ValueError(f"at least one resample is needed: {samples}")

    def parts() -> Iterator[Tensor]:
        rows = max(1, 2**22 // len(x))  # bounds memory for many problems
        for start in range(0, samples, rows):
            shape = (min(rows, samples - start), len(x))
            yield x[torch.randint(len(x), shape, generator=rng, device=rng.device)].mean(1)

    return torch.cat(list(parts()))


def quantiles(means: Tensor, level: float) -> tuple[float, float]:
    """The (1 - level)/2 and (1 + level)/2 quantiles of `means[B]`, the ends of a percentile bootstrap interval."""
    _level(level)
    low, high = torch.quantile(means, means.new_tensor([(1 - level) / 2, (1 + level) / 2])).tolist()
    return low, high
