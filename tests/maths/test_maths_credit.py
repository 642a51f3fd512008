"""Credit against hand-worked values and plain loops."""

import itertools
import math
import statistics

import pytest
import torch

from sharpen.maths import (
    discounted_returns,
    discounted_returns_by,
    gae,
    gae_by,
    group_norm,
    loo_per_length,
    whiten,
)

X = torch.tensor([1.0, 0.0, 5.0, 1.0, 5.0, 2.0], dtype=torch.float64)
IDS = torch.tensor([0, 0, 1, 0, 1, 2])  # {1, 0, 1}, {5, 5}, {2}


def near(out, want, tol=1e-12):
    torch.testing.assert_close(out, torch.tensor(want, dtype=out.dtype), rtol=tol, atol=tol)


def slow_norm(xs, ids, over, center, scale, std, singleton, eps):
    """The definition, entry by entry, with the statistics module."""

    def centred(i):
        own = [x for x, u in zip(xs, ids, strict=True) if u == ids[i]]
        if center == "none":
            return xs[i]
        if len(own) == 1 or len(set(own)) == 1:
            return 0.0
        if center == "mean":
            return xs[i] - statistics.fmean(own)
        others = [x for j, x in enumerate(xs) if ids[j] == ids[i] and j != i]
        return xs[i] - statistics.fmean(others)

    out = []
    for i in range(len(xs)):
        peers = [j for j in range(len(xs)) if over[j] == over[i]]
        values = [xs[j] for j in peers]
        if (center != "none" and ids.count(ids[i]) == 1) or (scale == "std" and len(peers) == 1):
            out.append(xs[i] if singleton == "raw" else 0.0)
        elif scale == "std":
            spread = statistics.stdev(values) if std == "sample" else statistics.pstdev(values)
            out.append(0.0 if len(set(values)) == 1 else centred(i) / (spread + eps))
        elif scale == "mean":
            out.append(centred(i) / (abs(statistics.fmean(values)) + eps))
        elif scale == "maxabs":
            most = max(abs(centred(j)) for j in peers)
            out.append(0.0 if most == 0 else centred(i) / (most + eps))
        else:
            out.append(centred(i))
    return out


def test_group_norm_golden():
    a = 1 / 3 / (math.sqrt(1 / 3) + 1e-6)  # mean 2/3, sample variance (1/9 + 4/9 + 1/9) / 2
    near(group_norm(X, IDS), [a, -2 * a, 0.0, a, 0.0, 0.0])
    p = 1 / math.sqrt(2)  # population variance 2/9
    near(group_norm(X, IDS, std="population", eps=0.0), [p, -2 * p, 0.0, p, 0.0, 0.0])
    near(group_norm(X, IDS, scale="none"), [1 / 3, -2 / 3, 0.0, 1 / 3, 0.0, 0.0])
    near(group_norm(X, IDS, center="loo", scale="none"), [0.5, -1.0, 0.0, 0.5, 0.0, 0.0])
    near(group_norm(X, IDS, scale="mean", eps=0.0), [0.5, -1.0, 0.0, 0.5, 0.0, 0.0])
    near(group_norm(X, IDS, scale="maxabs", eps=0.0), [0.5, -1.0, 0.0, 0.5, 0.0, 0.0])
    near(group_norm(X, IDS, center="none", scale="maxabs", eps=0.0), [1.0, 0.0, 1.0, 1.0, 1.0, 1.0])
    near(group_norm(X, IDS, center="none", scale="none"), X.tolist())
    # centred by group, measured by the batch: mean 7/3, squares 1.78 5.44 7.11 1.78 7.11 .11 = 70/3 in all
    batch = torch.zeros_like(IDS)
    s = math.sqrt(70 / 3 / 5)
    near(group_norm(X, IDS, scale_ids=batch, eps=0.0), [1 / 3 / s, -2 / 3 / s, 0.0, 1 / 3 / s, 0.0, 0.0])


def test_an_entry_without_peers():
    assert group_norm(X, IDS, singleton="raw")[5] == 2.0
    assert group_norm(X, IDS, center="loo", scale="none", singleton="raw")[5] == 2.0
    assert group_norm(X, IDS, center="loo", scale="none")[5] == 0.0
    # no peers are asked for here, so nothing is missing
    assert group_norm(X, IDS, center="none", scale="none")[5] == 2.0
    # the spread is: an own unit for every entry has none
    own = torch.arange(6)
    assert group_norm(X, IDS, scale_ids=own).tolist() == [0.0] * 6
    assert group_norm(X, IDS, scale_ids=own, singleton="raw").tolist() == X.tolist()


@pytest.mark.parametrize("value", [0.1, 1 / 3, 1e30, -7.3, 0.0])
@pytest.mark.parametrize("center", ["mean", "loo"])
@pytest.mark.parametrize("scale", ["std", "mean", "maxabs", "none"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tied_groups_give_exactly_zero(value, center, scale, dtype):
    x = torch.full((7,), value, dtype=dtype)
    out = group_norm(x, torch.zeros(7, dtype=torch.int64), center=center, scale=scale)
    assert out.tolist() == [0.0] * 7
    assert out.dtype == dtype


def test_spread_of_exactly_zero_gives_zero():
    ids = torch.tensor([0, 0])
    assert group_norm(torch.tensor([3.0, 3.0]), ids, center="none", eps=0.0).tolist() == [0.0, 0.0]
    # seven times .1 has a mean that is not .1, hence a variance by rounding alone
    seven = torch.full((7,), 0.1, dtype=torch.float64)
    assert group_norm(seven, torch.zeros(7, dtype=torch.int64), center="none").tolist() == [0.0] * 7
    # here the squares vanish
    tiny = torch.tensor([0.0, 1e-200], dtype=torch.float64, requires_grad=True)
    out = group_norm(tiny, ids, eps=0.0)
    out.sum().backward()
    assert out.tolist() == [0.0, 0.0]
    assert tiny.grad.tolist() == [0.0, 0.0]
    assert group_norm(torch.zeros(2), ids, center="none", scale="maxabs", eps=0.0).tolist() == [0.0, 0.0]
    # groups {1, 5} and {1, 5}, measured over the equal ones: nothing to measure by
    x, over = torch.tensor([1.0, 5.0, 1.0, 5.0]), torch.tensor([0, 1, 0, 1])
    assert group_norm(x, torch.tensor([0, 0, 1, 1]), scale_ids=over).tolist() == [0.0] * 4


def test_large_values_and_a_small_spread():
    x = torch.tensor([1e8, 1e8 + 8, 1e8 + 16])  # float32 is exact here; its squares are not
    near(group_norm(x, torch.zeros(3, dtype=torch.int64), eps=0.0), [-1.0, 0.0, 1.0], 1e-6)
    huge = torch.tensor([-1e30, 1e30])  # squares overflow float32
    near(group_norm(huge, torch.zeros(2, dtype=torch.int64)), [-math.sqrt(0.5), math.sqrt(0.5)], 1e-6)


@pytest.mark.parametrize("center", ["mean", "loo", "none"])
@pytest.mark.parametrize("scale", ["std", "mean", "maxabs", "none"])
@pytest.mark.parametrize("other", [False, True])
def test_group_norm_against_a_loop(center, scale, other):
    rng = torch.Generator().manual_seed(3)
    x = torch.randint(0, 4, (40,), generator=rng).double() / 3 + 0.25
    ids = torch.randint(0, 12, (40,), generator=rng)
    ids[7] = 14  # alone
    over = torch.randint(0, 5, (40,), generator=rng) if other else ids
    for std, singleton in itertools.product(("sample", "population"), ("zero", "raw")):
        fast = group_norm(x, ids, center=center, scale=scale, scale_ids=over, std=std, singleton=singleton, eps=1e-3)
        near(fast, slow_norm(x.tolist(), ids.tolist(), over.tolist(), center, scale, std, singleton, 1e-3), 1e-10)


def test_identities():
    rng = torch.Generator().manual_seed(4)
    x, ids = torch.rand(12, generator=rng, dtype=torch.float64), torch.arange(12) // 4
    mean = group_norm(x, ids, scale="none")
    torch.testing.assert_close(group_norm(x, ids, center="loo", scale="none"), mean * 4 / 3)
    torch.testing.assert_close(group_norm(3 * x - 5, ids, eps=0.0), group_norm(x, ids, eps=0.0))
    near(torch.stack([mean[:4].sum(), mean[4:8].sum(), mean[8:].sum()]), [0.0, 0.0, 0.0])


@pytest.mark.parametrize("center", ["mean", "loo", "none"])
@pytest.mark.parametrize("scale", ["std", "mean", "maxabs", "none"])
def test_group_norm_gradient(center, scale):
    ids = torch.tensor([0, 0, 0, 1, 1, 2, 3, 3])
    x = torch.tensor([0.3, 1.2, 0.7, 2.0, 0.1, 5.0, 1.5, 2.5], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda y: group_norm(y, ids, center=center, scale=scale, eps=0.1), x)


def test_a_tied_group_has_gradient_zero_and_no_nan():
    x = torch.tensor([2.0, 2.0, 0.0, 1.0], requires_grad=True)
    group_norm(x, torch.tensor([0, 0, 1, 1])).square().sum().backward()
    assert x.grad[:2].tolist() == [0.0, 0.0]
    # for two entries A is +-sqrt(1/2) wherever they are, up to eps
    assert x.grad[2:].abs().max() < 1e-4


def test_whiten():
    x = torch.tensor([1.0, 2.0, 3.0, 6.0], dtype=torch.float64)
    s = math.sqrt(14 / 3)  # deviations -2 -1 0 3
    near(whiten(x, eps=0.0), [-2 / s, -1 / s, 0.0, 3 / s])
    near(whiten(x, eps=0.0, keep_mean=True), [3 - 2 / s, 3 - 1 / s, 3.0, 3 + 3 / s])
    near(whiten(x, eps=0.0, std="population"), [v / math.sqrt(14 / 4) for v in (-2, -1, 0, 3)])
    assert whiten(torch.full((3,), 0.1)).tolist() == [0.0, 0.0, 0.0]
    assert whiten(torch.zeros(0)).tolist() == []
    with pytest.raises(ValueError, match=r"x must be 1-D, not of shape \[1, 4\]"):
        whiten(x[None])


def test_group_norm_of_nothing():
    none = torch.zeros(0, dtype=torch.int64)
    for center, scale in itertools.product(("mean", "loo", "none"), ("std", "mean", "maxabs", "none")):
        assert group_norm(torch.zeros(0), none, center=center, scale=scale).tolist() == []


def test_group_norm_refusals():
    with pytest.raises(ValueError, match="center must be one of mean, loo, none, not 'median'"):
        group_norm(X, IDS, center="median")
    with pytest.raises(ValueError, match="scale must be one of std, mean, maxabs, none, not 'var'"):
        group_norm(X, IDS, scale="var")
    with pytest.raises(ValueError, match="std must be one of sample, population, not 'n'"):
        group_norm(X, IDS, std="n")
    with pytest.raises(ValueError, match="singleton must be one of zero, raw, not 'one'"):
        group_norm(X, IDS, singleton="one")
    with pytest.raises(ValueError, match="eps must not be negative: -1"):
        group_norm(X, IDS, eps=-1)
    with pytest.raises(ValueError, match="x must be finite; entry 1 is not"):
        group_norm(torch.tensor([0.0, math.nan]), torch.tensor([0, 0]))
    with pytest.raises(ValueError, match=r"x has 6 entries for ids of shape \[2\]"):
        group_norm(X, IDS, scale_ids=torch.tensor([0, 0]))


def test_loo_per_length_golden():
    # group 0: trace 0 steps (1 of 2 tokens, 0 of 1), trace 1 (3 of 4), trace 2 (1 of 2); group 1: trace 3 alone
    r = torch.tensor([1.0, 0.0, 3.0, 1.0, 9.0])
    n = torch.tensor([2, 1, 4, 2, 3])
    trace, group = torch.tensor([0, 0, 1, 2, 3]), torch.tensor([0, 0, 0, 0, 1])
    # others of 0: 4/6 a token; of 1: 2/5; of 2: 4/7
    near(loo_per_length(r, n, trace, group), [1 - 4 / 3, -2 / 3, 3 - 8 / 5, 1 - 8 / 7, 0.0], 1e-6)


def test_loo_per_length_against_a_loop():
    rng = torch.Generator().manual_seed(9)
    trace = torch.randint(0, 9, (40,), generator=rng)
    group = trace // 4
    r, n = torch.rand(40, generator=rng, dtype=torch.float64), torch.randint(1, 6, (40,), generator=rng)
    slow = []
    for i in range(40):
        others = [j for j in range(40) if group[j] == group[i] and trace[j] != trace[i]]
        base = sum(float(r[j]) for j in others) / sum(int(n[j]) for j in others) if others else None
        slow.append(float(r[i]) - int(n[i]) * base if base is not None else 0.0)
    near(loo_per_length(r, n, trace, group), slow)


def test_loo_per_length_refusals():
    r, t = torch.ones(2), torch.tensor([0, 0])
    assert loo_per_length(r[:0], r[:0], t[:0], t[:0]).tolist() == []
    with pytest.raises(ValueError, match=r"one positive number of tokens per step, \[2\]"):
        loo_per_length(r, torch.tensor([1, 0]), t, t)
    with pytest.raises(ValueError, match=r"one positive number of tokens per step, \[2\]"):
        loo_per_length(r, torch.tensor([1]), t, t)
    with pytest.raises(ValueError, match="a trace has steps in two groups"):
        loo_per_length(r, torch.tensor([1, 1]), t, torch.tensor([0, 1]))
    with pytest.raises(ValueError, match=r"r has 2 entries for ids of shape \[1\]"):
        loo_per_length(r, torch.tensor([1, 1]), t[:1], t)


def test_returns_golden():
    r = torch.tensor([1.0, 0.0, 4.0])
    assert discounted_returns(r).tolist() == [5.0, 4.0, 4.0]
    assert discounted_returns(r, 0.5).tolist() == [2.0, 2.0, 4.0]
    assert discounted_returns(r, 0.0).tolist() == [1.0, 0.0, 4.0]
    assert discounted_returns(torch.zeros(0)).tolist() == []
    assert discounted_returns_by(r, torch.tensor([0, 1, 0]), 0.5).tolist() == [3.0, 0.0, 4.0]
    with pytest.raises(ValueError, match=r"gamma must lie in \[0, 1\]: 1.5"):
        discounted_returns(r, 1.5)
    with pytest.raises(ValueError, match=r"r must be one sequence, 1-D, not of shape \[1, 3\]"):
        discounted_returns(r[None])


def test_gae_golden():
    r, v = torch.tensor([0.0, 0.0, 1.0]), torch.tensor([0.5, 0.25, 0.75])
    # gamma 1/2: deltas -.375, .125, .25; lam 1/2: decay 1/4
    assert gae(r, v, 0.5, 0.5).tolist() == [-0.375 + 0.25 * 0.1875, 0.1875, 0.25]
    # lam 0 is the TD error, lam 1 the return less the value
    assert gae(r, v, 0.5, 0.0).tolist() == [-0.375, 0.125, 0.25]
    assert gae(r, v, 0.5, 1.0).tolist() == [0.25 - 0.5, 0.5 - 0.25, 0.25]
    # cut short in a state worth 2: the last delta gains 1
    assert gae(r, v, 0.5, 0.0, last_value=2.0).tolist() == [-0.375, 0.125, 1.25]
    assert gae(r[:0], v[:0]).tolist() == []


def slow_gae(r, v, gamma, lam, last):
    out, adv, after = [], 0.0, last
    for reward, value in zip(reversed(r), reversed(v), strict=True):
        adv = reward + gamma * after - value + gamma * lam * adv
        after = value
        out.append(adv)
    return out[::-1]


@pytest.mark.parametrize("interleaved", [False, True])
def test_gae_by_against_a_loop(interleaved):
    rng = torch.Generator().manual_seed(11)
    ids = torch.randint(0, 6, (70,), generator=rng)
    ids = ids if interleaved else ids.sort().values
    r, v = (torch.randn(70, generator=rng, dtype=torch.float64) for _ in range(2))
    lam = torch.tensor([0.0, 0.5, 0.9, 0.95, 1.0, 0.3], dtype=torch.float64)
    last = torch.tensor([0.0, 1.0, -2.0, 0.5, 0.0, 3.0], dtype=torch.float64)
    slow = torch.zeros(70, dtype=torch.float64)
    for u in range(6):
        own = ids == u
        out = slow_gae(r[own].tolist(), v[own].tolist(), 0.97, float(lam[u]), float(last[u]))
        slow[own] = torch.tensor(out, dtype=torch.float64)
    torch.testing.assert_close(gae_by(r, v, ids, 0.97, lam, last), slow)


def test_gae_gradient_and_refusals():
    ids = torch.tensor([0, 1, 0, 1, 1])
    rng = torch.Generator().manual_seed(12)
    r, v = (torch.randn(5, generator=rng, dtype=torch.float64).requires_grad_() for _ in range(2))
    assert torch.autograd.gradcheck(lambda a, b: gae_by(a, b, ids, 0.9, 0.8), (r, v))
    with pytest.raises(ValueError, match=r"lam must lie in \[0, 1\]: 2"):
        gae_by(r, v, ids, 0.9, 2)
    with pytest.raises(ValueError, match=r"v has 4 entries for ids of shape \[5\]"):
        gae_by(r, v[:4], ids)
    with pytest.raises(ValueError, match=r"last_value must be one number or one per unit, \[2\]"):
        gae_by(r, v, ids, last_value=torch.zeros(3))
