"""Intervals against published values, exact bootstraps of tiny samples, and plain loops."""

import itertools
import math
import random
import statistics

import pytest
import torch

from sharpen.maths import (
    Difference,
    Interval,
    bootstrap_mean,
    iqm,
    paired_bootstrap,
    paired_t,
    student_t,
    wilson,
)
from sharpen.maths.intervals import _resampled_means


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_wilson_golden():
    z2 = 3.841458820694124  # 1.959963984540054 squared
    low, high = wilson(5, 10)
    half = math.sqrt(z2 * (0.25 / 10 + z2 / 400))
    assert (low, high) == pytest.approx(
        ((0.5 + z2 / 20 - half) / (1 + z2 / 10), (0.5 + z2 / 20 + half) / (1 + z2 / 10))
    )
    assert (low, high) == pytest.approx((0.236593, 0.763407), abs=1e-6)
    assert wilson(0, 10) == (0.0, pytest.approx(z2 / (10 + z2)))
    assert wilson(10, 10) == (pytest.approx(10 / (10 + z2)), 1.0)
    assert wilson(1, 1) == (pytest.approx(1 / (1 + z2)), 1.0)


def test_wilson_ends_solve_the_score_equation():
    for s, n, level in ((3, 20, 0.95), (19, 20, 0.9), (400, 1000, 0.99)):
        z = statistics.NormalDist().inv_cdf(0.5 + level / 2)
        for p in wilson(s, n, level):
            assert abs(s / n - p) / math.sqrt(p * (1 - p) / n) == pytest.approx(z)


@pytest.mark.parametrize("args", [(1, 0), (-1, 3), (4, 3)])
def test_wilson_refusals(args):
    with pytest.raises(ValueError, match="a proportion needs 0 <= successes <= n and n >= 1"):
        wilson(*args)
    with pytest.raises(ValueError, match=r"level must lie strictly between 0 and 1: 1\.0"):
        wilson(1, 2, 1.0)


def test_bootstrap_of_equal_scores_is_a_point():
    assert bootstrap_mean(torch.full((5,), 0.5), generator()) == Interval(0.5, 0.5, 0.5)
    assert bootstrap_mean(torch.tensor([0.25]), generator()) == Interval(0.25, 0.25, 0.25)


def test_bootstrap_against_all_resamples():
    x = torch.tensor([0.0, 1.0, 1.0, 4.0])
    means = sorted(sum(s) / 4 for s in itertools.product(x.tolist(), repeat=4))
    low, mean, high = bootstrap_mean(x, generator(1), level=0.8, samples=20_000)
    assert (low, mean, high) == (means[26], 1.5, means[230])  # a tenth of 256 from either end


def test_bootstrap_against_a_loop_and_theory():
    rng = random.Random(3)
    scores = [float(rng.random() < 0.3) for _ in range(400)]
    x = torch.tensor(scores)
    low, mean, high = bootstrap_mean(x, generator(2))
    assert mean == pytest.approx(statistics.fmean(scores))
    half = 1.96 * statistics.pstdev(scores) / math.sqrt(400)
    assert (mean - low, high - mean) == pytest.approx((half, half), abs=0.006)
    slow = sorted(statistics.fmean(rng.choices(scores, k=400)) for _ in range(1000))
    assert (low, high) == pytest.approx((slow[25], slow[974]), abs=0.006)
    assert bootstrap_mean(x, generator(2)) == (low, mean, high)


def test_bootstrap_of_many_problems_goes_in_parts():
    x = torch.arange(2**20, dtype=torch.float32) / 2**20  # four resamples a part
    low, mean, high = bootstrap_mean(x, generator(4), samples=6)
    assert len(_resampled_means(x, generator(4), 6)) == 6
    sigma = math.sqrt(1 / 12) / 2**10
    assert mean == 0.5 - 2.0**-21
    assert mean - 5 * sigma < low < high < mean + 5 * sigma


def test_paired_golden():
    a, b = torch.tensor([1.0, 1.0, 0.0]), torch.tensor([0.0, 0.0, 0.0])
    diff, low, high, p = paired_bootstrap(a, b, generator(5), samples=20_000)
    assert (diff, low, high) == (pytest.approx(2 / 3), 0.0, 1.0)
    # a is ahead unless only the third problem is drawn, 1/27, where it ties
    assert p == pytest.approx(1 - 0.5 / 27, abs=0.004)
    back = paired_bootstrap(b, a, generator(5), samples=20_000)
    assert back == (pytest.approx(-diff), -high, -low, pytest.approx(1 - p))
    assert isinstance(back, Difference)


def test_pairing_removes_what_problems_share():
    rng = generator(6)
    hard = torch.rand(200, generator=rng)
    a = hard + 0.01
    assert paired_bootstrap(a, hard, rng)[1:] == (pytest.approx(0.01), pytest.approx(0.01), 1.0)
    low, _, high = bootstrap_mean(a, rng)
    assert high - low > 0.05


def test_ties_count_half():
    x = torch.rand(20, generator=generator(7))
    assert paired_bootstrap(x, x, generator(8)) == (0.0, 0.0, 0.0, 0.5)
    # .1 + .2 - .3 is not 0 in floats; counted as ahead it would add 1/9
    gap = torch.tensor([0.1, 0.2, -0.3], dtype=torch.float64)
    orders = list(itertools.product([1, 2, -3], repeat=3))
    exact = sum((sum(o) > 0) + 0.5 * (sum(o) == 0) for o in orders) / 27
    p = paired_bootstrap(gap, torch.zeros(3, dtype=torch.float64), generator(10), samples=20_000).p_a_better
    assert p == pytest.approx(exact, abs=0.015)


def test_iqm():
    assert iqm(torch.tensor([9.0, 1.0, 2.0, -50.0])) == 1.5
    assert iqm(torch.arange(8.0)) == 3.5
    assert iqm(torch.tensor([0.0, 0.0, 1.0, 1.0, 100.0])) == pytest.approx(2 / 3)  # floor(5 / 4) = 1 from each end
    assert iqm(torch.tensor([1.0, 2.0, 6.0])) == 3.0
    assert iqm(torch.tensor([7.0])) == 7.0


def test_bootstrap_refusals():
    ok = torch.ones(3)
    for bad in (torch.ones(2, 2), torch.zeros(0), torch.tensor([math.nan])):
        with pytest.raises(ValueError, match="x must hold one finite score per problem"):
            bootstrap_mean(bad, generator())
        with pytest.raises(ValueError, match="x must hold one finite score per problem"):
            iqm(bad)
        with pytest.raises(ValueError, match="b must hold one finite score per problem"):
            paired_bootstrap(ok, bad, generator())
    with pytest.raises(ValueError, match="a and b must score the same problems, not 3 and 2 of them"):
        paired_bootstrap(ok, ok[:2], generator())
    with pytest.raises(ValueError, match="at least one resample is needed: 0"):
        bootstrap_mean(ok, generator(), samples=0)
    with pytest.raises(ValueError, match="level must lie strictly between 0 and 1: 95"):
        bootstrap_mean(ok, generator(), level=95)


@pytest.mark.parametrize(
    ("df", "t95", "t99"),
    [(1, 12.7062, 63.6567), (2, 4.30265, 9.92484), (3, 3.18245, 5.84091), (4, 2.77645, 4.60409), (9, 2.26216, 3.24984)],
)
def test_student_t_is_that_of_the_tables(df, t95, t99):
    assert student_t(0.95, df) == pytest.approx(t95, abs=6e-6, rel=1e-6)
    assert student_t(0.99, df) == pytest.approx(t99, abs=6e-6, rel=1e-6)


def test_student_t_where_it_is_elementary():
    """df 1: tan(pi level / 2); df 2: level sqrt(2 / (1 - level^2))."""
    for level in (0.1, 0.5, 0.9):
        assert student_t(level, 1) == pytest.approx(math.tan(math.pi * level / 2))
        assert student_t(level, 2) == pytest.approx(level * math.sqrt(2 / (1 - level**2)))
    assert student_t(0.95, 100_001) == pytest.approx(statistics.NormalDist().inv_cdf(0.975), abs=1e-4)
    for level, df in ((0.95, 0), (0.0, 4), (1.0, 4)):
        with pytest.raises(ValueError, match=r"degree of freedom|strictly between"):
            student_t(level, df)


def test_paired_t_by_hand():
    """Gaps 1, 2, 3: mean 2, s 1, t(2) = 4.30265, half = 4.30265 / sqrt(3)."""
    a, b = torch.tensor([3.0, 3.0, 3.0]), torch.tensor([2.0, 1.0, 0.0])
    half = 4.302652729749464 / math.sqrt(3)
    assert paired_t(a, b) == pytest.approx((2 - half, 2.0, 2 + half))
    assert paired_t(b, a) == pytest.approx((-2 - half, -2.0, -2 + half))
    assert paired_t(a[:1], b[:1]) == (-math.inf, 1.0, math.inf)
    assert paired_t(a, a) == (0.0, 0.0, 0.0)
    with pytest.raises(ValueError, match="the same units, not 3 and 2"):
        paired_t(a, b[:2])


def test_why_paired_t_and_no_bootstrap_for_five():
    """Of five normal draws Student's interval holds the mean 95 times in a hundred, the bootstrap's 84 times."""
    x = torch.randn(2000, 5, generator=generator(3), dtype=torch.float64)
    index = torch.randint(5, (400, 5), generator=generator(4))
    low, high = torch.quantile(x[:, index].mean(-1), torch.tensor([0.025, 0.975]).double(), dim=1)
    zero = torch.zeros(5)
    student = [paired_t(row, zero) for row in x]
    assert sum(i.low <= 0 <= i.high for i in student) / 2000 == pytest.approx(0.95, abs=0.015)
    assert float(((low <= 0) & (high >= 0)).double().mean()) == pytest.approx(0.84, abs=0.025)
