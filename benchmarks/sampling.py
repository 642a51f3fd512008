"""Time of the local engine next to `model.generate`, on the same prompts with the same number of tokens.

`python benchmarks/sampling.py [--threads N] [--repeats N]`. Both draw from the whole softmax at temperature 1 and never
end early; the engine also returns log-probs and entropies, which `generate` does not. The two take turns and the least
time of each counts, so that other load on the machine weighs little. Last comes how much of a call the dropping of rows
takes when samples end at different lengths.
"""

from __future__ import annotations

import time
from typing import Any

import common
import torch
from common import Times, turns

from sharpen.actor.engine import local
from sharpen.actor.engine.base import Prompt
from sharpen.actor.engine.local import LocalEngine
from sharpen.types import Sampling


def compare(model: Any, texts: list[tuple[int, ...]], samples: int, length: int, repeats: int) -> dict[str, Times]:
    """The times of both."""
    engine = LocalEngine(model, end_tokens=frozenset(), pad_token=0, max_context=512, decode=lambda tokens: "")
    prompts = [
        Prompt(t, Sampling(max_tokens=length), i * samples + j) for i, t in enumerate(texts) for j in range(samples)
    ]
    width = max(len(p.tokens) for p in prompts)
    ids = torch.tensor([[0] * (width - len(p.tokens)) + list(p.tokens) for p in prompts])
    mask = (ids != 0).long()

    def ours() -> None:
        drawn = sum(len(d.tokens) for d in engine.generate(prompts))
        assert drawn == len(prompts) * length

    def theirs() -> None:
        out = model.generate(
            ids, attention_mask=mask, do_sample=True, top_k=0, top_p=1.0, temperature=1.0, max_new_tokens=length
        )
        assert out[:, width:].numel() == len(prompts) * length

    return turns({"sharpen": ours, "generate": theirs}, repeats)


def dropping(model: Any, texts: list[tuple[int, ...]], samples: int, length: int) -> str:
    """The share of a call that goes into dropping rows that ended, with lengths spread evenly up to `length`."""
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
    return (
        f"uneven lengths: {took:.3f} s, dropping rows {spent[0]:.3f} s of it: {1e6 * spent[0] / len(prompts):.0f} us "
        f"a sample, where computing a row for one more token takes {1e6 * (took - spent[0]) / fed:.0f} us"
    )


def main() -> None:
    """Both sizes of model."""
    repeats = common.asked(__doc__, 3)
    g = torch.Generator().manual_seed(0)
    rows, notes, figures = [], [], {}
    for size, prompts, samples, length in (
        (common.NANO, 8, 16, 64),
        (common.NANO, 32, 16, 32),
        (common.SMALL, 8, 16, 64),
    ):
        model = size.model().eval()
        model.generation_config.eos_token_id = None
        texts = [tuple(torch.randint(3, 512, (20 + i % 8,), generator=g).tolist()) for i in range(prompts)]
        times = compare(model, texts, samples, length, repeats)
        name = f"{size.name}, {prompts} x {samples} x {length}"
        speed = f"{prompts * samples * length / times['sharpen'].middle:,.0f}"
        rows.append(
            [name, *(t.text() for t in times.values()), speed, common.ratio(times["generate"], times["sharpen"])]
        )
        notes.append(f"- {name}, {dropping(model, texts, samples, length)}.")
        figures[name] = {n: t.seconds for n, t in times.items()}
    head = [
        "parameters, prompts x samples x tokens",
        "sharpen",
        "generate",
        "our tokens a second",
        "generate over ours",
    ]
    text = (
        common.table(head, rows)
        + "\n\nBoth in float32; ours returns log-probs and entropies besides.\n\n"
        + "\n".join(notes)
    )
    common.keep("sampling", "Sampling", text, figures)


if __name__ == "__main__":
    main()
