"""Log-ratios between the policy now and another one, per atom or shared by a unit."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from sharpen.maths.segments import mean_by, spread, sum_by

How = Literal["atom", "sum", "mean"]


def log_ratio(
    new: Tensor,
    old: Tensor,
    ids: Tensor | None = None,
    how: How = "atom",
    *,
    gradient: Literal["unit", "atom"] = "unit",
) -> Tensor:
    """Log of the importance ratio at each atom, `[N]`; its exponential is the ratio.

    With `l_t = new_t - old_t`: `atom` gives l_t (PPO, 1707.06347); `sum` gives the sum of l over the atom's unit, the
    ratio of the whole unit; `mean` gives the mean of l over the atom's unit, the length-normalised ratio (GSPO,
    2507.18071). The last two need `ids`, `int64[N]`, and are the same at every atom of a unit.

    `gradient="unit"` differentiates what was computed, so every atom of a unit carries the gradient of all its atoms.
    `gradient="atom"` keeps the value and lets each atom carry only the gradient of its own `new_t`, with slope 1 (the
    token form of GSPO: `sg[s] + new_t - sg[new_t]`). An unknown `old` (NaN) makes the atom NaN, and with it its whole
    unit.

    Raises ValueError when shapes differ, an unknown word is given, or ids are missing.
    """
    if new.dim() != 1 or new.shape != old.shape:
        raise ValueError(f"new and old must be 1-D and alike, not {list(new.shape)} and {list(old.shape)}")
    if how not in ("atom", "sum", "mean") or gradient not in ("unit", "atom"):
        raise ValueError(f"how is atom, sum or mean and gradient is unit or atom, not {how!r} and {gradient!r}")
    ratio = new - old
    if how != "atom":
        if ids is None:
            raise ValueError(f"how={how!r} needs ids, the unit of each atom")
        ratio = spread(sum_by(ratio, ids) if how == "sum" else mean_by(ratio, ids), ids)
    return ratio if gradient == "unit" else ratio.detach() + new - new.detach()
