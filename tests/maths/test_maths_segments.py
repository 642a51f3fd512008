"""Reductions by ids against hand-worked values and plain loops."""

import math

import pytest
import torch

from sharpen.maths import (
    count_by,
    count_units,
    is_last,
    last_of,
    max_by,
    mean_by,
    softmax_by,
    spread,
    suffix_sum_by,
    sum_by,
)

IDS = torch.tensor([0, 0, 2, 0, 2, 3])  # unit 1 is empty, units 0 and 2 interleave
X = torch.tensor([1.0, 2.0, 10.0, 6.0, -4.0, 7.0])


def drawn(seed: int, n: int = 60, units: int = 7) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(n, generator=rng, dtype=torch.float64)
    return x, torch.randint(units, (n,), generator=rng)


def members(ids: torch.Tensor, unit: int) -> list[int]:
    return [i for i, u in enumerate(ids.tolist()) if u == unit]


def test_golden_reductions():
    assert count_units(IDS) == 4
    assert count_units(IDS, 6) == 6
    assert count_by(IDS).tolist() == [3, 0, 2, 1]
    assert count_by(IDS, 6).tolist() == [3, 0, 2, 1, 0, 0]
    assert sum_by(X, IDS).tolist() == [9.0, 0.0, 6.0, 7.0]
    assert sum_by(X, IDS, 5).tolist() == [9.0, 0.0, 6.0, 7.0, 0.0]
    assert mean_by(X, IDS).tolist() == [3.0, 0.0, 3.0, 7.0]
    assert mean_by(X, IDS, empty=-1.0).tolist() == [3.0, -1.0, 3.0, 7.0]
    assert max_by(X, IDS).tolist() == [6.0, -math.inf, 10.0, 7.0]
    assert max_by(X, IDS, empty=0.5).tolist() == [6.0, 0.5, 10.0, 7.0]
    assert spread(torch.tensor([5, 6, 7, 8]), IDS).tolist() == [5, 5, 7, 5, 7, 8]
    assert is_last(IDS).tolist() == [False, False, False, True, True, True]
    assert last_of(torch.tensor([1, 0, 1, 0])).tolist() == [3, 2]


def test_softmax_inside_units_golden():
    """Units 0 and 2 hold log 1, log 2, log 5 and 1000, 1000 - log 3; unit 3 one entry."""
    x = torch.tensor([0.0, math.log(2), 1000.0, math.log(5), 1000.0 - math.log(3), -3.0], dtype=torch.float64)
    torch.testing.assert_close(softmax_by(x, IDS), torch.tensor([1 / 8, 2 / 8, 3 / 4, 5 / 8, 1 / 4, 1.0]).double())
    assert softmax_by(x[:0], IDS[:0]).tolist() == []


def test_softmax_gradient_stays_in_its_unit():
    x = torch.tensor([0.0, math.log(3), 5.0], dtype=torch.float64, requires_grad=True)
    softmax_by(x, torch.tensor([0, 0, 1]))[0].backward()
    torch.testing.assert_close(x.grad, torch.tensor([3 / 16, -3 / 16, 0.0]).double())  # p (1 - p), -p q


def test_max_ignores_the_starting_value():
    assert max_by(torch.tensor([-3.0, -2.0]), torch.tensor([0, 0]), empty=0.0).tolist() == [-2.0]


@pytest.mark.parametrize("seed", range(3))
def test_reductions_against_loops(seed):
    x, ids = drawn(seed)
    xs = x.tolist()
    for u in range(int(ids.max()) + 1):
        own = [xs[i] for i in members(ids, u)]
        assert count_by(ids)[u] == len(own)
        assert float(sum_by(x, ids)[u]) == pytest.approx(sum(own), abs=1e-12)
        assert float(mean_by(x, ids)[u]) == pytest.approx(sum(own) / len(own), abs=1e-12)
        assert float(max_by(x, ids)[u]) == max(own)
        assert int(last_of(ids)[u]) == members(ids, u)[-1]
    assert is_last(ids).nonzero().flatten().tolist() == sorted(members(ids, u)[-1] for u in range(7))


def test_no_entries():
    none, x = torch.zeros(0, dtype=torch.int64), torch.zeros(0)
    assert count_units(none) == 0
    assert sum_by(x, none).tolist() == []
    assert sum_by(x, none, 2).tolist() == [0.0, 0.0]
    assert mean_by(x, none, 1, empty=9.0).tolist() == [9.0]
    assert count_by(none, 1).tolist() == [0]
    assert suffix_sum_by(x, none).tolist() == []
    assert last_of(none).tolist() == []
    assert is_last(none).tolist() == []
    assert spread(torch.tensor([1.0]), none).tolist() == []


def test_suffix_sums_golden():
    # unit 0: 1, 2, 6 -> 9, 8, 6;  unit 2: 10, -4 -> 6, -4;  unit 3: 7
    assert suffix_sum_by(X, IDS).tolist() == [9.0, 8.0, 6.0, 6.0, -4.0, 7.0]
    # factor 1/2: 1 + (2 + 6/2)/2 = 3.5, 2 + 3 = 5; 10 - 2 = 8
    assert suffix_sum_by(X, IDS, 0.5).tolist() == [3.5, 5.0, 8.0, 6.0, -4.0, 7.0]
    assert suffix_sum_by(X, IDS, 0.0).tolist() == X.tolist()
    # one factor per unit
    assert suffix_sum_by(X, IDS, torch.tensor([0.0, 9.0, 1.0, 5.0])).tolist() == [1.0, 2.0, 6.0, 6.0, -4.0, 7.0]


@pytest.mark.parametrize("factor", [1.0, 0.9, 0.0, 1.5])
@pytest.mark.parametrize("units", [1, 7])
def test_suffix_sums_against_a_loop(factor, units):
    x, ids = drawn(5, units=units)
    slow = [0.0] * len(x)
    for u in range(units):
        later = 0.0
        for i in reversed(members(ids, u)):
            later = slow[i] = float(x[i]) + factor * later
    torch.testing.assert_close(suffix_sum_by(x, ids, factor), torch.tensor(slow, dtype=torch.float64))


def test_a_unit_keeps_its_infinities_and_its_rounding():
    ids = torch.tensor([0, 0, 1, 1, 2, 2, 2])
    x = torch.tensor([1.0, 2.0, math.inf, 1e30, 0.25, math.nan, 0.5])
    out = suffix_sum_by(x, ids).tolist()
    assert out[:4] == [3.0, 2.0, math.inf, torch.tensor(1e30).item()]
    assert math.isnan(out[4])
    assert math.isnan(out[5])
    assert out[6] == 0.5
    alone = torch.tensor([0.1, 0.7, 0.3])
    crowd = torch.cat([torch.full((50,), 1e20), alone, torch.full((50,), -1e20)])
    where = torch.tensor([0] * 50 + [1] * 3 + [2] * 50)
    assert suffix_sum_by(crowd, where)[50:53].equal(suffix_sum_by(alone, torch.zeros(3, dtype=torch.int64)))


def test_gradients_by_hand():
    x = X.clone().requires_grad_()
    (mean_by(x, IDS) * torch.tensor([3.0, 5.0, 4.0, 1.0])).sum().backward()
    assert x.grad.tolist() == [1.0, 1.0, 2.0, 1.0, 2.0, 1.0]
    y = torch.tensor([1.0, 4.0, 4.0], requires_grad=True)
    max_by(y, torch.zeros(3, dtype=torch.int64)).sum().backward()
    assert y.grad.tolist() == [0.0, 0.5, 0.5]
    z = X.clone().requires_grad_()
    suffix_sum_by(z, IDS, 0.5).sum().backward()
    # d/dx_t is 1 + 1/2 + 1/4 + ... over what precedes it in its unit
    assert z.grad.tolist() == [1.0, 1.5, 1.0, 1.75, 1.5, 1.0]
    v = torch.tensor([1.0, 2.0], requires_grad=True)
    spread(v, torch.tensor([1, 1, 0])).sum().backward()
    assert v.grad.tolist() == [1.0, 2.0]


def test_refusals():
    with pytest.raises(ValueError, match=r"ids must be int64\[N\], not int32\[2\]"):
        count_units(torch.tensor([0, 1], dtype=torch.int32))
    with pytest.raises(ValueError, match=r"ids must be int64\[N\], not int64\[1, 2\]"):
        count_by(torch.tensor([[0, 1]]))
    with pytest.raises(ValueError, match="ids must not be negative: -1"):
        count_units(torch.tensor([0, -1]))
    with pytest.raises(ValueError, match="id 3 does not fit into 3 units"):
        sum_by(X, IDS, 3)
    with pytest.raises(ValueError, match="number of units must not be negative: -1"):
        count_units(torch.zeros(0, dtype=torch.int64), -1)
    with pytest.raises(ValueError, match=r"x must be a 1-D tensor of floats, not int64\[6\]"):
        mean_by(IDS, IDS)
    with pytest.raises(ValueError, match=r"x has 5 entries for ids of shape \[6\]"):
        max_by(X[:5], IDS)
    with pytest.raises(ValueError, match=r"values must be 1-D, one per unit, not float32\[1, 6\]"):
        spread(X[None], IDS)
    with pytest.raises(ValueError, match="id 3 does not fit into 2 units"):
        spread(X[:2], IDS)
    with pytest.raises(ValueError, match="unit 1 has no entries, so it has no last one"):
        last_of(IDS)
    with pytest.raises(ValueError, match=r"factor must be one number or one per unit, \[4\], not float32\[2\]"):
        suffix_sum_by(X, IDS, torch.ones(2))
