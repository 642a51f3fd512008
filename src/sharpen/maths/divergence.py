"""Divergences: estimators from the log-probs of what was drawn, and exact ones over a whole vocabulary.

The estimators look at samples `x ~ new` only through `new = log p_new(x)` and `ref = log p_ref(x)`. Below,
`r = p_ref(x) / p_new(x)`, and "as a loss" means that autograd differentiates the estimate at fixed samples.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

Estimator = Literal["k1", "k2", "k3", "forward"]


def kl_estimate(new: Tensor, ref: Tensor, how: Estimator = "k3") -> Tensor:
    """Divergence between `new` and `ref` estimated at each sample drawn from `new`; same shape as both.

    - `k1` = -log r. Unbiased for KL(new || ref), either sign, high variance. As a loss its expected gradient is 0, so
      use it in the reward.
    - `k2` = (log r)^2 / 2. Never negative; biased (close when the two are). As a loss its expected gradient is
      exactly that of KL(new || ref).
    - `k3` = r - 1 - log r. Never negative, unbiased for KL(new || ref) where `new` reaches all that `ref` does. As a
      loss its expected gradient is that of KL(ref || new), the other direction.
    - `forward` = r log r - (r - 1). Never negative, unbiased for KL(ref || new) under the same condition; variance
      explodes where `ref` is far more likely. As a loss its expected gradient is not that of KL(ref || new): take
      `k3`.

    k1, k2, k3: J. Schulman, "Approximating KL divergence" (2020); k3 as a loss: GRPO, 2402.03300. Raises ValueError
    when shapes differ or the estimator is unknown.
    """
    if new.shape != ref.shape:
        raise ValueError(f"new and ref must have one shape, not {list(new.shape)} and {list(ref.shape)}")
    log_r = ref - new
    if how == "k1":
        return -log_r
    if how == "k2":
        return log_r**2 / 2
    if how == "k3":
        return torch.expm1(log_r) - log_r
    if how == "forward":
        return log_r.exp() * log_r - torch.expm1(log_r)
    raise ValueError(f"the estimator must be k1, k2, k3 or forward, not {how!r}")


def entropy(logp: Tensor) -> Tensor:
    """`-sum_v p_v log p_v` of each row, in nats, in [0, log V]: `[N, V]` normalised log-probs to `[N]`.

    -inf is probability 0 and adds nothing, to the gradient neither.
    """
    _rows(logp)
    p = logp.exp()
    return -(p * torch.where(p > 0, logp, torch.zeros_like(logp))).sum(-1)


def kl(logp: Tensor, logq: Tensor) -> Tensor:
    """`KL(p || q) = sum_v p_v (log p_v - log q_v)` of each row, in nats, >= 0: two `[N, V]` to `[N]`.

    Both are normalised log-probs. Where p is 0 nothing is added; where q is 0 and p is not, the result is inf. Gradient
    reaches both. Forward and reverse are the two orders of the arguments. Raises ValueError when shapes differ.
    """
    _rows(logp, logq)
    p = logp.exp()
    zero = torch.zeros_like(logp)
    return (p * (torch.where(p > 0, logp, zero) - torch.where(p > 0, logq, zero))).sum(-1)


def js(logp: Tensor, logq: Tensor, weight: float = 0.5) -> Tensor:
    """Jensen-Shannon divergence of each row, `w KL(p || m) + (1 - w) KL(q || m)` with `m = w p + (1 - w) q`: `[N]`.

    Lies in [0, H(w)], H(w) being the entropy of the pair (w, 1 - w); log 2 at most for w = 1/2, which is symmetric.
    Finite even where the supports differ. Weighted form: GKD, 2306.13649. Raises ValueError for w outside (0, 1).
    """
    _rows(logp, logq)
    if not 0 < weight < 1:
        raise ValueError(f"weight must lie strictly between 0 and 1: {weight}")
    # log(0 + 0) has no slope; such alternatives add nothing, so any finite stand-in will do
    dead = torch.isneginf(logp) & torch.isneginf(logq)
    zero = torch.zeros_like(logp)
    m = torch.logaddexp(
        torch.where(dead, zero, logp) + math.log(weight), torch.where(dead, zero, logq) + math.log1p(-weight)
    )
    return weight * kl(logp, m) + (1 - weight) * kl(logq, m)


def _rows(*logps: Tensor) -> None:
    if any(x.dim() != 2 or x.shape != logps[0].shape for x in logps):
        shapes = " and ".join(str(list(x.shape)) for x in logps)
        raise ValueError(f"log-probs must be [N, V] and alike, not {shapes}")
