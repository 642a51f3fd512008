"""The library's own decode loop around a copy of the model: what a worker elsewhere draws with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from sharpen.actor.engine.base import Draw, Engine, Prompt
from sharpen.actor.engine.description import Arithmetic
from sharpen.actor.engine.local import LocalEngine
from sharpen.actor.engine.proof import fingerprint
from sharpen.errors import SharpenError


class CopiedEngine(Engine):
    """Samples as the local engine does (`sharpen.actor.engine.local`), from weights of its own.

    `folder` is what `describe` writes. The model is built from it on `device` and has no weights (they are NaN) until a
    `sync` brings them. `how` is the trainer's arithmetic, so that equal weights give equal draws on equal machines, to
    the bit for the same prompts. Log-probs and entropies are those of the whole softmax, too.

    Parameters are held in the type that they arrive in, or where the trainer autocasts in float32.
    """

    def __init__(self, folder: Path, how: Arithmetic, *, device: str = "cpu") -> None:
        from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

        from sharpen.actor.load import ModelSetup, wrap

        self.agreement = 1e-4 if how.dtype == "float32" else 3e-2
        trust = {"trust_remote_code": how.remote}
        try:
            with torch.random.fork_rng(devices=[]):
                model = AutoModelForCausalLM.from_config(
                    AutoConfig.from_pretrained(folder, **trust),
                    dtype=torch.float32,
                    attn_implementation=how.attention,
                    **trust,
                )
                tokenizer = AutoTokenizer.from_pretrained(folder, **trust)
        except Exception as error:  # whatever transformers says of a model is the user's to mend
            said = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise SharpenError(
                f"A copy of the model could not be built from its configuration: {said.rstrip('.')[:300]}. Use a model "
                "that transformers knows by its configuration alone, or `--engine local`."
            ) from error
        model.requires_grad_(False)
        held = torch.float32 if how.autocast else getattr(torch, how.dtype)
        for p in model.parameters():
            p.data = p.data.to(held)  # buffers stay as they are, as they do in the trainer
        setup = ModelSetup(
            device=device, dtype=how.dtype, checkpointing=how.autocast, max_context=how.max_context, lr=1.0
        )
        self.actor = wrap(model, tokenizer, setup)
        self.inner = LocalEngine(
            model,
            end_tokens=frozenset(how.ends),  # those of the trainer, which knows the model's folder
            pad_token=tokenizer.pad_token_id,
            max_context=how.max_context,
            decode=self.actor.decode,
        )
        for p in model.parameters():
            p.fill_(torch.nan)

    def generate(self, prompts: Sequence[Prompt]) -> list[Draw]:
        """One `Draw` for each prompt, in their order."""
        with self.actor._mode():
            return self.inner.generate(prompts)

    @torch.no_grad()
    def sync(self, weights: Mapping[str, Tensor]) -> dict[str, int]:
        """Write every weight in place by its name, and read all parameters back."""
        held: dict[str, int] = {}
        for name, mine in self.actor.module.named_parameters():
            sent = weights.get(name)
            if sent is not None and sent.shape == mine.shape:
                mine.copy_(sent)
            held[name] = fingerprint(mine if sent is None else mine.to(sent.dtype))
        return held
