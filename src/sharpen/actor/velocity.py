"""The network of a flow policy: a velocity for a latent, a time and a condition, and the noise it may learn to add."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sharpen.errors import SharpenError

EARLY = 0.05
"""Time below which the data that is guessed is no longer divided by the time."""

OCTAVES = 4
"""Sines and cosines of the time, each octave twice as fast as the one before; the slowest has half a period."""


@dataclass(frozen=True)
class FlowConfig:
    """What a flow policy is made of; kept as `config.json` beside its weights.

    `shape` is that of a latent, `conditions` how many numbers a condition has. `steps` are the denoising steps of a
    chain where nobody asks for another number. `level` is `a` of Flow-GRPO's noise (2505.05470: 0.7). A learnt noise
    has its standard deviation between `low` and `high` (ReinFlow's for state inputs: 0.10 and 0.24).
    """

    shape: tuple[int, ...]
    conditions: int
    width: int = 128
    layers: int = 3
    steps: int = 10
    level: float = 0.7
    low: float = 0.10
    high: float = 0.24

    def __post_init__(self) -> None:
        sizes = (*self.shape, self.conditions, self.width, self.layers, self.steps)
        whole = bool(self.shape) and all(isinstance(n, int) and n >= 1 for n in sizes)
        if not whole or not 0 <= self.level < math.inf or not 0 < self.low <= self.high < math.inf:
            raise SharpenError(
                f"{self} describes no flow policy: sizes must be whole numbers from 1 on, level 0 or more, and "
                "0 < low <= high. Give other values."
            )

    @property
    def size(self) -> int:
        """Numbers of a latent."""
        return math.prod(self.shape)


class VelocityField(nn.Module):
    """v(x, t, c) = (x - f(x, t, c)) / max(t, 0.05), and a noise for ReinFlow; f and the noise are perceptrons.

    f guesses the data that x is a noisy form of, E[x_0 | x_t], which a small network does better than the velocity.
    The last layer of the noise head starts at zero, so that its standard deviation starts at sqrt(low * high).
    """

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        self.config = config
        inner = config.size + 2 * OCTAVES + config.conditions
        self.clean = perceptron(inner, config.width, config.layers, config.size)
        self.noise = perceptron(inner, max(16, config.width // 4), 1, config.size)
        last = self.noise[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, x: Tensor, t: Tensor, condition: Tensor, noise: bool = False) -> tuple[Tensor, Tensor | None]:
        """Velocity `[n, d]` for x `[n, d]`, t `[n]`, condition `[n, c]`; with `noise` also a standard deviation.

        std = low^(1 - s) high^s with s = (1 + tanh(u)) / 2, u the head's output: the logarithm lies between its bounds.
        """
        inner = self._inner(x, t, condition)
        v = (x - self.clean(inner)) / t.clamp(min=EARLY)[:, None]
        if not noise:
            return v, None
        low, high = math.log(self.config.low), math.log(self.config.high)
        share = (1 + torch.tanh(self.noise(inner))) / 2
        return v, (low + (high - low) * share).exp()

    def guess(self, x: Tensor, t: Tensor, condition: Tensor) -> Tensor:
        """The data f(x, t, c) that x is taken for, `[n, d]`."""
        found: Tensor = self.clean(self._inner(x, t, condition))
        return found

    def _inner(self, x: Tensor, t: Tensor, condition: Tensor) -> Tensor:
        turns = t[:, None] * math.pi * 2.0 ** torch.arange(OCTAVES, dtype=x.dtype, device=x.device)
        return torch.cat([x, turns.sin(), turns.cos(), condition], dim=1)


def perceptron(inner: int, width: int, layers: int, outer: int) -> nn.Sequential:
    """Linear layers with SiLU between them."""
    sizes = [inner, *[width] * layers]
    parts: list[nn.Module] = []
    for a, b in itertools.pairwise(sizes):
        parts += [nn.Linear(a, b), nn.SiLU()]
    return nn.Sequential(*parts, nn.Linear(sizes[-1], outer))


def velocity_field(config: FlowConfig, seed: int = 0) -> VelocityField:
    """An untrained network; its weights depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return VelocityField(config)
