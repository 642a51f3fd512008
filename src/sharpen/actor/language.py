"""The language actor: any causal language model of Hugging Face transformers draws, and scores what was drawn."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from sharpen.actor.adapters import merged, narrow
from sharpen.actor.base import Request
from sharpen.actor.engine.base import Draw, Engine, Lent, Prompt
from sharpen.actor.engine.local import LocalEngine
from sharpen.actor.engine.pick import truncate
from sharpen.actor.engine.proof import fingerprints, rescore, same_policy, same_weights
from sharpen.actor.logprob import ELEMENTS, token_logprob, wide_linear
from sharpen.actor.text import TextActor
from sharpen.errors import SharpenError
from sharpen.types import Batch, Problem, Sampling, Scored, Segment, Trace


class LanguageActor(TextActor):
    """A causal language model that draws text and gives log-probs of it.

    It draws on its `engine`: the local one, which shares its weights, until `serve` gives it another, which gets them
    sent. Frozen copies and twins draw locally.
    """

    def __init__(self, model: Any, tokenizer: Any, **options: Any) -> None:
        super().__init__(model, tokenizer, **options)
        self._head = self._plain.get_output_embeddings()
        self._softcap = getattr(self._plain.config.get_text_config(), "final_logit_softcapping", None)
        self.engine: Engine = LocalEngine(
            model,
            end_tokens=frozenset(self._ends),
            pad_token=tokenizer.pad_token_id,
            max_context=self.max_context,
            decode=self.decode,
        )
        self._direct = self._head_is_plain()
        self.lent = False
        self._stale = True
        self._synced: dict[str, int] = {}
        self._writes: dict[str, tuple[int, int]] = {}

    # ------------------------------------------------------------------ drawing

    def serve(self, engine: Engine) -> None:
        """Draw on this engine from now on; the one before is closed."""
        self.engine.close()
        self.engine = engine
        self.rescores = not engine.exact
        self.changed()

    def changed(self) -> None:
        """The engine gets the weights before it draws again."""
        self._stale = True

    def lend(self) -> LanguageActor:
        """The same actor for another thread, which has the engine until `take_back`: it draws there with the weights
        the engine holds, whatever becomes of the trainer's, and tells the engine's own log-probs.
        """
        twin = copy.copy(self)
        twin.tokenizer = copy.deepcopy(self.tokenizer)  # a fast tokenizer serves one thread at a time
        twin._prompts = {}
        twin.lent, twin.rescores = True, False
        self.engine = Lent()
        return twin

    def take_back(self, twin: LanguageActor) -> None:
        """Draw on the engine that was lent."""
        self.engine = twin.engine
        self.changed()

    def close(self) -> None:
        """Close the engine."""
        self.engine.close()

    def served(self) -> dict[str, Tensor]:
        """The weights of the whole model by their names in it, adapters merged, each once: what an engine is sent.

        What a copy computes in other than float32 it holds in that type.
        """
        return {n: p.to(self.compute) for n, p in merged(self.module, self.adapter)}

    def _sync(self) -> None:
        """See to it that an engine with a copy holds the weights as they are now; SharpenError where it does not.

        Torch counts the writes to a tensor: as long as there were none, no number needs to be looked at.
        """
        writes = {n: (w.data_ptr(), w._version) for n, w in self.weights().items()}
        if not self._stale and writes == self._writes:
            return
        now = fingerprints(self.weights())
        if self._stale:
            weights = self.served()
            same_weights(fingerprints(weights), self.engine.sync(weights))
            self._synced, self._stale = now, False
        odd = [n for n in now if self._synced.get(n) != now[n]]
        if odd:
            raise SharpenError(
                f"The engine has stale weights: {len(odd)} weights of the trainer ({odd[0]} ...) were written after "
                "the last sync, and nobody said so. Whoever writes an actor's weights calls its `changed()` after that."
            )
        self._writes = writes

    def _generate(self, prompts: Sequence[Prompt]) -> list[Draw]:
        """Draws with the trainer's figures."""
        if self.engine.exact:
            with self._mode():
                return self.engine.generate(prompts)
        if self.lent:
            return self.engine.generate(prompts)
        self._sync()
        draws = self.engine.generate(prompts)
        if not draws:
            return []
        traces = [
            Trace(
                Problem("", ""),
                [
                    Segment(torch.tensor(p.tokens)),
                    Segment(d.tokens, trainable=True, logp=d.logp, drawn=p.sampling, cols={"logp_old": d.logp_full}),
                ],
            )
            for p, d in zip(prompts, draws, strict=True)
        ]
        found = [x for (x,) in rescore(self, traces)]
        same_policy(found, self.engine.agreement)
        # what is drawn greedily is no sample, so that there is nothing to weigh
        return [
            Draw(d.tokens, d.logp, x.logp, x.entropy, d.end, x.mismatch if p.sampling.temperature > 0 else None)
            for p, d, x in zip(prompts, draws, found, strict=True)
        ]

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
        return self._generate(prompts)

    def spoken(self, requests: Sequence[Request], draws: Sequence[Draw]) -> list[Segment]:
        """Draws as segments."""
        out = []
        for request, d in zip(requests, draws, strict=True):
            told = {} if d.mismatch is None else {"mismatch": d.mismatch}
            told |= {} if bool(d.entropy.isnan().all()) else {"entropy": d.entropy}  # not every engine knows it
            out.append(
                Segment(
                    d.tokens,
                    trainable=True,
                    logp=d.logp,
                    drawn=request.sampling,
                    by=request.by,
                    role="assistant",
                    text=self.decode(d.tokens.tolist()),
                    cols={"logp_old": d.logp_full, **told},
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
        picked, weight, bias = self._picked(d)
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

    def _picked(self, d: dict[str, Tensor]) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """What stands before each trained atom: hidden states with the output embedding, or logits without one."""
        with self._mode():
            if self._direct:
                return self.states(d), self._head.weight, getattr(self._head, "bias", None)
            logits = self.module(input_ids=d["ids"], use_cache=False).logits
            return logits.flatten(0, 1).index_select(0, d["where"]), None, None

    @torch.no_grad()
    def kept(self, batch: Batch) -> Tensor:
        """log Z of each atom, `float32[N]`: the mass that the top-k and top-p it was drawn with left (0: all of it)."""
        device = next(self.module.parameters()).device
        d = {k: v.to(device) for k, v in batch.data.items()}
        picked, weight, bias = self._picked(d)
        drawn = [s.drawn or Sampling() for t in batch.traces for s in t.actions if len(s)]
        top_k = torch.tensor([s.top_k for s in drawn])[batch.segment].to(device)
        top_p = torch.tensor([s.top_p for s in drawn], dtype=torch.float32)[batch.segment].to(device)
        rows = max(1, ELEMENTS // self._plain.config.get_text_config().vocab_size)
        out = []
        for start in range(0, len(picked), rows):
            part = slice(start, start + rows)
            logits = picked[part].float() if weight is None else wide_linear(picked[part], weight, bias).float()
            if self._softcap and weight is not None:
                logits = torch.tanh(logits / self._softcap) * self._softcap
            log = (logits / d["temperature"][part, None]).log_softmax(-1)
            # the likeliest token is always kept, and gains log(1 / Z)
            out.append(log.amax(-1) - truncate(log, top_k[part], top_p[part]).amax(-1))
        return torch.cat(out).cpu() if out else torch.zeros(0)

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
            if still:
                narrow(model, self.compute)
        return twin


def _context(segments: Sequence[Segment]) -> list[int]:
    start = max((i for i, s in enumerate(segments) if s.fresh), default=0)
    return [t for s in segments[start:] for t in s.atoms.tolist()]


def _limited(sampling: Sampling, limit: int) -> Sampling:
    return sampling if sampling.max_tokens or not limit else dataclasses.replace(sampling, max_tokens=limit)
