"""Half precision: what is rounded, where gradients arrive, what attention is computed in."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sharpen.actor.precision import WIDE_ATTENTION, recomputes, rounded, wide_attention
from sharpen.types import Problem, Trace
from toy import nano_actor

BF16 = torch.bfloat16


class Tied(nn.Module):
    """Two layers of one matrix, and a count that is no number to be rounded."""

    def __init__(self):
        super().__init__()
        self.a = nn.Linear(3, 3, bias=False)
        self.b = nn.Linear(3, 3, bias=False)
        self.b.weight = self.a.weight
        self.steps = nn.Parameter(torch.tensor(3), requires_grad=False)


def test_parameters_are_rounded_inside_and_themselves_again_outside():
    module = Tied()
    weight = module.a.weight
    before = weight.detach().clone()
    with rounded(module, BF16):
        assert module.a.weight.dtype == BF16
        assert torch.equal(module.a.weight, before.to(BF16))
        assert module.b.weight is module.a.weight
        assert module.steps.dtype == torch.int64
    with pytest.raises(ZeroDivisionError), rounded(module, BF16):
        1 / 0  # noqa: B018
    assert module.a.weight is weight
    assert module.b.weight is weight
    assert torch.equal(weight, before)


def test_gradients_arrive_at_the_whole_weights():
    """y = W (W x) at W rounded: the gradient of its sum with respect to W is 1 (W x)^T + W^T 1 x^T."""
    module = Tied()
    x = torch.tensor([1.0, 2.0, -0.5])
    with rounded(module, BF16):
        y = module.b(module.a(x.to(BF16)))
    y.float().sum().backward()
    w = module.a.weight.detach().to(BF16).float()
    one = torch.ones(3)
    want = torch.outer(one, w @ x) + torch.outer(w.T @ one, x)
    assert module.a.weight.grad.dtype == torch.float32
    assert torch.allclose(module.a.weight.grad, want, atol=2e-2, rtol=2e-2)


def test_attention_is_trained_in_float32_and_drawn_as_it_is():
    g = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 4, 5, 8, generator=g).to(BF16).requires_grad_() for _ in range(3))
    layer = nn.Module()
    layer.is_causal = True
    out, _ = wide_attention(layer, q, k, v, None)
    want = F.scaled_dot_product_attention(q.float(), k.float(), v.float(), is_causal=True).transpose(1, 2)
    assert out.dtype == BF16
    assert torch.equal(out, want.to(BF16))
    with torch.no_grad():
        drawn, _ = wide_attention(layer, q, k, v, None)
        plain = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2)
    assert torch.equal(drawn, plain)


def scored(actor):
    problem = Problem("p", "12+3?")
    trace = Trace(problem, [*actor.prompt(problem), actor.given("15")])
    logp = actor.score(actor.collate([trace], torch.zeros(1, dtype=torch.long), ())).logp
    logp.sum().backward()
    grads = torch.cat([p.grad.flatten() for _, p in actor.parameters()])
    return logp.detach(), grads


def test_a_model_in_half_precision_is_near_the_whole_one():
    exact, grad = scored(nano_actor(width=32, layers=2, max_tokens=4))
    actor = nano_actor(width=32, layers=2, max_tokens=4, dtype="bfloat16")
    assert actor.module.config._attn_implementation == WIDE_ATTENTION
    rough, roughly = scored(actor)
    assert rough.dtype == torch.float32
    assert 0 < float((rough - exact).abs().max()) < 3e-2
    assert float(F.cosine_similarity(grad, roughly, dim=0)) > 0.999
    assert {p.dtype for p in actor.module.parameters()} == {torch.float32}


def test_recomputed_activations_have_the_same_gradient():
    actors = [nano_actor(width=32, layers=2, max_tokens=4, dtype="bfloat16", checkpointing=c) for c in (False, True)]
    assert [recomputes(a.module) for a in actors] == [False, True]
    for actor in actors:
        actor.module.train()
    (one, grad), (two, again) = map(scored, actors)
    assert torch.allclose(one, two, atol=3e-2)
    assert float(F.cosine_similarity(grad, again, dim=0)) > 0.999
