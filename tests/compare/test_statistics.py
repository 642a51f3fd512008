"""The statistics of studies against slow versions, and by hand."""

from __future__ import annotations

import math

import pytest
import torch

from sharpen.study.statistics import (
    Reached,
    band,
    between,
    cost_to_reach,
    difference,
    interval,
    median_cost,
    normalised,
    stratified_iqm,
    widening,
)

A = [[0.25, 0.5, 1.0, 0.0], [0.5, 0.75, 1.0, 0.25], [0.0, 0.5, 0.75, 0.0]]
B = [[0.25, 0.25, 1.0, 0.25], [0.25, 0.5, 1.0, 0.0], [0.25, 0.25, 0.5, 0.0]]


def gen(seed=3):
    return torch.Generator().manual_seed(seed)


def quantile(values, q):
    """Between the two nearest of the ordered values."""
    ordered = sorted(values)
    at = q * (len(ordered) - 1)
    low = math.floor(at)
    return ordered[low] + (at - low) * (ordered[min(low + 1, len(ordered) - 1)] - ordered[low])


def slow_means(x, samples):
    """Every resample written out: its seeds, further from all seeds than they are, and its problems, which are the same
    in all of them."""
    g = gen()
    seeds = torch.randint(len(x), (samples, len(x)), generator=g).tolist()
    problems = torch.randint(len(x[0]), (samples, len(x[0])), generator=g).tolist()
    means = []
    for ss, ps in zip(seeds, problems, strict=True):
        drawn = sum(x[s][p] for s in ss for p in ps) / (len(ss) * len(ps))
        every = sum(row[p] for row in x for p in ps) / (len(x) * len(ps))
        means.append(every + WIDER[len(x)] * (drawn - every))
    return means


WIDER = {1: 1.0, 3: math.sqrt(3 / 2) * 4.302653 / 1.959964}
"""By tables of Student's and the normal quantiles."""


def test_intervals_of_few_seeds_are_widened():
    found = [round(widening(n), 3) for n in (1, 2, 3, 5, 12)]
    assert found == [1.0, 9.168, 2.689, 1.584, 1.173]
    assert widening(3, 2) == pytest.approx(math.sqrt(3 / 2) * 2.776445 / 1.959964)  # twice as many degrees of freedom
    assert widening(10**6) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(("seeds", "least"), [(3, 0.92), (5, 0.92)])
def test_intervals_cover_as_often_as_they_say(seeds, least):
    """Methods that do not differ, at seeds that do: without the widening 74 and 84 in a hundred were covered."""
    g, covered = gen(1), 0
    for _ in range(500):
        a = 0.5 + 0.1 * torch.randn(seeds, 1, generator=g).expand(seeds, 20)
        found = difference(a, torch.full_like(a, 0.5), g, 400)
        covered += found.low <= 0 <= found.high
    assert least <= covered / 500 <= 0.98


def test_intervals_of_shares_stay_within_them():
    x = torch.tensor([[1.0, 1.0], [0.5, 1.0]])
    assert interval(x, gen()).high == 1.0
    assert interval(1 - x, gen()).low == 0.0
    found = difference(x, torch.zeros_like(x), gen())
    # behind where the second seed is drawn twice and the first problem at all: 1/4 * 3/4
    assert (found.high, found.p_a_better) == (1.0, pytest.approx(13 / 16, abs=0.03))


def test_an_interval_resamples_seeds_and_problems():
    means = slow_means(A, 50)
    found = interval(torch.tensor(A), gen(), 50)
    ends = [min(1.0, max(0.0, quantile(means, q))) for q in (0.025, 0.975)]
    assert found == pytest.approx((ends[0], sum(map(sum, A)) / 12, ends[1]))
    assert found.low < found.mean < found.high
    one = interval(torch.tensor(A[:1]), gen(), 50)
    assert one.mean == pytest.approx(0.4375)  # with one seed only problems are resampled
    assert (one.low, one.high) == pytest.approx(tuple(quantile(slow_means(A[:1], 50), q) for q in (0.025, 0.975)))


def test_a_difference_is_paired_by_seed_and_problem():
    gap = [[x - y for x, y in zip(a, b, strict=True)] for a, b in zip(A, B, strict=True)]
    means = slow_means(gap, 300)
    found = difference(torch.tensor(A), torch.tensor(B), gen(), 300)
    ahead = sum(1.0 if m > 1e-12 else 0.5 if abs(m) <= 1e-12 else 0.0 for m in means) / 300
    assert found == pytest.approx((1 / 12, quantile(means, 0.025), quantile(means, 0.975), ahead))
    assert any(abs(m) <= 1e-12 for m in means)
    assert 0.5 < ahead < 1
    back = difference(torch.tensor(B), torch.tensor(A), gen(), 300)
    assert back == pytest.approx((-found.diff, -found.high, -found.low, 1 - ahead))


def test_differences_that_need_no_chance():
    x = torch.tensor(A)
    assert difference(x, x, gen()) == (0.0, 0.0, 0.0, 0.5)
    assert difference(x + 0.125, x, gen()) == pytest.approx((0.125, 0.125, 0.125, 1.0))
    # 0.1 + 0.2 - 0.3 is not 0, and yet nobody is ahead
    y = torch.tensor([[0.1 + 0.2, 0.5]], dtype=torch.float64)
    assert difference(y, torch.tensor([[0.3, 0.5]], dtype=torch.float64), gen()).p_a_better == 0.5
    with pytest.raises(ValueError, match="the same seeds and problems"):
        difference(x, x[:2], gen())
    with pytest.raises(ValueError, match="must be finite"):
        interval(x / 0, gen())


def test_what_a_target_cost():
    points = [(0.0, 0.1), (100.0, 0.4), (200.0, 0.3), (300.0, 0.6)]
    assert [cost_to_reach(points, t) for t in (0.05, 0.1, 0.35, 0.4, 0.5, 0.7)] == [0, 0, 100, 100, 300, math.inf]
    assert median_cost([300.0, 100.0, 200.0]) == Reached(200.0, 3, 3)
    assert median_cost([300.0, math.inf, 100.0]) == Reached(300.0, 2, 3)
    assert median_cost([100.0, math.inf, math.inf]) == Reached(None, 1, 3)
    assert median_cost([100.0, 200.0, 400.0, math.inf]) == Reached(300.0, 3, 4)
    assert median_cost([100.0, 200.0, math.inf, math.inf]) == Reached(None, 2, 4)
    assert median_cost([]) == Reached(None, 0, 0)


def test_scores_as_shares_of_what_is_left():
    found = [normalised(x, 0.2) for x in (0.2, 1.0, 0.6, 0.0)]
    assert found == pytest.approx([0, 1, 0.5, -0.25])
    assert normalised(0.75, 1.0) == -0.25


def test_the_interquartile_mean_of_all_runs():
    """Runs 0.1, 0.9, 0.4 and 0.5, 0.3, 0.8, 0.2 and 0.6 of two tasks: the lowest two and the highest two go."""
    tasks = [[0.1, 0.9, 0.4], [0.5, 0.3, 0.8, 0.2, 0.6]]
    found = stratified_iqm([torch.tensor(t, dtype=torch.float64) for t in tasks], gen(), 40)
    assert found.mean == pytest.approx((0.3 + 0.4 + 0.5 + 0.6) / 4)
    g, means = gen(), []
    drawn = [torch.randint(len(t), (40, len(t)), generator=g).tolist() for t in tasks]
    for k in range(40):
        runs = sorted(t[i] for t, d in zip(tasks, drawn, strict=True) for i in d[k])
        means.append(sum(runs[2:6]) / 4)
    wide = math.sqrt(3 / 2) * 2.776445 / 1.959964
    ends = (found.mean + wide * (quantile(means, q) - found.mean) for q in (0.025, 0.975))
    assert (found.low, found.high) == pytest.approx(tuple(ends))


def test_curves_of_several_seeds_as_one():
    one, two = [(0.0, 0.0), (10.0, 1.0), (30.0, 0.5)], [(0.0, 0.2), (20.0, 0.4)]
    assert [between(one, x) for x in (-5, 0, 5, 10, 20, 30, 40)] == [0, 0, 0.5, 1, 0.75, 0.5, 0.5]
    found = band([one, two], 3)
    assert found.at == [0, 10, 20]  # to where the first of them ends
    assert found.mean == pytest.approx([0.1, 0.65, 0.575])
    assert found.low == pytest.approx([0.0, 0.3, 0.4])
    assert found.high == pytest.approx([0.2, 1.0, 0.75])
    level = band([[(0.0, 0.25)], [(0.0, 0.75)]], 3)
    assert level == ([0.0], [0.5], [0.25], [0.75])
