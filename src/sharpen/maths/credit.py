"""Credit: what a reward says about each unit, compared with its peers or with a value.

Flat columns and ids in, a flat column out (see `segments`). Gradient flows through all of them, for losses that compare
statistics of the current policy.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from sharpen.maths.segments import (
    check_column,
    count_by,
    count_units,
    is_last,
    max_by,
    mean_by,
    ordered,
    per_unit,
    suffix_sum_by,
    sum_by,
)

Center = Literal["mean", "loo", "none"]
Scale = Literal["std", "mean", "maxabs", "none"]
Std = Literal["sample", "population"]
Singleton = Literal["zero", "raw"]


def group_norm(
    x: Tensor,
    ids: Tensor,
    *,
    center: Center = "mean",
    scale: Scale = "std",
    scale_ids: Tensor | None = None,
    std: Std = "sample",
    singleton: Singleton = "zero",
    eps: float = 1e-6,
) -> Tensor:
    """Each entry compared with the others of its unit: `A_i = d_i / (s + eps)`, `[N]` in the dtype of `x`.

    Centre, over the unit of `ids`: `mean` d_i = x_i - mean; `loo` d_i = x_i - mean of the others; `none` d_i = x_i.
    Spread s, over the unit of `scale_ids` (default `ids`): `std` standard deviation of x, with n - 1 (`sample`) or n
    (`population`) below; `mean` |mean of x|, meant for rewards >= 0; `maxabs` largest |d_i|, so that A lies in [-1, 1];
    `none` 1, without eps.

    A unit whose entries are all equal has d = 0 exactly (unless `center="none"`), and a spread `std` of exactly 0
    gives 0: no rounding noise is ever divided by eps. An entry without peers, where peers are asked for (a centre, or
    `std`), gives 0, or its x untouched for `singleton="raw"`. Statistics are taken in float64.

    `mean`, `std`: GRPO, 2402.03300; `loo`, `none`: RLOO, 2402.14740; `mean`, `none`: Dr. GRPO, 2503.20783; spread
    over the batch: Lite PPO, 2508.08221; `none`, `maxabs`: EPO, 2502.12486; both singletons: GiGPO, 2505.10978.

    Raises ValueError for x that is not finite floats `[N]`, ids of another shape, an unknown word, or eps < 0.
    """
    check_column(x, ids)
    _known(center=(center, ("mean", "loo", "none")), scale=(scale, ("std", "mean", "maxabs", "none")))
    _known(std=(std, ("sample", "population")), singleton=(singleton, ("zero", "raw")))
    if eps < 0:
        raise ValueError(f"eps must not be negative: {eps}")
    if not bool(torch.isfinite(x).all()):
        raise ValueError(f"x must be finite; entry {int((~torch.isfinite(x)).int().argmax())} is not")
    over = ids if scale_ids is None else scale_ids
    raw = x.to(torch.float64)
    alone = torch.zeros_like(ids, dtype=torch.bool)
    d = raw
    if center != "none":
        count = count_by(ids)[ids]
        alone = alone | (count == 1)
        d = torch.where(_tied(raw, ids)[ids], torch.zeros_like(raw), raw - mean_by(raw, ids)[ids])
        if center == "loo":
            # the mean of the others is off by n / (n - 1) of the deviation from the mean of all
            d = d * count / (count - 1).clamp(min=1)
    if scale == "std":
        check_column(raw, over)
        alone = alone | (count_by(over)[over] == 1)
        spread = _std_by(raw, over, std)[over]
        flat = spread == 0
        out = torch.where(flat, torch.zeros_like(d), d / (torch.where(flat, torch.ones_like(d), spread) + eps))
    elif scale == "mean":
        out = d / (mean_by(raw, over)[over].abs() + eps)
    elif scale == "maxabs":
        most = max_by(d.abs(), over)[over]
        # where the largest is 0 so is d, and eps may be 0
        out = d / torch.where(most == 0, torch.ones_like(most), most + eps)
    else:
        out = d
    out = torch.where(alone, raw if singleton == "raw" else torch.zeros_like(out), out)
    return out.to(x.dtype)


def whiten(x: Tensor, *, keep_mean: bool = False, std: Std = "sample", eps: float = 1e-6) -> Tensor:
    """The whole column to mean 0 and standard deviation 1: `(x - mean) / (std + eps)`, `[N]`; equal entries give 0.

    `keep_mean` adds the mean back, which changes only the spread (rewards rather than advantages; 1909.08593).
    """
    if x.dim() != 1:
        raise ValueError(f"x must be 1-D, not of shape {list(x.shape)}")
    ids = torch.zeros(len(x), dtype=torch.int64, device=x.device)
    out = group_norm(x, ids, std=std, eps=eps)
    return out + mean_by(x, ids)[ids] if keep_mean else out


def loo_per_length(r: Tensor, length: Tensor, trace: Tensor, group: Tensor) -> Tensor:
    """Step rewards against what the other traces of the group earn per token, `[N]`, one entry per step.

    `A_ki = r_ki - n_i * (sum_{j != k} R_j) / (sum_{j != k} L_j)` for step i of trace k, of `n_i` tokens, where R_j
    and L_j are the reward and the tokens of the whole trace j. A trace alone in its group gives 0. `length` is `n_i >
    0` (ones compare per step). PURE, 2504.15275.

    Raises ValueError when shapes differ, a length is not positive, or a trace has steps in two groups.
    """
    check_column(r, trace, "r")
    check_column(r, group, "r")
    if length.shape != r.shape or not bool((length > 0).all()):
        raise ValueError(f"length must hold one positive number of tokens per step, [{len(r)}]")
    if len(r) and bool((_tied(group.to(torch.float64), trace) == 0).any()):
        raise ValueError("a trace has steps in two groups")
    n = length.to(r.dtype)
    others_r = sum_by(r, group)[group] - sum_by(r, trace)[trace]
    others_n = sum_by(n, group)[group] - sum_by(n, trace)[trace]
    alone = count_by(group)[group] == count_by(trace)[trace]
    rate = others_r / torch.where(alone, torch.ones_like(others_n), others_n)
    return torch.where(alone, torch.zeros_like(r), r - n * rate)


def discounted_returns(r: Tensor, gamma: float = 1.0) -> Tensor:
    """Return of one sequence: `G_t = r_t + gamma * G_{t+1}`, `[T]`. Raises ValueError for gamma outside [0, 1]."""
    return discounted_returns_by(r, _one_unit(r), gamma)


def discounted_returns_by(r: Tensor, ids: Tensor, gamma: float = 1.0) -> Tensor:
    """Returns of several sequences in one flat column, each in the order of its entries: `[N]`.

    `G_t = r_t + gamma * G_{t+1}` inside each unit. Raises ValueError for gamma outside [0, 1].
    """
    _fraction(gamma, "gamma")
    return suffix_sum_by(r, ids, gamma)


def gae(r: Tensor, v: Tensor, gamma: float = 1.0, lam: float = 0.95, last_value: float | Tensor = 0.0) -> Tensor:
    """Generalised advantage of one sequence, `[T]`: see `gae_by`."""
    return gae_by(r, v, _one_unit(r), gamma, lam, last_value)


def gae_by(
    r: Tensor,
    v: Tensor,
    ids: Tensor,
    gamma: float = 1.0,
    lam: float | Tensor = 0.95,
    last_value: float | Tensor = 0.0,
) -> Tensor:
    """Generalised advantage of several sequences in one flat column, `[N]`.

    `A_t = delta_t + gamma * lam * A_{t+1}` with `delta_t = r_t + gamma * v_{t+1} - v_t` inside each unit; after the
    last entry the value is `last_value` (0 where the sequence ended by itself, the value of the state reached where
    it was cut) and the advantage 0. `lam` and `last_value` are one number or one per unit, `[n]` (lam by length:
    VAPO, 2504.05118). The value target is `A + v`. GAE, 1506.02438.

    Raises ValueError when shapes differ or gamma or lam leave [0, 1].
    """
    check_column(r, ids, "r")
    check_column(v, ids, "v")
    _fraction(gamma, "gamma")
    _fraction(lam, "lam")
    n = count_units(ids)
    order, inverse = ordered(ids)
    after = torch.cat([v[order][1:], v.new_zeros(min(1, len(v)))])[inverse]
    after = torch.where(is_last(ids), per_unit(last_value, n, v, "last_value")[ids], after)
    return suffix_sum_by(r + gamma * after - v, ids, per_unit(lam, n, r, "lam") * gamma)


def _tied(x: Tensor, ids: Tensor) -> Tensor:
    """Whether all entries of a unit are equal, `bool[n]`; one entry or none counts as equal."""
    with torch.no_grad():
        return max_by(x, ids, empty=0.0) == -max_by(-x, ids, empty=0.0)


def _std_by(x: Tensor, ids: Tensor, kind: Std) -> Tensor:
    """Standard deviation of each unit, `[n]`: exactly 0 where all entries are equal, and then without gradient."""
    count = count_by(ids)
    below = (count - 1 if kind == "sample" else count).clamp(min=1)
    var = sum_by((x - mean_by(x, ids)[ids]) ** 2, ids) / below
    flat = _tied(x, ids) | (var == 0)
    # sqrt has no slope at 0: replace what it sees before, and what it gives after
    return torch.where(flat, torch.zeros_like(var), torch.where(flat, torch.ones_like(var), var).sqrt())


def _one_unit(r: Tensor) -> Tensor:
    if r.dim() != 1:
        raise ValueError(f"r must be one sequence, 1-D, not of shape {list(r.shape)}")
    return torch.zeros(len(r), dtype=torch.int64, device=r.device)


def _fraction(value: float | Tensor, name: str) -> None:
    inside = torch.as_tensor(value)
    if not bool(((inside >= 0) & (inside <= 1)).all()):
        raise ValueError(f"{name} must lie in [0, 1]: {value}")


def _known(**words: tuple[str, tuple[str, ...]]) -> None:
    for name, (word, known) in words.items():
        if word not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}, not {word!r}")
