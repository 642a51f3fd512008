"""Denoising chains: one step of a rectified flow as a Gaussian, its log-density and its entropy.

Time runs from 1 (noise) to 0 (data): `x_t = (1 - t) x + t eps`, and the velocity is `v = E[eps - x | x_t]`. A chain of
K steps has the times `t_k = 1 - k/K`, k = 0 .. K - 1, and the step `h = 1/K`; step k leads from `x_k` at `t_k` to
`x_{k+1}` at `t_k - h`. (ReinFlow counts time the other way: its t is 1 - t, its velocity -v.)
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def times(steps: int) -> Tensor:
    """`float64[steps]`: the time each step starts at, 1, 1 - 1/K, ..., 1/K."""
    return 1 - torch.arange(steps, dtype=torch.float64) / steps


def noise_level(t: Tensor, h: Tensor, a: Tensor | float) -> Tensor:
    """sigma_t = a sqrt(t / (1 - t)), the noise of Flow-GRPO's SDE; shapes as broadcast.

    It is infinite at t = 1. There 1 - t is replaced by h, its value one step later, as the authors' code does.
    """
    return a * (t / torch.maximum(1 - t, h)).sqrt()


def sde_step(x: Tensor, v: Tensor, t: Tensor, h: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of one Euler-Maruyama step of the SDE with the flow's own marginals.

        mean = x - h (v + sigma^2 / (2 t) (x + (1 - t) v)),     std = sigma sqrt(h)

    x and v are `[..., d]`, the others broadcast against them. The SDE has the marginals of the ODE dx/dt = v at every
    time and for any sigma, as long as v is the velocity of a flow; a step of finite length has them nearly. With
    sigma = 0 the step is Euler's. Source: Flow-GRPO, 2505.05470, section 4.2; the authors write it for dt = -h.
    """
    drift = v + sigma**2 / (2 * t) * (x + (1 - t) * v)
    return x - h * drift, (sigma * h.sqrt()).expand_as(x)


def ode_step(x: Tensor, v: Tensor, h: Tensor) -> Tensor:
    """x - h v: Euler's step towards the data."""
    return x - h * v


def gaussian_logp(x: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """log N(x; mean, std^2) of every number; std is above 0."""
    return -(((x - mean) / std) ** 2) / 2 - std.log() - math.log(2 * math.pi) / 2


def gaussian_entropy(std: Tensor) -> Tensor:
    """log(std) + log(2 pi e) / 2 of every number, in nats; it has either sign."""
    return std.log() + (1 + math.log(2 * math.pi)) / 2
