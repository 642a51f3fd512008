"""What a draw says of itself, and what it is drawn from."""

import math
from typing import Any

import pytest
import torch
from nano_models import END, VOCAB, build, engine_of
from torch import Tensor

from sharpen.actor.engine.base import Draw, Prompt
from sharpen.actor.logprob import token_logprob
from sharpen.types import Sampling

KINDS = ["qwen3", "llama", "mistral", "gemma2", "gpt2"]


def by_hand(log: Tensor, sampling: Sampling) -> Tensor:
    """Truncated and renormalised log-probs of one row, a token at a time."""
    order = sorted(range(len(log)), key=lambda i: (-float(log[i]), i))
    if sampling.top_k:
        order = order[: sampling.top_k]
    total = sum(math.exp(float(log[i])) for i in order)
    kept, share = [], 0.0
    for i in order:
        kept.append(i)
        share += math.exp(float(log[i])) / total
        if share >= sampling.top_p:
            break
    out = torch.full_like(log, -math.inf)
    out[kept] = log[kept] - torch.logsumexp(log[kept], 0)
    return out


def rescore(model: Any, prompt: Prompt, draw: Draw) -> tuple[Tensor, Tensor, Tensor]:
    """Log-probs and entropies from one forward pass without a cache."""
    ids = torch.tensor([[*prompt.tokens, *draw.tokens.tolist()]])
    with torch.no_grad():
        logits = model(input_ids=ids, use_cache=False).logits[0, len(prompt.tokens) - 1 : -1].double()
    heat = prompt.sampling.temperature or 1.0
    full = torch.log_softmax(logits / heat, -1)
    rows = torch.arange(len(draw.tokens))
    cut = torch.stack([by_hand(row, prompt.sampling) for row in full])
    logp = cut[rows, draw.tokens] if prompt.sampling.temperature else torch.zeros(len(rows))
    return logp, full[rows, draw.tokens], -(full.exp() * full).sum(-1)


MIXED = [
    Sampling(max_tokens=12),
    Sampling(temperature=0.6, top_p=0.8, max_tokens=20),
    Sampling(temperature=1.5, top_k=4, max_tokens=9),
    Sampling(temperature=0.9, top_k=6, top_p=0.7, max_tokens=15),
    Sampling(temperature=0.0, max_tokens=11),
]


@pytest.mark.parametrize("kind", KINDS)
def test_log_probs_equal_a_slow_rescoring(models: Any, kind: str) -> None:
    model = models(kind)
    texts = [(3, 4, 5), (7, 8, 9, 10, 11, 12, 13, 2), (3, 4, 5), (20,), (6, 6, 2, 9, 14)]
    prompts = [Prompt(t, MIXED[(i + j) % 5], 10 * i + j) for i, t in enumerate(texts) for j in range(5)]
    for prompt, draw in zip(prompts, engine_of(model).generate(prompts), strict=True):
        logp, full, entropy = rescore(model, prompt, draw)
        torch.testing.assert_close(draw.logp.double(), logp.double(), atol=1e-4, rtol=0)
        torch.testing.assert_close(draw.logp_full.double(), full, atol=1e-4, rtol=0)
        torch.testing.assert_close(draw.entropy.double(), entropy, atol=1e-4, rtol=0)
        assert draw.tokens.dtype == torch.int64
        assert draw.logp.dtype == draw.logp_full.dtype == draw.entropy.dtype == torch.float32
        if prompt.sampling.full:
            assert torch.equal(draw.logp, draw.logp_full)


@pytest.mark.parametrize("kind", KINDS)
def test_greedy_equals_generate(models: Any, kind: str) -> None:
    model = models(kind)
    texts = [(3, 4, 5, 6), (20, 21, 9, 9), (2, 2, 2, 2)]
    prompts = [Prompt(t, Sampling(temperature=0.0, max_tokens=24), i) for i, t in enumerate(texts)]
    theirs = model.generate(
        torch.tensor(texts),
        do_sample=False,
        max_new_tokens=24,
        eos_token_id=END,
        attention_mask=torch.ones(3, 4).long(),
    )[:, 4:]
    for draw, row in zip(engine_of(model).generate(prompts), theirs.tolist(), strict=True):
        assert draw.tokens.tolist() == row[: len(draw.tokens)]
        assert END in row[: len(draw.tokens)] or len(draw.tokens) == 24
        assert draw.logp.tolist() == [0.0] * len(draw.tokens)


def test_greedy_ties_go_to_the_lowest_index() -> None:
    model = build("qwen3")
    with torch.no_grad():
        model.get_output_embeddings().weight.zero_()
    (draw,) = engine_of(model).generate([Prompt((3,), Sampling(temperature=0.0, max_tokens=4), 0)])
    assert draw.tokens.tolist() == [0, 0, 0, 0]
    torch.testing.assert_close(draw.entropy, torch.full((4,), math.log(VOCAB)))


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(max_tokens=1),
        Sampling(max_tokens=1, top_p=0.75),
        Sampling(max_tokens=1, temperature=1.7),
        Sampling(max_tokens=1, temperature=1.3, top_k=5),
    ],
)
def test_frequencies_match_probabilities(sampling: Sampling) -> None:
    model = build("llama", vocab_size=8)
    count = 4000
    with torch.no_grad():
        log = torch.log_softmax(model(input_ids=torch.tensor([[3, 5, 2]])).logits[0, -1] / sampling.temperature, -1)
    expected = by_hand(log, sampling).exp() * count
    draws = engine_of(model, end_tokens=frozenset()).generate([Prompt((3, 5, 2), sampling, i) for i in range(count)])
    seen = torch.bincount(torch.cat([d.tokens for d in draws]), minlength=8)
    assert int(seen.sum()) == count
    assert bool((seen[expected == 0] == 0).all())
    likely = expected > 5
    assert int(likely.sum()) >= 3
    rest = float(expected[~likely].sum()), float(seen[~likely].sum())
    chi = float(((seen - expected)[likely] ** 2 / expected[likely]).sum())
    # 7 degrees of freedom at most: one run in 100 000 is above 35
    assert chi < 35
    assert abs(rest[0] - rest[1]) < 5 + 5 * math.sqrt(rest[0] + 1)


def test_half_precision_models_are_scored_in_float32() -> None:
    model = build("qwen3", vocab_size=64).to(torch.bfloat16)
    head = model.get_output_embeddings()
    with torch.no_grad():
        head.weight.mul_(4)
    prompts = [Prompt((3, 9, 4 + i), Sampling(max_tokens=6), i) for i in range(6)]
    seen: list[Tensor] = []
    hook = head.register_forward_hook(lambda m, args, out: seen.append(args[0]))
    draws = engine_of(model, end_tokens=frozenset()).generate(prompts)
    hook.remove()
    assert "forward" not in head.__dict__
    # every step's hidden states, row by row, through the trainer's function: the same to float32 precision
    tokens = torch.stack([d.tokens for d in draws])
    for i, hidden in enumerate(seen):
        logp, bits = token_logprob(hidden[:, 0].clone(), head.weight, None, tokens[:, i], entropy=True)
        assert bits is not None
        torch.testing.assert_close(torch.stack([d.logp_full[i] for d in draws]), logp.detach(), atol=1e-4, rtol=1e-5)
        torch.testing.assert_close(torch.stack([d.entropy[i] for d in draws]), bits.detach(), atol=1e-4, rtol=1e-5)


def test_draws_can_take_part_in_a_loss_and_share_no_memory(models: Any) -> None:
    prompts = [Prompt((3, 4), Sampling(max_tokens=5), i) for i in range(3)]
    draws = engine_of(models("qwen3"), end_tokens=frozenset()).generate(prompts)
    x = torch.ones(5, requires_grad=True)
    (x * draws[0].logp).sum().backward()
    assert torch.equal(x.grad, draws[0].logp)
    for draw in draws:
        assert draw.logp.untyped_storage().nbytes() == 5 * 4
