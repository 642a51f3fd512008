"""The part of `sampling.py` that runs where vLLM can be imported: prints seconds of ours, of vLLM and of vLLM as an
engine of ours, as JSON. `sampling.py` starts it in the interpreter that SHARPEN_VLLM_PYTHON names.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import common
import sampling
import torch

from sharpen.actor.engine.vllm import vllm_engine
from sharpen.actor.language import LanguageActor


def main() -> None:
    """Three sides in turn, on the prompts of `sampling.py` and the same weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--repeats", type=int, required=True)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    found: dict[str, Any] = {}
    size, count, samples, length = sampling.WORK[0]
    actor = LanguageActor(size.model().eval(), common.tokenizer(), rate=1e-5, max_context=size.context)
    engine = vllm_engine(actor)
    engine.end_tokens = []
    engine.sync(actor.served())
    from vllm import SamplingParams, __version__

    texts = sampling.texts_of(count)
    local, prompts = sampling.endless(actor.module), sampling.prompts_of(texts, samples, length)
    plain = SamplingParams(temperature=1.0, max_tokens=length, ignore_eos=True, detokenize=False, n=samples)

    def ours() -> None:
        assert sum(len(d.tokens) for d in local.generate(prompts)) == len(prompts) * length

    def alone() -> None:
        done = engine.llm.generate([{"prompt_token_ids": list(t)} for t in texts], plain, use_tqdm=False)
        assert sum(len(o.token_ids) for d in done for o in d.outputs) == len(prompts) * length

    def served() -> None:
        assert sum(len(d.tokens) for d in engine.generate(prompts)) == len(prompts) * length

    sides = {"sharpen": ours, "vLLM": alone, "vLLM as an engine of ours": served}
    found = {name: t.seconds for name, t in common.turns(sides, args.repeats).items()}
    engine.close()
    print(json.dumps({"version": __version__, "threads": torch.get_num_threads(), "seconds": found}))


if __name__ == "__main__":
    main()
