"""What the results say of a claim: arms paired by seed, Student's interval of the difference, a verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from sharpen.claims.base import Claim, Comparison
from sharpen.claims.store import Result
from sharpen.maths import Interval, paired_t

Verdict = Literal["holds", "reversed", "not shown", "unfinished"]
"""The interval lies on the claimed side, on the other side, on both; or results are missing."""


@dataclass(frozen=True)
class Outcome:
    """A comparison over the seeds that both arms have.

    `difference` is that of the metric, better arm minus worse, with its 95 % interval; `shares` are how much of the
    budget either arm spent in the mean.
    """

    comparison: Comparison
    seeds: int
    means: tuple[float, float]
    difference: Interval
    shares: tuple[float, float]
    verdict: Verdict


def outcome(claim: Claim, results: Sequence[Result], comparison: Comparison, seeds: int) -> Outcome:
    """One comparison; it is unfinished with fewer than `seeds` pairs."""
    c = comparison
    one, two = ({r.seed: r for r in results if r.arm == name and not r.error} for name in (c.better, c.worse))
    pairs = [(one[s], two[s]) for s in sorted(one.keys() & two.keys())]
    if not pairs:
        nothing = Interval(-math.inf, math.nan, math.inf)
        return Outcome(c, 0, (math.nan, math.nan), nothing, (math.nan, math.nan), "unfinished")
    a, b = (torch.tensor([p[i].numbers[c.metric] for p in pairs], dtype=torch.float64) for i in (0, 1))
    gap = paired_t(a, b)
    shares = [sum(p[i].spent for p in pairs) / len(pairs) / claim.budget.amount for i in (0, 1)]
    return Outcome(
        c,
        len(pairs),
        (float(a.mean()), float(b.mean())),
        gap,
        (shares[0], shares[1]),
        judged(gap, c) if len(pairs) >= seeds else "unfinished",
    )


def judged(gap: Interval, comparison: Comparison) -> Verdict:
    """Whether the whole interval of the gain (the gap, or minus it where lower is better) lies above -margin, or below.

    An end that touches -margin shows nothing.
    """
    low, high = (gap.low, gap.high) if comparison.direction == "higher" else (-gap.high, -gap.low)
    if low > -comparison.margin:
        return "holds"
    return "reversed" if high < -comparison.margin else "not shown"


def outcomes(claim: Claim, results: Sequence[Result], seeds: int = 0) -> list[Outcome]:
    """Every comparison of a claim, over `seeds` seeds (0: as many as the claim asks for)."""
    return [outcome(claim, results, c, seeds or claim.seeds) for c in claim.compared]


def verdict(found: Sequence[Outcome]) -> Verdict:
    """Of a whole claim: it holds if all its comparisons do, and is reversed if one is."""
    said = {o.verdict for o in found}
    for worst in ("unfinished", "reversed", "not shown"):
        if worst in said:
            return worst  # type: ignore[return-value]
    return "holds"
