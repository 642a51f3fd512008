"""Divergences: enumerated over small vocabularies, where every expectation is a finite sum."""

import math

import pytest
import torch

from sharpen.maths import entropy, js, kl, kl_estimate

P, Q = [0.5, 0.25, 0.25], [0.25, 0.25, 0.5]
LOG2 = math.log(2)


def logs(*rows: list[float]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64).log()


def drawn(seed: int, n: int = 5, v: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    new, ref = (torch.randn(n, v, generator=rng, dtype=torch.float64) for _ in range(2))
    return new, ref


def expected(how: str, logp: torch.Tensor, logq: torch.Tensor) -> torch.Tensor:
    return (logp.exp() * kl_estimate(logp, logq, how)).sum(-1)


def test_estimators_golden():
    new, ref = torch.tensor([0.0, 0.0], dtype=torch.float64), torch.tensor([LOG2, -LOG2], dtype=torch.float64)
    # r = 2 and 1/2
    assert kl_estimate(new, ref, "k1").tolist() == [-LOG2, LOG2]
    assert kl_estimate(new, ref, "k2").tolist() == pytest.approx([LOG2**2 / 2] * 2)
    assert kl_estimate(new, ref, "k3").tolist() == pytest.approx([1 - LOG2, LOG2 - 0.5])
    assert kl_estimate(new, ref, "forward").tolist() == pytest.approx([2 * LOG2 - 1, 0.5 - LOG2 / 2])
    for how in ("k1", "k2", "k3", "forward"):
        assert kl_estimate(ref, ref, how).tolist() == [0.0, 0.0]


def test_bias_by_enumeration():
    new, ref = (x.log_softmax(-1) for x in drawn(0))
    torch.testing.assert_close(expected("k1", new, ref), kl(new, ref))
    torch.testing.assert_close(expected("k3", new, ref), kl(new, ref))
    torch.testing.assert_close(expected("forward", new, ref), kl(ref, new))
    close = (ref + 0.01 * (new - ref)).log_softmax(-1)
    torch.testing.assert_close(expected("k2", close, ref), kl(close, ref), rtol=0.02, atol=0)
    gap = (expected("k2", new, ref) - kl(new, ref)).abs()
    assert (gap > 0.01).all()  # and it is biased when they are far apart


def test_gradient_as_a_loss_by_enumeration():
    logits, ref = drawn(1)
    ref = ref.log_softmax(-1)

    def slope(fn):
        x = logits.clone().requires_grad_()
        fn(x.log_softmax(-1)).sum().backward()
        return x.grad

    def loss(how):
        # samples are fixed: their weight carries no gradient
        return slope(lambda new: (new.detach().exp() * kl_estimate(new, ref, how)).sum(-1))

    reverse, forward = slope(lambda new: kl(new, ref)), slope(lambda new: kl(ref, new))
    torch.testing.assert_close(loss("k1"), torch.zeros_like(logits), rtol=0, atol=1e-12)
    torch.testing.assert_close(loss("k2"), reverse)
    torch.testing.assert_close(loss("k3"), forward)
    assert (loss("forward") - forward).abs().max() > 0.05
    # by hand, with respect to logits: forward is new - ref, reverse is p (log p/q - KL)
    new = logits.log_softmax(-1)
    torch.testing.assert_close(forward, new.exp() - ref.exp())
    torch.testing.assert_close(reverse, new.exp() * (new - ref - kl(new, ref)[:, None]))


def test_never_negative_and_precise_near_zero():
    d = torch.cat([torch.logspace(-12, 1, 400), -torch.logspace(-12, 1, 400)])
    for how in ("k2", "k3"):
        assert kl_estimate(torch.zeros_like(d), d, how).min() >= 0
    small = torch.tensor([1e-3])
    assert float(kl_estimate(torch.zeros(1), small, "k3")) == pytest.approx(0.5e-6 + 1e-9 / 6, rel=1e-3)


def test_estimator_refusals():
    with pytest.raises(ValueError, match=r"new and ref must have one shape, not \[2\] and \[3\]"):
        kl_estimate(torch.zeros(2), torch.zeros(3))
    with pytest.raises(ValueError, match="the estimator must be k1, k2, k3 or forward, not 'k4'"):
        kl_estimate(torch.zeros(2), torch.zeros(2), "k4")


def test_exact_golden():
    p, q = logs(P), logs(Q)
    assert float(entropy(p)) == pytest.approx(1.5 * LOG2)
    assert float(kl(p, q)) == pytest.approx(0.25 * LOG2)  # .5 log 2 - .25 log 2
    # m = 3/8, 1/4, 3/8
    half = 0.5 * math.log(4 / 3) + 0.25 * math.log(2 / 3)
    assert float(js(p, q)) == pytest.approx(half)
    assert float(js(q, p)) == pytest.approx(half)
    assert entropy(torch.full((2, 8), -math.log(8.0))).tolist() == pytest.approx([math.log(8.0)] * 2)


def test_exact_against_loops():
    new, ref = (x.log_softmax(-1) for x in drawn(2))
    w = 0.3
    for i in range(5):
        p, q = new[i].exp().tolist(), ref[i].exp().tolist()
        m = [w * a + (1 - w) * b for a, b in zip(p, q, strict=True)]
        loop = [sum(a * math.log(a / b) for a, b in zip(x, y, strict=True)) for x, y in ((p, q), (p, m), (q, m))]
        assert float(kl(new, ref)[i]) == pytest.approx(loop[0])
        assert float(js(new, ref, w)[i]) == pytest.approx(w * loop[1] + (1 - w) * loop[2])
        assert float(entropy(new)[i]) == pytest.approx(-sum(a * math.log(a) for a in p))


def test_probability_zero():
    a, b = logs([1.0, 0.0, 0.0]), logs([0.0, 1.0, 0.0])
    half = logs([0.5, 0.5, 0.0])
    assert entropy(a).tolist() == [0.0]
    assert float(kl(a, half)) == pytest.approx(LOG2)
    assert kl(half, a).tolist() == [math.inf]
    assert float(js(a, b)) == pytest.approx(LOG2)
    assert float(js(a, b, 0.25)) == pytest.approx(0.25 * math.log(4) + 0.75 * math.log(4 / 3))  # H(1/4)
    assert js(a, a).tolist() == pytest.approx([0.0], abs=1e-15)


def test_gradients():
    logits, other = drawn(3, n=2, v=4)
    x, y = logits.requires_grad_(), other.requires_grad_()
    assert torch.autograd.gradcheck(lambda a: entropy(a.log_softmax(-1)), x)
    assert torch.autograd.gradcheck(lambda a, b: kl(a.log_softmax(-1), b.log_softmax(-1)), (x, y))
    assert torch.autograd.gradcheck(lambda a, b: js(a.log_softmax(-1), b.log_softmax(-1), 0.3), (x, y))


def test_gradients_at_probability_zero():
    p, q = logs([0.5, 0.5, 0.0]).requires_grad_(), logs([0.25, 0.75, 0.0]).requires_grad_()
    entropy(p).sum().backward()
    assert p.grad[0].tolist() == pytest.approx([0.5 * (LOG2 - 1), 0.5 * (LOG2 - 1), 0.0])  # -p (log p + 1)
    p.grad = None
    kl(p, q).sum().backward()
    assert p.grad[0].tolist() == pytest.approx([0.5 * (LOG2 + 1), 0.5 * (math.log(2 / 3) + 1), 0.0])
    assert q.grad[0].tolist() == [-0.5, -0.5, 0.0]
    p.grad = q.grad = None
    js(p, q).sum().backward()
    # dJS/dp_v = w p_v log(p_v / m_v) with respect to log p_v
    assert p.grad[0].tolist() == pytest.approx([0.25 * math.log(4 / 3), 0.25 * math.log(4 / 5), 0.0])
    assert q.grad[0].tolist() == pytest.approx([0.125 * math.log(2 / 3), 0.375 * math.log(6 / 5), 0.0])


def test_exact_refusals():
    with pytest.raises(ValueError, match=r"log-probs must be \[N, V\] and alike, not \[3\]"):
        entropy(torch.zeros(3))
    with pytest.raises(ValueError, match=r"log-probs must be \[N, V\] and alike, not \[1, 3\] and \[1, 4\]"):
        kl(torch.zeros(1, 3), torch.zeros(1, 4))
    with pytest.raises(ValueError, match="weight must lie strictly between 0 and 1: 1"):
        js(torch.zeros(1, 3), torch.zeros(1, 3), 1)
    assert kl(torch.zeros(0, 3), torch.zeros(0, 3)).tolist() == []
