"""LoRA adapters (2106.09685) as `peft` puts them around a model: what the whole model's weights are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

INNER = ".base_layer"
"""What `peft` calls a layer inside its adapter."""


@torch.no_grad()
def merged(model: Any, adapter: bool = True) -> Iterator[tuple[str, Tensor]]:
    """The parameters of a model by their names without adapters, each once, one at a time: W + (alpha / r) B A where
    one stands around W and is wanted, summed in float32. What no adapter changes is the parameter itself.
    """
    if not hasattr(model, "get_base_model"):
        yield from ((n, p.detach()) for n, p in model.named_parameters())
        return
    plain: nn.Module = model.get_base_model()
    around: dict[str, Any] = {n: m for n, m in plain.named_modules() if hasattr(m, "lora_A")}
    for name, p in plain.named_parameters():
        if ".lora_" in name:
            continue
        owner, _, own = name.rpartition(INNER + ".")
        changed = adapter and owner in around and own == "weight"
        delta = around[owner].get_delta_weight("default").float() if changed else None
        yield name.replace(INNER, ""), p.detach() if delta is None else p.detach().float() + delta


def narrow(model: nn.Module, dtype: torch.dtype) -> None:
    """Keep what is not trained in the type it is computed with.

    Parameters are rounded to that type before every pass (`sharpen.actor.precision`); those that never change may as
    well be rounded once, which halves what they take.
    """
    for p in model.parameters():
        if not p.requires_grad and p.is_floating_point():
            p.data = p.data.to(dtype)
