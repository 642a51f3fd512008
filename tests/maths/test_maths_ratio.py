"""Log-ratios: values, and where their gradient goes."""

import math

import pytest
import torch

from sharpen.maths import log_ratio

NEW = [-1.0, -2.0, -0.5, -3.0]
OLD = torch.tensor([-1.5, -2.0, -1.5, -2.0])  # differences .5, 0, 1, -1
IDS = torch.tensor([0, 1, 0, 0])  # unit 0: .5, 1, -1


def leaf() -> torch.Tensor:
    return torch.tensor(NEW, requires_grad=True)


def gradient(weights: list[float], **how) -> list[float]:
    new = leaf()
    (log_ratio(new, OLD, IDS, **how) * torch.tensor(weights)).sum().backward()
    return new.grad.tolist()


def test_values():
    assert log_ratio(leaf(), OLD).tolist() == [0.5, 0.0, 1.0, -1.0]
    assert log_ratio(leaf(), OLD, IDS, "sum").tolist() == [0.5, 0.0, 0.5, 0.5]
    sixth = torch.tensor(0.5) / 3
    assert log_ratio(leaf(), OLD, IDS, "mean").tolist() == [float(sixth), 0.0, float(sixth), float(sixth)]
    for how in ("atom", "sum", "mean"):
        plain, own = (log_ratio(leaf(), OLD, IDS, how, gradient=g) for g in ("unit", "atom"))
        torch.testing.assert_close(plain, own)
        assert log_ratio(OLD, OLD, IDS, how).tolist() == [0.0] * 4


def test_gradients():
    weights = [1.0, 2.0, 3.0, 5.0]
    assert gradient(weights, how="atom") == weights
    # unit 0 weighs 1 + 3 + 5 = 9 in all, and each of its atoms carries all of that, or a third
    assert gradient(weights, how="sum") == [9.0, 2.0, 9.0, 9.0]
    assert gradient(weights, how="mean") == pytest.approx([3.0, 2.0, 3.0, 3.0])
    # with the gradient of the atom each answers for itself alone
    for how in ("atom", "sum", "mean"):
        assert gradient(weights, how=how, gradient="atom") == weights


def test_token_form_gives_the_unit_ratio_to_each_own_atom():
    new = leaf()
    (log_ratio(new, OLD, IDS, "mean", gradient="atom").exp() * torch.tensor([1.0, 2.0, 3.0, 5.0])).sum().backward()
    s = math.exp(1 / 6)
    assert new.grad.tolist() == pytest.approx([s, 2.0, 3 * s, 5 * s])


def test_unknown_stays_unknown():
    old = torch.tensor([-1.5, -2.0, math.nan, -2.0])
    assert torch.isnan(log_ratio(leaf(), old)).tolist() == [False, False, True, False]
    assert torch.isnan(log_ratio(leaf(), old, IDS, "mean")).tolist() == [True, False, True, True]


def test_nothing_and_refusals():
    none = torch.zeros(0)
    assert log_ratio(none, none, torch.zeros(0, dtype=torch.int64), "mean").tolist() == []
    with pytest.raises(ValueError, match=r"new and old must be 1-D and alike, not \[4\] and \[3\]"):
        log_ratio(leaf(), OLD[:3])
    with pytest.raises(ValueError, match="how='sum' needs ids, the unit of each atom"):
        log_ratio(leaf(), OLD, how="sum")
    with pytest.raises(ValueError, match="how is atom, sum or mean and gradient is unit or atom, not 'max' and 'unit'"):
        log_ratio(leaf(), OLD, IDS, "max")
