"""Golden values and gradient support: which sign x clip cases send exactly no gradient."""

import math

import pytest
import torch

from sharpen.errors import SharpenError
from sharpen.loss.policy import KL, NLL, MirrorDescent, PPOClip, Reinforce, ratio
from sharpen.types import Batch, Scored


def batch(old, adv=None, ref=None, trace=None, segment=None):
    n = len(old)
    cols = {"logp_old": torch.tensor(old).log(), "adv": torch.tensor(adv or [1.0] * n)}
    if ref is not None:
        cols["logp_ref"] = torch.tensor(ref).log()
    trace = torch.tensor(trace or [0] * n)
    segment = torch.tensor(segment) if segment else trace
    return Batch([None] * (int(trace.max()) + 1), cols, segment, trace, torch.zeros(1, dtype=torch.long), {})


def gradient(loss, probs, b):
    logp = torch.tensor(probs).log().requires_grad_()
    out = loss(Scored(logp), b)
    out.sum().backward()
    return out.detach(), logp.grad


def test_ppo_clip_by_hand():
    """Ratios 2, 2, 1/2, 1/2 and 1.1 with credit +, -, +, - and +: only the pessimistic side moves."""
    b = batch([0.2, 0.2, 0.2, 0.2, 0.2], [1.0, -1.0, 1.0, -1.0, 3.0])
    values, grads = gradient(PPOClip(), [0.4, 0.4, 0.1, 0.1, 0.22], b)
    # -min(rA, clip(r)A): -1.2, 2, -0.5, 0.8, -3.3; the gradient of -rA by log p is -rA
    torch.testing.assert_close(values, torch.tensor([-1.2, 2.0, -0.5, 0.8, -3.3]))
    torch.testing.assert_close(grads, torch.tensor([0.0, 2.0, -0.5, 0.0, -3.3]))
    assert float(grads[0]) == 0.0
    assert float(grads[3]) == 0.0


def test_clip_higher_lets_rising_tokens_rise_further():
    b = batch([0.2, 0.2], [1.0, 1.0])
    _, plain = gradient(PPOClip(0.2, 0.2), [0.25, 0.3], b)
    _, higher = gradient(PPOClip(0.2, 0.28), [0.25, 0.3], b)
    assert plain.tolist() == [0.0, 0.0]
    assert higher.tolist() == pytest.approx([-1.25, 0.0])


def test_trace_ratio_is_the_geometric_mean_and_every_token_carries_it():
    b = batch([0.2, 0.2, 0.5], [1.0, 1.0, 2.0], trace=[0, 0, 1])
    r = ratio(Scored(torch.tensor([0.4, 0.3, 0.25]).log()), b, "trace", "mean")
    torch.testing.assert_close(r, torch.tensor([math.sqrt(2 * 1.5)] * 2 + [0.5]))
    r = ratio(Scored(torch.tensor([0.4, 0.3, 0.25]).log()), b, "trace", "sum")
    torch.testing.assert_close(r, torch.tensor([3.0, 3.0, 0.5]))
    _, grads = gradient(PPOClip(10, 10, "trace", "mean"), [0.4, 0.3, 0.25], b)
    # d/dlog p_i of -(r + r) with r = sqrt(p1 p2 / q1 q2): each of two atoms gets -2 r / 2
    torch.testing.assert_close(grads, torch.tensor([-math.sqrt(3.0)] * 2 + [-1.0]))


def test_segment_ratio_stays_inside_the_turn():
    b = batch([0.5, 0.5, 0.5], segment=[0, 0, 1])
    r = ratio(Scored(torch.tensor([0.25, 0.5, 1.0]).log()), b, "segment", "sum")
    torch.testing.assert_close(r, torch.tensor([0.5, 0.5, 2.0]))


def test_what_is_watched():
    b = batch([0.2] * 4, [1.0, -1.0, 1.0, -1.0])
    seen = PPOClip().watch(Scored(torch.tensor([0.4, 0.4, 0.1, 0.1]).log()), b)
    torch.testing.assert_close(seen["ratio"], torch.tensor([2.0, 2.0, 0.5, 0.5]))
    assert seen["clipped"].tolist() == [1, 0, 0, 1]


@pytest.mark.parametrize(
    ("estimator", "value", "slope"),
    # d = log(ref / p) with p = 0.5, ref = 0.25: k3 = e^d - d - 1, k2 = d^2 / 2; slopes by log p are 1 - e^d and -d
    [("k3", 0.5 + math.log(2) - 1, 0.5), ("k2", math.log(2) ** 2 / 2, math.log(2))],
)
def test_kl_by_hand(estimator, value, slope):
    values, grads = gradient(KL(estimator), [0.5], batch([0.5], ref=[0.25]))
    assert float(values[0]) == pytest.approx(value, rel=1e-5)
    assert float(grads[0]) == pytest.approx(slope, rel=1e-5)


def test_kl_is_exactly_zero_at_the_reference():
    values, grads = gradient(KL(), [0.3], batch([0.3], ref=[0.3]))
    assert values.tolist() == [0.0]
    assert grads.tolist() == [0.0]


def test_nll_is_the_negative_log_prob_whoever_wrote_it():
    b = batch([0.5, 0.5])
    b.cols["logp_old"][:] = float("nan")
    values, grads = gradient(NLL(), [0.5, 0.25], b)
    torch.testing.assert_close(values, torch.tensor([math.log(2), math.log(4)]))
    assert grads.tolist() == [-1.0, -1.0]


def test_unknown_behaviour_is_refused():
    b = batch([0.5, 0.5])
    b.cols["logp_old"][1] = float("nan")
    with pytest.raises(SharpenError, match="re-score them explicitly"):
        PPOClip()(Scored(torch.zeros(2)), b)


def test_reinforce_without_bounds_is_the_score_function():
    b = batch([0.2] * 3, [2.0, -1.0, 0.0])
    b.cols["logp_old"][:] = float("nan")  # no ratio is taken, so nobody needs to know who drew it
    values, grads = gradient(Reinforce(), [0.4, 0.1, 0.3], b)
    torch.testing.assert_close(values, -torch.tensor([2.0, -1.0, 0.0]) * torch.tensor([0.4, 0.1, 0.3]).log())
    assert grads.tolist() == [-2.0, 1.0, 0.0]


def test_clipped_weights_keep_every_gradient():
    """CISPO: ratios 2, 2, 1/2, 1/2 clipped to [0.8, 1.28], whatever the sign of the credit."""
    b = batch([0.2] * 4, [1.0, -1.0, 1.0, -1.0])
    _, grads = gradient(Reinforce((0.8, 1.28), (0.8, 1.28)), [0.4, 0.4, 0.1, 0.1], b)
    torch.testing.assert_close(grads, torch.tensor([-1.28, 1.28, -0.8, 0.8]))


def test_tapered_weights_are_those_of_the_whole_trace():
    """TOPR: right answers at weight 1, wrong ones at their trace's ratio, at most 1. Trace ratios: 3, 1/2, 4."""
    b = batch([0.2, 0.2, 0.5, 0.1], [1.0, 1.0, -1.0, -1.0], trace=[0, 0, 1, 2])
    loss = Reinforce((1.0, 1.0), (0.0, 1.0), "trace", "sum")
    _, grads = gradient(loss, [0.4, 0.3, 0.25, 0.4], b)
    torch.testing.assert_close(grads, torch.tensor([-1.0, -1.0, 0.5, 1.0]))
    seen = loss.watch(Scored(torch.tensor([0.4, 0.3, 0.25, 0.4]).log()), b)
    torch.testing.assert_close(seen["weight"], torch.tensor([1.0, 1.0, 0.5, 1.0]))


def test_mirror_descent_by_hand():
    """Two traces: log-ratios log 3 (of two tokens) and -log 2; credit 1 and -0.5; tau 0.5."""
    b = batch([0.2, 0.2, 0.5], [1.0, 1.0, -0.5], trace=[0, 0, 1])
    values, grads = gradient(MirrorDescent(tau=0.5), [0.4, 0.3, 0.25], b)
    one, two = 1 - 0.5 * math.log(3), -0.5 + 0.5 * math.log(2)
    torch.testing.assert_close(values, torch.tensor([one**2, two**2]))
    torch.testing.assert_close(grads, torch.tensor([-one, -one, -two]))


def test_mirror_descent_is_still_where_the_policy_is_the_regularised_optimum():
    b = batch([0.2], [0.5 * math.log(2)])
    _, grads = gradient(MirrorDescent(tau=0.5), [0.4], b)
    assert float(grads[0]) == pytest.approx(0.0, abs=1e-6)
