"""Computing in half precision with weights that stay whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

HALF = (torch.bfloat16, torch.float16)


@contextmanager
def rounded(module: nn.Module, dtype: torch.dtype) -> Iterator[None]:
    """Run a module with its parameters rounded to `dtype`; gradients arrive at the parameters themselves, unrounded.

    Each is rounded once, shared ones stay shared. Autocast rounds matrices alone and leaves everything between them in
    float32: that costs a conversion at every product, and twice the memory traffic in between. What is recomputed in
    the backward pass (activation checkpointing) would find the parameters as they are, so it needs autocast.
    """
    places = [
        (m, name, p)
        for m in module.modules()
        for name, p in m._parameters.items()
        if p is not None and p.is_floating_point() and p.dtype != dtype
    ]
    made = {id(p): p.to(dtype) for _, _, p in places}
    for m, name, p in places:
        m._parameters[name] = made[id(p)]  # type: ignore[assignment]
    try:
        yield
    finally:
        for m, name, p in places:
            m._parameters[name] = p


WIDE_ATTENTION = "sdpa_trained_in_float32"
"""The name under which transformers finds `wide_attention`."""


def wide_attention(module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **how: Any) -> Any:
    """Torch's attention, in float32 where a gradient is wanted on a CPU.

    There the backward pass of half precision takes seven times as long as that of float32.
    """
    narrow = query.dtype
    if not (torch.is_grad_enabled() and narrow in HALF and query.device.type == "cpu"):
        return sdpa_attention_forward(module, query, key, value, mask, **how)
    out, weights = sdpa_attention_forward(module, query.float(), key.float(), value.float(), mask, **how)
    return out.to(narrow), weights


def attend_in_float32(model: Any) -> None:
    """Have a model of transformers use `wide_attention` in the place of torch's own."""
    AttentionInterface.register(WIDE_ATTENTION, wide_attention)
    AttentionMaskInterface.register(WIDE_ATTENTION, sdpa_mask)
    if model.config._attn_implementation == "sdpa":
        model.set_attn_implementation(WIDE_ATTENTION)


def recomputes(module: nn.Module) -> bool:
    """Whether a module makes activations anew in the backward pass."""
    return any(getattr(m, "gradient_checkpointing", False) for m in module.modules())


def in_pieces(module: nn.Module) -> bool:
    """Whether the parameters of a module are pieces, which are gathered (and rounded) while it runs."""
    return any(hasattr(p, "full_tensor") for p in module.parameters())
