"""Calibration against hand-worked bars and loops over pairs."""

import math

import pytest
import torch

from sharpen.maths import Bin, auroc, brier, ece, reliability

P = torch.tensor([0.1, 0.3, 0.35, 0.9, 1.0])
Y = torch.tensor([0, 1, 0, 1, 1])


def drawn(seed: int, n: int = 80) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    p = torch.randint(0, 21, (n,), generator=rng).double() / 20  # many ties, many on edges
    return p, torch.rand(n, generator=rng) < 0.6


def test_brier():
    assert brier(torch.tensor([0.5, 0.5]), torch.tensor([0, 1])) == 0.25
    assert brier(torch.tensor([1.0, 0.0]), torch.tensor([True, False])) == 0.0
    assert brier(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])) == 1.0
    p, y = drawn(0)
    slow = sum((a - b) ** 2 for a, b in zip(p.tolist(), y.tolist(), strict=True)) / 80
    assert brier(p, y) == pytest.approx(slow)


def test_reliability_golden():
    p = torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0])  # four bins: 0 and 1/4 in the first, an edge belongs below
    y = torch.tensor([0, 1, 1, 0, 1])
    assert reliability(p, y, 4) == [
        Bin(0.0, 0.25, 2, 0.125, 0.5),
        Bin(0.25, 0.5, 1, 0.5, 1.0),
        Bin(0.5, 0.75, 1, 0.75, 0.0),
        Bin(0.75, 1.0, 1, 1.0, 1.0),
    ]
    # gaps .375 * 2, .5, .75, 0
    assert ece(p, y, 4) == pytest.approx(2 / 5)
    assert reliability(p, y, 2, "mass") == [Bin(0.0, 0.5, 3, 0.25, 2 / 3), Bin(0.75, 1.0, 2, 0.875, 0.5)]
    assert ece(p, y, 2, "mass") == pytest.approx((3 * (2 / 3 - 0.25) + 2 * 0.375) / 5)
    # an empty bar is left out
    assert [b.low for b in reliability(torch.tensor([0.05, 0.95]), torch.tensor([0, 1]))] == [0.0, 0.9]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("bins", [3, 7, 10, 20])
def test_edges_belong_to_the_bin_below(dtype, bins):
    p = torch.arange(1, bins + 1, dtype=dtype) / bins
    bars = reliability(p, torch.zeros(bins), bins)
    assert [b.size for b in bars] == [1] * bins
    assert [b.high for b in bars] == pytest.approx(p.tolist())


@pytest.mark.parametrize("seed", range(3))
def test_ece_against_a_loop(seed):
    p, y = drawn(seed)
    total = 0.0
    for b in range(10):
        own = [i for i in range(80) if (b / 10 < p[i] <= (b + 1) / 10) or (b == 0 and p[i] == 0)]
        if own:
            total += abs(sum(float(y[i]) for i in own) - sum(float(p[i]) for i in own))
    assert ece(p, y) == pytest.approx(total / 80)


def test_equal_mass():
    rng = torch.Generator().manual_seed(4)
    p, y = torch.rand(23, generator=rng), torch.rand(23, generator=rng) < 0.5
    order = p.argsort().tolist()
    parts = [[i for rank, i in enumerate(order) if rank * 5 // 23 == b] for b in range(5)]
    bars = reliability(p, y, 5, "mass")
    assert [b.size for b in bars] == [len(own) for own in parts] == [5, 5, 4, 5, 4]
    assert [b.accuracy for b in bars] == pytest.approx([sum(bool(y[i]) for i in own) / len(own) for own in parts])
    assert [b.low for b in bars] == [float(p[own[0]]) for own in parts]
    # equal confidences stay together, so the order of the input does not matter
    p, y = drawn(5)
    shuffled = torch.randperm(80, generator=rng)
    bars, again = reliability(p, y, 6, "mass"), reliability(p[shuffled], y[shuffled], 6, "mass")
    assert len(bars) == len(again) == 6
    for one, two in zip(bars, again, strict=True):
        assert tuple(two) == pytest.approx(tuple(one))
    # the three sit around the rank 2 of 0 to 3, which is in the upper half
    assert [b.size for b in reliability(torch.tensor([0.5, 0.1, 0.5, 0.5]), torch.ones(4), 2, "mass")] == [1, 3]
    same = torch.full((9,), 0.5)
    assert [b.size for b in reliability(same, torch.ones(9), 3, "mass")] == [9]


def test_perfect_and_worst():
    y = torch.tensor([0, 1, 1, 0])
    for how in ("width", "mass"):
        assert ece(y.float(), y, how=how) == 0.0
        assert ece(1 - y.float(), y, how=how) == 1.0
    assert auroc(y.float(), y) == 1.0
    assert auroc(-y.float(), y) == 0.0


def test_auroc_golden_and_against_pairs():
    assert auroc(P, Y) == 5 / 6  # .3 beats .1 only; .9 and 1 beat both
    assert auroc(torch.tensor([0.5, 0.5, 0.5]), torch.tensor([1, 0, 0])) == 0.5
    assert auroc(torch.tensor([-30.0, 1e9]), torch.tensor([0, 1])) == 1.0
    for seed in range(3):
        p, y = drawn(seed)
        right = [float(s) for s, t in zip(p, y, strict=True) if t]
        wrong = [float(s) for s, t in zip(p, y, strict=True) if not t]
        pairs = sum((a > b) + 0.5 * (a == b) for a in right for b in wrong)
        assert auroc(p, y) == pairs / (len(right) * len(wrong))


def test_refusals():
    with pytest.raises(ValueError, match=r"needs floats \[N\] and as many verdicts, N >= 1, not \[2\] and \[1\]"):
        brier(torch.zeros(2), torch.zeros(1))
    with pytest.raises(ValueError, match=r"N >= 1, not \[0\] and \[0\]"):
        ece(torch.zeros(0), torch.zeros(0))
    with pytest.raises(ValueError, match=r"confidences must lie in \[0, 1\]"):
        brier(torch.tensor([1.5]), torch.tensor([1]))
    with pytest.raises(ValueError, match=r"confidences must lie in \[0, 1\]"):
        brier(torch.tensor([math.nan]), torch.tensor([1]))
    with pytest.raises(ValueError, match="scores must be finite"):
        auroc(torch.tensor([math.inf, 0.0]), torch.tensor([1, 0]))
    with pytest.raises(ValueError, match="verdicts must be 0 or 1"):
        brier(torch.tensor([0.5]), torch.tensor([2]))
    with pytest.raises(ValueError, match="bins must be at least 1 and how be width or mass, not 0 and 'width'"):
        ece(P, Y, 0)
    with pytest.raises(ValueError, match="not 10 and 'rank'"):
        reliability(P, Y, how="rank")
    with pytest.raises(ValueError, match="AUROC needs right and wrong answers, not 2 and 0 of them"):
        auroc(torch.zeros(2), torch.ones(2))
