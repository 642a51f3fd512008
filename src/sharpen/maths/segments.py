"""Reductions by ids: flat columns in, one value per unit out, and back.

Every function takes `ids`, `int64[N]`, where `ids[i] >= 0` names the unit (segment, trace, group, ...) of entry `i`.
Units need not be contiguous nor all present; inside a unit, entries keep the order they have in the tensor. There are
`n = max(ids) + 1` units unless `n` is given, which it must be when the last units may be empty. Results of one unit
never depend on the entries of another. Gradient flows wherever a tensor of floats comes out.

On an accelerator, sums repeat to the bit only under `torch.use_deterministic_algorithms(True)`.
"""

from __future__ import annotations

import torch
from torch import Tensor


def count_units(ids: Tensor, n: int | None = None) -> int:
    """Number of units: `n`, or `max(ids) + 1` (0 for no entries).

    Raises ValueError when `ids` is not `int64[N]`, holds a negative id, or holds an id not below `n`.
    """
    if ids.dim() != 1 or ids.dtype != torch.int64:
        raise ValueError(f"ids must be int64[N], not {_describe(ids)}")
    if n is not None and n < 0:
        raise ValueError(f"the number of units must not be negative: {n}")
    if not len(ids):
        return n or 0
    low, high = int(ids.min()), int(ids.max())
    if low < 0:
        raise ValueError(f"ids must not be negative: {low}")
    if n is not None and high >= n:
        raise ValueError(f"id {high} does not fit into {n} units")
    return high + 1 if n is None else n


def check_column(x: Tensor, ids: Tensor, name: str = "x") -> None:
    """Raise ValueError unless `x` is a 1-D tensor of floats with one entry per id."""
    if x.dim() != 1 or not x.is_floating_point():
        raise ValueError(f"{name} must be a 1-D tensor of floats, not {_describe(x)}")
    if x.shape != ids.shape:
        raise ValueError(f"{name} has {len(x)} entries for ids of shape {list(ids.shape)}")


def count_by(ids: Tensor, n: int | None = None) -> Tensor:
    """Entries of each unit, `int64[n]`."""
    return torch.bincount(ids, minlength=count_units(ids, n))


def sum_by(x: Tensor, ids: Tensor, n: int | None = None) -> Tensor:
    """`out[u] = sum of x[i] over i with ids[i] = u`, `[n]` in the dtype of `x`; an empty unit gives 0."""
    check_column(x, ids)
    return x.new_zeros(count_units(ids, n)).index_add(0, ids, x)


def mean_by(x: Tensor, ids: Tensor, n: int | None = None, *, empty: float = 0.0) -> Tensor:
    """`out[u] = mean of x[i] over i with ids[i] = u`, `[n]`; a unit without entries gives `empty`."""
    total, count = sum_by(x, ids, n), count_by(ids, n)
    return torch.where(count > 0, total / count.clamp(min=1), torch.full_like(total, empty))


def max_by(x: Tensor, ids: Tensor, n: int | None = None, *, empty: float = -torch.inf) -> Tensor:
    """`out[u] = max of x[i] over i with ids[i] = u`, `[n]`; a unit without entries gives `empty`.

    Equal maxima share the gradient evenly.
    """
    check_column(x, ids)
    return x.new_full((count_units(ids, n),), empty).scatter_reduce(0, ids, x, "amax", include_self=False)


def softmax_by(x: Tensor, ids: Tensor) -> Tensor:
    """Softmax inside each unit, `[N]`: `out[i] = exp(x[i]) / sum of exp(x[j]) over j of the unit of i`, in (0, 1]."""
    high = max_by(x.detach(), ids)[ids]  # no exponent is above 0
    e = (x - high).exp()
    return e / sum_by(e, ids)[ids]


def spread(values: Tensor, ids: Tensor) -> Tensor:
    """One value per unit, `[n]`, back to its entries: `out[i] = values[ids[i]]`, `[N]`, of any dtype.

    Raises ValueError when `values` is not 1-D or lacks a unit.
    """
    if values.dim() != 1:
        raise ValueError(f"values must be 1-D, one per unit, not {_describe(values)}")
    count_units(ids, len(values))
    return values[ids]


def last_of(ids: Tensor, n: int | None = None) -> Tensor:
    """Index of the last entry of each unit, `int64[n]`.

    Raises ValueError when a unit is empty, for it has no last entry; `is_last` serves columns with empty units.
    """
    n = count_units(ids, n)
    last = _last(ids, n)
    if n and int(last.min()) < 0:
        raise ValueError(f"unit {int(last.argmin())} has no entries, so it has no last one")
    return last


def is_last(ids: Tensor) -> Tensor:
    """Whether each entry is the last of its unit, `bool[N]`."""
    return _last(ids, count_units(ids))[ids] == torch.arange(len(ids), device=ids.device)


def is_first(ids: Tensor) -> Tensor:
    """Whether each entry is the first of its unit, `bool[N]`."""
    return is_last(ids.flip(0)).flip(0)


def suffix_sum_by(x: Tensor, ids: Tensor, factor: float | Tensor = 1.0) -> Tensor:
    """Sum from each entry to the end of its unit (reward-to-go), `[N]`.

    `y_t = x_t + factor * y_{t+1}` inside each unit, hence `y_t = sum_{s >= t} factor^(s - t) x_s`. `factor` is one
    number or one per unit, `[n]`. Takes about log2(longest unit) passes; no total over several units is ever formed,
    so a unit's rounding, infinities and NaN stay in it.
    """
    check_column(x, ids)
    n = count_units(ids)
    order, inverse = ordered(ids)
    unit = ids[order]
    step = per_unit(factor, n, x, "factor")[unit]
    y, reach = x[order], 1
    longest = int(count_by(ids, n).max()) if n else 0
    while reach < longest:
        # y_t holds `reach` terms; the partial sum that starts where those end doubles them
        same = unit[reach:] == unit[:-reach]
        later = torch.where(same, y[reach:], torch.zeros_like(y[reach:]))
        weight = torch.where(same, step[:-reach] ** reach, torch.zeros_like(later))
        y = torch.cat([y[:-reach] + weight * later, y[-reach:]])
        reach *= 2
    return y[inverse]


def ordered(ids: Tensor) -> tuple[Tensor, Tensor]:
    """Indices that bring units together without reordering any inside, and those that undo it; `int64[N]` both."""
    order = torch.argsort(ids, stable=True)
    inverse = torch.empty_like(order)
    inverse[order] = torch.arange(len(ids), device=ids.device)
    return order, inverse


def per_unit(value: float | Tensor, n: int, like: Tensor, name: str) -> Tensor:
    """`value` as one number per unit, `[n]`, with dtype and device of `like`.

    Raises ValueError for a tensor that is neither a single number nor of shape `[n]`.
    """
    out = torch.as_tensor(value, dtype=like.dtype, device=like.device)
    if out.dim() and out.shape != (n,):
        raise ValueError(f"{name} must be one number or one per unit, [{n}], not {_describe(out)}")
    return out.expand(n)


def _last(ids: Tensor, n: int) -> Tensor:
    """Index of the last entry of each unit, -1 for an empty one."""
    index = torch.arange(len(ids), device=ids.device)
    return ids.new_full((n,), -1).scatter_reduce(0, ids, index, "amax")


def _describe(x: Tensor) -> str:
    return f"{str(x.dtype).removeprefix('torch.')}{list(x.shape)}"
