"""Random numbers by counting: the number of a token depends on its seed and position alone."""

from __future__ import annotations

import torch
from torch import Tensor


def wrapped(x: int) -> int:
    """Any integer as the `int64` with the same last 64 bits."""
    return (x + 2**63) % 2**64 - 2**63


GOLDEN = wrapped(0x9E3779B97F4A7C15)
FIRST = wrapped(0xBF58476D1CE4E5B9)
SECOND = wrapped(0x94D049BB133111EB)


def _shift(x: Tensor, bits: int) -> Tensor:
    # >> on int64 repeats the sign bit; the mask removes the repeats
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _mix(x: Tensor) -> Tensor:
    x = (x ^ _shift(x, 30)) * FIRST
    x = (x ^ _shift(x, 27)) * SECOND
    return x ^ _shift(x, 31)


def uniforms(seeds: Tensor, position: Tensor | int) -> Tensor:
    """One number in `[0, 1)` for each seed, `float64[n]`, a multiple of `2**-53`.

    Two rounds of the SplitMix64 finaliser (Steele, Lea, Flood 2014) over `int64[n]` seeds and positions.
    """
    where = torch.as_tensor(position, device=seeds.device)
    return _shift(_mix(_mix(seeds + GOLDEN) + (where + 1) * GOLDEN), 11).to(torch.float64) * 2.0**-53


def categorical(logits: Tensor, u: Tensor) -> Tensor:
    """Draw from each row by inverting its distribution function: the first v with `p_0 + ... + p_v > u`, `int64[n]`.

    `logits[n, V]` are log-probs up to a constant per row, -inf for probability 0, which is never drawn; `u float64[n]`
    in `[0, 1)`. Sums run in float64. Where logits are no numbers the result means nothing, but is an index.
    """
    cdf = (logits - logits.amax(1, keepdim=True)).exp_().cumsum(1, dtype=torch.float64)
    total = cdf[:, -1]
    # rounding may lift the product to the total itself, which no cumulated probability exceeds
    level = torch.minimum(u * total, torch.nextafter(total, torch.zeros_like(total)))
    return torch.searchsorted(cdf, level.unsqueeze(1), right=True).squeeze(1).clamp_(max=logits.shape[1] - 1)
