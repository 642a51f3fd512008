"""Evaluations made up from what became of each problem."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from sharpen.evaluation import Comparison, Evaluation, Interval
from sharpen.outcomes import Outcomes

SAMPLES = 4


def around(x: float) -> Interval:
    return Interval(max(0.0, x - 0.02), x, min(1.0, x + 0.02))


def measured(right: Sequence[int], samples: int = SAMPLES, outcomes: bool = True, **more) -> Evaluation:
    """`right` of `samples` answers to each problem were right; the greedy one is where three of four were."""
    greedy = tuple(4 * c >= 3 * samples for c in right)
    o = Outcomes(tuple(right), **({"greedy": greedy} | more))
    wide = o.values(f"pass@{samples}", samples)
    return Evaluation(
        len(right),
        samples,
        around(fmean(o.values("accuracy", samples))),
        around(fmean(greedy)),
        {samples: around(fmean(wide))},
        outcomes=o if outcomes else None,
    )


def pair(split: str, before: Sequence[int], after: Sequence[int], **more) -> Comparison:
    return Comparison(split, measured(before, **more), measured(after, **more))


NONE, ALL = [0] * 20, [4] * 20
HALF_ONE, HALF_FULL = [0] * 10 + [1] * 10, [0] * 10 + [4] * 10
CASES = {
    "widened": (HALF_ONE, [3] * 20),
    "sharpened": (HALF_ONE, HALF_FULL),
    "narrowed": ([1] * 20, HALF_FULL),
    "learned": ([1] * 20, ALL),
    "worse": ([3] * 20, HALF_ONE),
    "broadened": ([0] * 10 + [2] * 10, [1] * 20),
    "lost": ([1] * 20, [0] * 10 + [2] * 10),
    "same": (HALF_ONE, HALF_ONE),
}
"""What 20 problems came to before and after, by the kind of change."""
