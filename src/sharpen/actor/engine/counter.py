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
    state = _mix(seeds + GOLDEN)
    return _shift(_mix(state + GOLDEN * (position + 1)), 11).to(torch.float64) * 2.0**-53


def categorical(probs: Tensor, uniform: Tensor) -> Tensor:
    """The first index whose cumulated probability exceeds `uniform`: `int64[n]` from `probs[n, V]` and `uniform[n]`.

    Rows of `probs` need not sum to 1. An index of probability 0 is never drawn.
    """
    cdf = probs.to(torch.float64).cumsum(-1)
    total = cdf[:, -1]
    # rounding may lift the product to the total itself, which no cumulated probability exceeds
    level = torch.minimum(uniform * total, torch.nextafter(total, torch.zeros_like(total)))
    return torch.searchsorted(cdf, level.unsqueeze(1), right=True).squeeze(1)
