"""A second engine that tests can look into: a copy of the model in memory, which real weights are written into."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from sharpen.actor.engine.base import Draw, Engine, Prompt
from sharpen.actor.engine.local import LocalEngine
from sharpen.actor.engine.proof import fingerprints


class CopyEngine(Engine):
    """`drop` names a weight that a sync loses; `deaf`: a sync is answered and not made; `lying`: and said to be made.

    `noise` is added to every weight after each sync, which stands for another arithmetic.
    """

    agreement = 1e-4

    def __init__(
        self, actor, *, model=None, drop: str = "", deaf: bool = False, lying: bool = False, noise: float = 0.0
    ) -> None:
        self.model = copy.deepcopy(actor.plain if model is None else model)
        for p in self.model.parameters():
            p.data.zero_()
        self.drop, self.deaf, self.lying, self.noise = drop, deaf, lying, noise
        self.syncs: list[dict[str, Tensor]] = []
        self.closed = 0
        self.end_tokens = list(actor.ends)
        self.inner = LocalEngine(
            self.model,
            end_tokens=frozenset(actor.ends),
            pad_token=actor.tokenizer.pad_token_id,
            max_context=actor.max_context,
            decode=actor.decode,
        )

    def generate(self, prompts: Sequence[Prompt]) -> list[Draw]:
        draws = self.inner.generate(prompts)
        for p, d in zip(prompts, draws, strict=True):  # it tells no more than vLLM does
            d.entropy.fill_(torch.nan)
            if not p.sampling.full and p.sampling.temperature > 0:
                d.logp_full.fill_(torch.nan)
        return draws

    @torch.no_grad()
    def sync(self, weights: Mapping[str, Tensor]) -> dict[str, int]:
        self.syncs.append({n: w.clone() for n, w in weights.items()})
        mine = dict(self.model.named_parameters())
        if not self.deaf:
            for n, w in weights.items():
                if n != self.drop:
                    mine[n].copy_(w)
        held = fingerprints(weights) if self.lying else fingerprints(mine)
        gen = torch.Generator().manual_seed(len(self.syncs))
        for p in self.model.parameters():
            p += self.noise * torch.randn(p.shape, generator=gen)
        return held

    def close(self) -> None:
        self.closed += 1
