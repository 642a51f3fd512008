"""Drawing one token a row from logits, and what is to be known of the draw."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from sharpen.maths import categorical

ELEMENTS = 2**25
"""Logits treated at once; more rows than that go in turns."""


class Picked(NamedTuple):
    """`token int64[n]`; `logp`, `logp_full`, `entropy` `float32[n]` as in `Draw`."""

    token: Tensor
    logp: Tensor
    logp_full: Tensor
    entropy: Tensor


def truncate(log: Tensor, top_k: Tensor, top_p: Tensor) -> Tensor:
    """Log-probs `[n, V]` after top-k and then top-p, renormalised; `-inf` where a token cannot be drawn.

    `top_k int64[n]`, 0 for no limit. `top_p float32[n]` in `(0, 1]`: the fewest of the likeliest tokens that top-k left
    whose share of what it left is at least `top_p`. Among equals the lowest index comes first.
    """
    size = log.shape[1]
    ranked, index = log.sort(dim=1, descending=True, stable=True)
    limit = torch.where(top_k > 0, top_k, size).unsqueeze(1)
    keep = torch.arange(size, device=log.device) < limit
    share = torch.where(keep, ranked, -torch.inf).softmax(1).to(torch.float64)
    before = share.cumsum(1) - share
    bound = top_p.unsqueeze(1)
    # the bound 1 keeps all: sums that rounding lifted to 1 must not cut the tail
    keep &= (before < bound) | (bound >= 1.0)
    kept = torch.full_like(log, -torch.inf).scatter_(1, index, torch.where(keep, ranked, -torch.inf))
    # rows without a limit are returned as they are, so that what others ask for does not round them
    free = (limit >= size) & (bound >= 1.0)
    return torch.where(free, log, kept.log_softmax(1))


def pick(logits: Tensor, uniform: Tensor, temperature: Tensor, top_k: Tensor | None, top_p: Tensor | None) -> Picked:
    """Draw a token from every row of `logits[n, V]` with the numbers `uniform[n]`.

    `temperature float32[n]`; 0 takes the likeliest token, the lowest index among equals, with `logp` 0 and the other
    two figures at temperature 1. `top_k[n]` and `top_p[n]` are None together, when no row has either.
    """
    rows = max(1, ELEMENTS // logits.shape[1])
    parts = []
    for start in range(0, logits.shape[0], rows):
        part = slice(start, start + rows)
        parts.append(
            _pick(
                logits[part],
                uniform[part],
                temperature[part],
                None if top_k is None else top_k[part],
                None if top_p is None else top_p[part],
            )
        )
    return parts[0] if len(parts) == 1 else Picked(*(torch.cat(column) for column in zip(*parts, strict=True)))


def _pick(logits: Tensor, uniform: Tensor, temperature: Tensor, top_k: Tensor | None, top_p: Tensor | None) -> Picked:
    greedy = temperature == 0
    heat = torch.where(greedy, 1.0, temperature).unsqueeze(1)
    full = (logits.float() / heat).log_softmax(1)
    # a logit of -inf has probability 0 and adds nothing
    entropy = (full.exp() * full.clamp(min=torch.finfo(full.dtype).min)).sum(1).neg()
    log = full if top_k is None or top_p is None else truncate(full, top_k, top_p)
    token = torch.where(greedy, logits.argmax(1), categorical(log, uniform, check=False))
    column = token.unsqueeze(1)
    logp_full = full.gather(1, column).squeeze(1)
    logp = logp_full if log is full else log.gather(1, column).squeeze(1)
    return Picked(token, torch.where(greedy, 0.0, logp), logp_full, entropy)
