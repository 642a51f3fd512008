"""The language actor: any causal language model of Hugging Face transformers draws, and scores what was drawn."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import nn

from sharpen.actor.base import Request
from sharpen.actor.engine.local import Draw, LocalEngine, Prompt
from sharpen.actor.logprob import token_logprob
from sharpen.actor.text import TextActor
from sharpen.errors import SharpenError
from sharpen.types import Batch, Sampling, Scored, Segment


class LanguageActor(TextActor):
    """A causal language model that draws text and gives log-probs of it."""

    def __init__(self, model: Any, tokenizer: Any, **options: Any) -> None:
        super().__init__(model, tokenizer, **options)
        self._head = self._plain.get_output_embeddings()
        self._softcap = getattr(self._plain.config.get_text_config(), "final_logit_softcapping", None)
        self.engine = LocalEngine(
            model,
            end_tokens=frozenset(self._ends),
            pad_token=tokenizer.pad_token_id,
            max_context=self.max_context,
            decode=self.decode,
        )
        self._direct = self._head_is_plain()

    def sample(self, requests: Sequence[Request]) -> list[Segment]:
        """One segment a request, in order; equal contexts are prefilled once."""
        return self.spoken(requests, self.draws(requests))

    def around(self, module: Any) -> Self:
        """The same actor about a copy of its module; its engine stays that of the first module."""
        twin = super().around(module)
        twin._head = twin._plain.get_output_embeddings()
        return twin

    def draws(self, requests: Sequence[Request]) -> list[Draw]:
        """What the engine draws, one for each request."""
        prompts = [Prompt(tuple(_context(r.context)), _limited(r.sampling, self.max_tokens), r.seed) for r in requests]
        with self._mode():
            return self.engine.generate(prompts)

    def spoken(self, requests: Sequence[Request], draws: Sequence[Draw]) -> list[Segment]:
        """Draws as segments."""
        out = []
        for request, d in zip(requests, draws, strict=True):
            out.append(
                Segment(
                    d.tokens,
                    trainable=True,
                    logp=d.logp,
                    drawn=request.sampling,
                    by=request.by,
                    role="assistant",
                    text=self.decode(d.tokens.tolist()),
                    cols={"logp_old": d.logp_full, "entropy": d.entropy},
                    # a stop string leaves the turn open; only an end token closes it
                    info={"end": d.end, "closed": int(d.tokens[-1]) in self._ends},
                )
            )
        return out

    def score(self, batch: Batch, wants: Sequence[str] = ()) -> Scored:
        """Log-probs at each atom's own temperature; `wants` may hold `entropy`."""
        unknown = set(wants) - {"entropy"}
        if unknown:
            raise SharpenError(f"A language model cannot score {', '.join(sorted(unknown))}; it knows: entropy.")
        device = next(self.module.parameters()).device
        d = {k: v.to(device) for k, v in batch.data.items()}
        with self._mode():
            if self._direct:
                hidden = self._plain.get_decoder()(input_ids=d["ids"], use_cache=False).last_hidden_state
                picked = hidden.flatten(0, 1).index_select(0, d["where"])
                weight, bias = self._head.weight, getattr(self._head, "bias", None)
            else:
                logits = self.module(input_ids=d["ids"], use_cache=False).logits
                picked = logits.flatten(0, 1).index_select(0, d["where"])
                weight, bias = None, None
        with torch.autocast(device.type, enabled=False):
            if weight is None:
                scaled = picked.float() / d["temperature"][:, None]
                logs = scaled.log_softmax(-1)
                logp = logs.gather(-1, d["targets"][:, None]).squeeze(-1)
                entropy = -(logs.exp() * logs).sum(-1) if "entropy" in wants else None
            else:
                logp, entropy = token_logprob(
                    picked,
                    weight,
                    bias,
                    d["targets"],
                    d["temperature"],
                    entropy="entropy" in wants,
                    softcap=self._softcap,
                )
        return Scored(logp.cpu(), {} if entropy is None else {"entropy": entropy.cpu()})

    @torch.no_grad()
    def _head_is_plain(self) -> bool:
        """Whether logits are the output embedding of the decoder's last hidden state, which lets them be made in
        chunks.
        """
        if not isinstance(self._head, nn.Linear):
            return False
        ids = torch.tensor([self._ends[:1] * 4], device=next(self.module.parameters()).device)
        was = self.module.training
        self.module.eval()
        hidden = self._plain.get_decoder()(input_ids=ids, use_cache=False).last_hidden_state
        logits = self._head(hidden).float()
        if self._softcap:
            logits = torch.tanh(logits / self._softcap) * self._softcap
        same = torch.allclose(logits, self._plain(input_ids=ids, use_cache=False).logits.float(), atol=1e-3, rtol=1e-3)
        self.module.train(was)
        return same

    def twin(self) -> LanguageActor:
        """An independent copy of the model, as trainable as this one."""
        return LanguageActor(copy.deepcopy(self.module), self.tokenizer, **self.options())

    def freeze(self, *, still: bool = True) -> LanguageActor:
        """A copy without gradient; a model with fresh adapters is its own still reference once they are off."""
        shared = (
            still
            and hasattr(self.module, "disable_adapter")
            and not any(p.any() for n, p in self.module.named_parameters() if "lora_B" in n)
        )
        model = self.module if shared else copy.deepcopy(self.module)
        twin = LanguageActor(model, self.tokenizer, **self.options() | {"adapter": not shared})
        twin._kept = [] if shared else self._kept
        if not shared:
            model.requires_grad_(False)
        return twin


def _context(segments: Sequence[Segment]) -> list[int]:
    start = max((i for i, s in enumerate(segments) if s.fresh), default=0)
    return [t for s in segments[start:] for t in s.atoms.tolist()]


def _limited(sampling: Sampling, limit: int) -> Sampling:
    return sampling if sampling.max_tokens or not limit else dataclasses.replace(sampling, max_tokens=limit)
