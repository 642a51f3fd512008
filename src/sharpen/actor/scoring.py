"""What an actor says of traces, in micro-batches and without gradient."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sharpen.actor.base import Actor
from sharpen.batching import pack
from sharpen.types import Trace

AT_ONCE = 16384
"""Atoms that a model scores in one pass."""


@torch.no_grad()
def scores(actor: Actor, traces: Sequence[Trace], want: str = "score", tokens: int = AT_ONCE) -> list[Tensor]:
    """An extra (or `logp`) at every trained atom, `float32[trace.length]` for each trace, on the CPU."""
    out = [torch.zeros(0)] * len(traces)
    some = [i for i, t in enumerate(traces) if t.length]
    for micro in pack([[k] for k in range(len(some))], [actor.size(traces[i]) for i in some], tokens):
        chosen = [traces[some[k]] for k in micro]
        scored = actor.score(actor.collate(chosen, torch.arange(len(chosen)), ()), () if want == "logp" else (want,))
        values = (scored.logp if want == "logp" else scored.extra[want]).float().cpu()
        for k, said in zip(micro, torch.split(values, [t.length for t in chosen]), strict=True):
            out[some[k]] = said
    return out
