"""Time of the local engine next to `model.generate`, on the same prompts with the same number of tokens.

`python benchmarks/sampling.py [--threads N] [--repeats N]`. Both draw from the whole softmax at temperature 1 and never
end early; the engine also returns log-probs and entropies, which `generate` does not. The two take turns. Next comes
how much of a call the dropping of rows takes when samples end at different lengths. Then the continuous batching of
transformers, and vLLM where SHARPEN_VLLM_PYTHON names an interpreter that has it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import common
import torch
from common import Times, turns

from sharpen.actor.engine import local
from sharpen.actor.engine.base import Prompt
from sharpen.actor.engine.local import LocalEngine
from sharpen.actor.engine.vllm import ENVIRONMENT
from sharpen.types import Sampling

WORK = ((common.NANO, 8, 16, 64), (common.NANO, 32, 16, 32), (common.SMALL, 8, 16, 64))
"""Sizes of model, prompts, samples of each, tokens of each."""


def texts_of(count: int) -> list[tuple[int, ...]]:
    """Prompts of 20 to 27 tokens."""
    g = torch.Generator().manual_seed(0)
    return [tuple(torch.randint(3, 512, (20 + i % 8,), generator=g).tolist()) for i in range(count)]


def endless(model: Any) -> LocalEngine:
    """Our engine, whose samples never end early."""
    return LocalEngine(model, end_tokens=frozenset(), pad_token=0, max_context=512, decode=lambda tokens: "")


def prompts_of(texts: list[tuple[int, ...]], samples: int, length: int) -> list[Prompt]:
    """What it is asked."""
    return [
        Prompt(t, Sampling(max_tokens=length), i * samples + j) for i, t in enumerate(texts) for j in range(samples)
    ]


def compare(model: Any, texts: list[tuple[int, ...]], samples: int, length: int, repeats: int) -> dict[str, Times]:
    """The times of both."""
    engine, prompts = endless(model), prompts_of(texts, samples, length)
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


PAGE = 32
"""Tokens of a page of continuous batching: the fastest of 32, 96 and 256 here."""


def continuous(model: Any, texts: list[tuple[int, ...]], samples: int, length: int, repeats: int) -> dict[str, Times]:
    """Ours next to transformers' continuous batching, with a cache that holds all at once; raises what it raises."""
    from transformers import ContinuousBatchingConfig, GenerationConfig

    engine, prompts = endless(model), prompts_of(texts, samples, length)
    pages = -(-(max(map(len, texts)) + length) // PAGE)
    room = ContinuousBatchingConfig(page_size=PAGE, num_blocks=len(prompts) * pages + 8, max_batch_tokens=512)
    free = {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0, "eos_token_id": -1, "pad_token_id": 0}
    how = GenerationConfig(max_new_tokens=length, **free)

    def ours() -> None:
        engine.generate(prompts)

    def theirs() -> None:
        inputs = [list(p.tokens) for p in prompts]
        out = model.generate_batch(inputs, generation_config=how, continuous_batching_config=room)
        if sum(len(x.generated_tokens) for x in out.values()) != len(prompts) * length:
            raise RuntimeError(next((str(x.error) for x in out.values() if x.error), "not all of it was generated"))

    return turns({"sharpen": ours, "continuous batching": theirs}, repeats)


def peers(repeats: int) -> tuple[str, dict[str, Any]]:
    """Rows of the further peers, on the first work, and their figures."""
    size, count, samples, length = WORK[0]
    rows, figures = [], {}
    try:
        times = continuous(size.model().eval(), texts_of(count), samples, length, repeats)
    except Exception as error:  # whatever keeps it from running here is the finding
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        rows.append(["transformers' continuous batching", "", f"does not run here: {first[:200]}", ""])
    else:
        mine, other = times.values()
        rows.append(["transformers' continuous batching", mine.text(), other.text(), common.ratio(other, mine)])
        figures["continuous batching"] = {n: t.seconds for n, t in times.items()}
    python = os.environ.get("SHARPEN_VLLM_PYTHON")
    if python:
        told = vllm_told(python, repeats)
        times = {n: Times(tuple(x)) for n, x in told["seconds"].items()}
        mine = times.pop("sharpen")
        for name, other in times.items():
            row = [name.replace("vLLM", f"vLLM {told['version']}"), mine.text(), other.text()]
            rows.append([*row, common.ratio(other, mine)])
        figures["vLLM"] = told
    else:
        rows.append(["vLLM", "", "skipped: SHARPEN_VLLM_PYTHON names no interpreter that has it", ""])
    head = [f"{size.name}, {count} x {samples} x {length}", "sharpen", "it", "it over ours"]
    return common.table(head, rows), figures


def vllm_told(python: str, repeats: int) -> Any:
    """What `vllm_side.py` tells in another interpreter; ends the script with its error."""
    here = Path(__file__).parent
    env = os.environ | ENVIRONMENT | {"PYTHONPATH": os.pathsep.join([str(here.parent / "src"), str(here)])}
    words = [python, str(here / "vllm_side.py"), "--threads", str(torch.get_num_threads()), "--repeats", str(repeats)]
    done = subprocess.run(words, env=env, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stdout[-2000:] + done.stderr[-4000:])
    return json.loads(done.stdout.splitlines()[-1])


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
    rows, notes, figures = [], [], {}
    for size, prompts, samples, length in WORK:
        model = size.model().eval()
        model.generation_config.eos_token_id = None
        texts = texts_of(prompts)
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
    further, figures["peers"] = peers(repeats)
    text = common.table(head, rows)
    text += "\n\nBoth in float32; ours returns log-probs and entropies besides.\n\n" + "\n".join(notes)
    text += f"\n\n{further}\n\nOn a CPU vLLM computes here without compiling and with plain linear layers, as our "
    text += "engine needs it; its attention there wants heads of 32 numbers or more, which these are."
    common.keep("sampling", "Sampling", text, figures)


if __name__ == "__main__":
    main()
