"""Random numbers that are a function of (seed, position) alone.

A generator hands its numbers out in the order they are asked for, so a draw depends on what else is in the batch. Here
every request has a seed of its own and every token its position, and what is drawn for one never depends on another.
"""

from __future__ import annotations

import torch
from torch import Tensor


def wrapped(x: int) -> int:
    """Any integer as the int64 with the same last 64 bits."""
    return (x + 2**63) % 2**64 - 2**63


_GOLDEN = wrapped(0x9E3779B97F4A7C15)
_MIX_1 = wrapped(0xBF58476D1CE4E5B9)
_MIX_2 = wrapped(0x94D049BB133111EB)


def splitmix64(seed: Tensor, index: Tensor) -> Tensor:
    """Output number `index` (from 0) of the SplitMix64 generator started at `seed`: int64, 64 random bits, any shape.

    `z = seed + (index + 1) * 0x9E3779B97F4A7C15`, then `z = (z ^ z >>> 30) * 0xBF58476D1CE4E5B9`,
    `z = (z ^ z >>> 27) * 0x94D049BB133111EB`, `z ^ z >>> 31`, all modulo 2^64 (Steele, Lea and Flood, OOPSLA 2014).
    """
    z = seed + (index + 1) * _GOLDEN
    z = (z ^ _shift_right(z, 30)) * _MIX_1
    z = (z ^ _shift_right(z, 27)) * _MIX_2
    return z ^ _shift_right(z, 31)


def uniforms(seeds: Tensor, position: int | Tensor, *, check: bool = True) -> Tensor:
    """One uniform number in [0, 1) per request, `float64[n]`, on the device of `seeds`, the same on every device.

    `seeds` is `int64[n]`, any values; `position >= 0` is the token about to be drawn, one for all or `int64[n]`. With
    h the SplitMix64 of above, `u = (h(h(seed, 0), position) >>> 11) / 2^53`. Hashing the seed first keeps
    neighbouring seeds from sharing a stream with a shift. u is a multiple of 2^-53, at most 1 - 2^-53.

    Raises ValueError for other shapes or dtypes and for a negative position; `check=False` leaves out the checks, which
    make an accelerator wait.
    """
    where = torch.as_tensor(position, device=seeds.device)
    if check:
        _check(seeds, where, position)
    key = splitmix64(seeds, torch.zeros_like(seeds))
    return _shift_right(splitmix64(key, where), 11).to(torch.float64) * 2.0**-53


def _check(seeds: Tensor, where: Tensor, position: int | Tensor) -> None:
    if seeds.dim() != 1 or seeds.dtype != torch.int64:
        raise ValueError(f"seeds must be int64[n], not {seeds.dtype} {list(seeds.shape)}")
    if where.dtype != torch.int64 or where.shape not in ((), seeds.shape) or bool((where < 0).any()):
        raise ValueError(f"position must be one whole number >= 0 or int64[{len(seeds)}] of them: {position}")


def categorical(logits: Tensor, u: Tensor, *, check: bool = True) -> Tensor:
    """Draw from each row by inverting its distribution function: the first v with `p_0 + ... + p_v > u`, `int64[n]`.

    `logits` is `[n, V]`, log-probs up to a constant per row, -inf for probability 0; `u` is `[n]` in [0, 1).
    Probabilities are rounded down to whole multiples of a quantum of 2^-44 of the row's largest or less (for
    V <= 2^18) and summed as integers. So the sum is exact, never decreases, and ends at its total: an alternative of
    probability 0 can not be drawn whatever u is, and a row's draw does not depend on the other rows. Alternatives
    below a quantum are never drawn either.

    Raises ValueError for wrong shapes, no alternatives, NaN or +inf, a row without any alternative, or u outside [0,
    1). `check=False` leaves out the checks, which make an accelerator wait; where logits are no numbers the result then
    means nothing.
    """
    if logits.dim() != 2 or not logits.shape[1] or not logits.is_floating_point() or u.shape != logits.shape[:1]:
        raise ValueError(f"needs floats [n, V] with V >= 1 and u [n], not {list(logits.shape)} and {list(u.shape)}")
    if check and not bool(((u >= 0) & (u < 1)).all()):
        raise ValueError("u must lie in [0, 1)")
    top = logits.max(1, keepdim=True).values
    # a row's largest is NaN if anything in it is, and infinite if nothing can be drawn or something is +inf
    bad = ~torch.isfinite(top.squeeze(1))
    if check and bool(bad.any()):
        raise ValueError(
            f"row {int(bad.int().argmax())} holds NaN or +inf, or has no alternative of positive probability"
        )
    bits = 62 - (logits.shape[1] - 1).bit_length()  # V weights of at most 2^bits sum to at most 2^62
    share = (logits.to(torch.float64) - top.to(torch.float64)).exp()
    upto = (share * 2.0**bits).to(torch.int64).cumsum(1)
    # u <= 1 - 2^-53 takes at least one unit in the last place off the total, and rounding it added at most half of one:
    # the target stays below the total, so something is found, and only what has weight can be the first to pass it
    target = (u.to(torch.float64).unsqueeze(1) * upto[:, -1:].to(torch.float64)).to(torch.int64)
    return torch.searchsorted(upto, target, right=True).squeeze(1).clamp_(max=logits.shape[1] - 1)


def _shift_right(z: Tensor, by: int) -> Tensor:
    """Shift that fills with zeros; torch's own repeats the sign."""
    return (z >> by) & ((1 << (64 - by)) - 1)
