"""What an actor says of traces, in micro-batches and without gradient; each process of a run scores a share."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sharpen.actor.base import Actor
from sharpen.batching import pack
from sharpen.parallel.deal import deal
from sharpen.parallel.world import ALONE, World
from sharpen.types import Trace

AT_ONCE = 16384
"""Atoms that a model scores in one pass."""


@torch.no_grad()
def scores(actor: Actor, traces: Sequence[Trace], want: str = "score", tokens: int = AT_ONCE) -> list[Tensor]:
    """An extra (or `logp`) at every trained atom, `float32[trace.length]` for each trace, on the CPU."""
    out = [torch.zeros(0)] * len(traces)
    some = [i for i, t in enumerate(traces) if t.length]
    world: World = getattr(actor, "world", ALONE)  # whatever can score will do here, an actor or not
    if world.size > 1:
        actor = actor.undivided(exact=False)
    shares = deal([actor.size(traces[i]) for i in some], world.size)
    mine = [some[k] for k in shares[world.rank]]
    for micro in pack([[k] for k in range(len(mine))], [actor.size(traces[i]) for i in mine], tokens):
        chosen = [traces[mine[k]] for k in micro]
        scored = actor.score(actor.collate(chosen, torch.arange(len(chosen)), ()), () if want == "logp" else (want,))
        values = (scored.logp if want == "logp" else scored.extra[want]).float().cpu()
        for k, said in zip(micro, torch.split(values, [t.length for t in chosen]), strict=True):
            out[mine[k]] = said
    whole = [some[k] for share in shares for k in share]
    joined = world.join(torch.cat([torch.zeros(0), *(out[i] for i in mine)]))
    for i, values in zip(whole, torch.split(joined, [traces[i].length for i in whole]), strict=True):
        out[i] = values.clone()
    return out
