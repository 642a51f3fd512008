"""Latents as text and back: what rollouts, reports and votes show of a sample that is no text.

A vector reads `(0.42, -1.05)`. A picture (a shape of two numbers) has a character a pixel: the eight of `SHADES` are
equal parts of [-1, 1], dark to bright, and what lies outside gets the nearest.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import torch
from torch import Tensor

SHADES = ".:-=+*#@"
"""Brightness from -1 to 1."""

NUMBER = re.compile(r"-?[0-9]{1,6}\.[0-9]{2}", re.ASCII)


def shown(latent: Tensor, shape: Sequence[int]) -> str:
    """The text of one latent, `float[...]` of `prod(shape)` numbers, rounded."""
    flat = latent.flatten().tolist()
    if len(shape) != 2:
        return "(" + ", ".join(f"{x:.2f}" for x in flat) + ")"
    shades = [SHADES[_shade(x)] for x in flat]
    width = shape[1]
    return "\n".join("".join(shades[i : i + width]) for i in range(0, len(shades), width))


def _shade(x: float) -> int:
    if math.isnan(x):
        return 0
    return min(len(SHADES) - 1, max(0, math.floor((min(1.0, max(-1.0, x)) + 1) / 2 * len(SHADES))))


def read(text: str, shape: Sequence[int]) -> Tensor | None:
    """The latent that a text shows, `float32[prod(shape)]`; None for any other text. Brightness is a shade's middle."""
    count = math.prod(shape)
    if len(shape) != 2:
        if not (text.startswith("(") and text.endswith(")")):
            return None
        words = text[1:-1].split(", ", count)
        whole = len(words) == count and all(NUMBER.fullmatch(w) for w in words)
        return torch.tensor([float(w) for w in words]) if whole else None
    rows = text.split("\n", shape[0])
    if len(rows) != shape[0] or any(len(r) != shape[1] or r.strip(SHADES) for r in rows):
        return None
    return torch.tensor([(2 * SHADES.index(c) + 1) / len(SHADES) - 1 for r in rows for c in r])
