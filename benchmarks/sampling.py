"""Time of the local engine next to `model.generate`, on the same prompts with the same number of tokens.

`python benchmarks/sampling.py [--threads N] [--repeats N]`. Both draw from the whole softmax at temperature 1 and never
end early; the engine also returns log-probs and entropies, which `generate` does not. The two take turns and the least
time of each counts, so that other load on the machine weighs little. Last comes how much of a call the dropping of rows
takes when samples end at different lengths.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from sharpen.actor.engine import local
from sharpen.actor.engine.local import LocalEngine, Prompt
from sharpen.types import Sampling


def model_of(hidden: int, layers: int, inner: int, vocab: int) -> Any:
    """A Qwen3 with fresh weights and heads of 32."""
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=vocab,
        hidden_size=hidden,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 32,
        num_key_value_heads=max(1, hidden // 64),
        head_dim=32,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=0,
    )
    return Qwen3ForCausalLM(config).eval()


def seconds(work: Callable[[], int], tokens: int) -> float:
    """How long `work` takes; it says how many tokens it drew, which must be `tokens`."""
    start = time.perf_counter()
    drawn = work()
    took = time.perf_counter() - start
    if drawn != tokens:
        raise RuntimeError(f"drew {drawn} tokens, not {tokens}")
    return took


def compare(name: str, model: Any, texts: list[tuple[int, ...]], samples: int, length: int, repeats: int) -> None:
    """Print the least time of both and their ratio."""
    engine = LocalEngine(model, end_tokens=frozenset(), pad_token=0, max_context=512, decode=lambda tokens: "")
    prompts = [
        Prompt(t, Sampling(max_tokens=length), i * samples + j) for i, t in enumerate(texts) for j in range(samples)
    ]
    width = max(len(p.tokens) for p in prompts)
    ids = torch.tensor([[0] * (width - len(p.tokens)) + list(p.tokens) for p in prompts])
    mask = (ids != 0).long()

    def ours() -> int:
        return sum(len(d.tokens) for d in engine.generate(prompts))

    def theirs() -> int:
        out = model.generate(
            ids, attention_mask=mask, do_sample=True, top_k=0, top_p=1.0, temperature=1.0, max_new_tokens=length
        )
        return int(out[:, width:].numel())

    total = len(prompts) * length
    times = [(seconds(ours, total), seconds(theirs, total)) for _ in range(repeats + 1)][1:]
    a, b = min(t[0] for t in times), min(t[1] for t in times)
    print(f"{name}: ours {a:.3f} s ({total / a:,.0f} tokens/s), generate {b:.3f} s, ratio {b / a:.2f}")


def dropping(model: Any, texts: list[tuple[int, ...]], samples: int, length: int) -> None:
    """Print the share of a call that goes into dropping rows that ended, with lengths spread evenly up to `length`."""
    engine = LocalEngine(model, end_tokens=frozenset(), pad_token=0, max_context=512, decode=lambda tokens: "")
    prompts = [
        Prompt(t, Sampling(max_tokens=1 + (i * samples + j) * 37 % length), i * samples + j)
        for i, t in enumerate(texts)
        for j in range(samples)
    ]
    spent = [0.0]
    drop = local._Decoding.drop

    def timed(self: Any, ended: list[int]) -> None:
        start = time.perf_counter()
        drop(self, ended)
        spent[0] += time.perf_counter() - start

    engine.generate(prompts)
    local._Decoding.drop = timed  # type: ignore[method-assign]
    try:
        start = time.perf_counter()
        engine.generate(prompts)
        took = time.perf_counter() - start
    finally:
        local._Decoding.drop = drop  # type: ignore[method-assign]
    fed = sum(p.sampling.max_tokens - 1 for p in prompts)
    print(
        f"uneven lengths: {took:.3f} s, dropping rows {spent[0]:.3f} s of it: {1e6 * spent[0] / len(prompts):.0f} us "
        f"a sample, where computing a row for one more token takes {1e6 * (took - spent[0]) / fed:.0f} us"
    )


def main() -> None:
    """Both sizes of model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    g = torch.Generator().manual_seed(0)
    for hidden, layers, inner, prompts, samples, length in ((128, 4, 512, 8, 16, 64), (96, 3, 192, 32, 16, 32)):
        model = model_of(hidden, layers, inner, 512)
        size = sum(p.numel() for p in model.parameters()) / 1e6
        texts = [tuple(torch.randint(1, 512, (20 + i % 8,), generator=g).tolist()) for i in range(prompts)]
        name = f"{size:.2f} M parameters, {prompts} prompts x {samples} samples x {length} tokens"
        compare(name, model, texts, samples, length, args.repeats)
        dropping(model, texts, samples, length)


if __name__ == "__main__":
    main()
