"""The two forward passes of sampling, for causal language models of `transformers` with full or windowed attention."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers.cache_utils import DynamicCache

from sharpen.actor.engine.slots import SlotCache
from sharpen.actor.logprob import wide_linear
from sharpen.actor.precision import HALF, WIDE_ATTENTION
from sharpen.errors import SharpenError

FULL, SLIDING = "full_attention", "sliding_attention"


@dataclass(frozen=True, eq=False)
class Prefilled:
    """What a set of prompts left: `keys[layer][prompts, heads, width, dim]`, values alike, `logits[prompts, V]`."""

    keys: list[Tensor]
    values: list[Tensor]
    logits: Tensor


class CausalModel:
    """A model as sampling uses it: many prompts at once, then one token a row.

    `SharpenError` if the model is not of a kind whose attention the slot cache can serve.
    """

    def __init__(self, model: Any, pad_token: int) -> None:
        self.model = model
        self.pad_token = pad_token
        self.head = _output_head(model)
        config = model.config.get_text_config(decoder=True)
        self.kinds = attention_kinds(model, config)
        self.window = int(config.sliding_window) if SLIDING in self.kinds else 0

    @property
    def device(self) -> torch.device:
        """Where tokens go in."""
        device: torch.device = self.model.get_input_embeddings().weight.device
        return device

    def prefill(self, prompts: Sequence[Sequence[int]]) -> Prefilled:
        """One forward pass over prompts padded on the right; logits are computed for the last token of each alone."""
        width = max(len(p) for p in prompts)
        padded = torch.tensor([[*p, *[self.pad_token] * (width - len(p))] for p in prompts], device=self.device)
        last = torch.tensor([len(p) - 1 for p in prompts], device=self.device)
        rows = torch.arange(len(prompts), device=self.device)
        cache = DynamicCache()

        def only_last(_module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            return (args[0][rows, last].unsqueeze(1), *args[1:])

        hook = self.head.register_forward_pre_hook(only_last)
        try:
            # causal attention never looks right, so padding there needs no mask
            out = self.model(
                input_ids=padded,
                position_ids=torch.arange(width, device=self.device).expand(len(prompts), width),
                past_key_values=cache,
                use_cache=True,
                return_dict=True,
            )
        finally:
            hook.remove()
        if out.logits.shape[1] != 1:
            raise SharpenError(
                f"The local engine cannot sample from {type(self.model).__name__}: it computes logits without "
                "calling its output embedding. Use another model, or an engine that serves this one."
            )
        stored: Any = cache.layers
        return Prefilled([layer.keys for layer in stored], [layer.values for layer in stored], out.logits[:, 0])

    def step(self, tokens: Tensor, position: Tensor, reach: int, cache: SlotCache) -> Tensor:
        """Logits `[n, V]` after one more token a row: `tokens[n]` at `position[n]`, all below `reach`."""
        cache.aim(position, reach)
        out = self.model(
            input_ids=tokens.unsqueeze(1),
            position_ids=position.unsqueeze(1),
            attention_mask=self._mask(position, reach),
            past_key_values=cache,
            use_cache=True,
            return_dict=True,
        )
        logits: Tensor = out.logits[:, 0]
        return logits

    def _mask(self, position: Tensor, reach: int) -> Tensor | dict[str, Tensor]:
        """What is added to attention scores, `[n, 1, 1, reach]`, one for each kind of attention if there are two."""
        dtype = self.model.get_input_embeddings().weight.dtype
        at = torch.arange(reach, device=position.device)
        position = position.unsqueeze(1)
        hidden = {FULL: at > position}
        if self.window:
            hidden[SLIDING] = hidden[FULL] | (at <= position - self.window)
        masks = {
            kind: torch.zeros(hidden[kind].shape, dtype=dtype, device=position.device).masked_fill_(
                hidden[kind], torch.finfo(dtype).min
            )[:, None, None]
            for kind in self.kinds
        }
        return masks if len(masks) > 1 else next(iter(masks.values()))

    @contextmanager
    def sampling(self) -> Iterator[None]:
        """No dropout, no gradient, float32 logits of half-precision models; modules find their earlier mode after.

        A half-precision head would round logits of size 20 to steps of 1/8, and the trainer, which sums in float32,
        would disagree with every log-prob.
        """
        head: Any = self.head
        training = [m for m in self.model.modules() if m.training]
        half = type(head) is nn.Linear and head.weight.dtype in HALF
        # a head whose forward someone replaced already (offloading does) is left alone
        widen = half and "forward" not in head.__dict__
        self.model.eval()
        if widen:
            head.forward = lambda hidden: wide_linear(hidden, head.weight, head.bias)
        try:
            with torch.inference_mode():
                yield
        finally:
            if widen:
                del head.forward
            for module in training:
                module.training = True


def _output_head(model: Any) -> nn.Module:
    head = model.get_output_embeddings()
    if not isinstance(head, nn.Module):
        raise SharpenError(
            f"The local engine cannot sample from {type(model).__name__}: it has no output embedding. Load the "
            "model with AutoModelForCausalLM."
        )
    return head


def attention_kinds(model: Any, config: Any) -> tuple[str, ...]:
    """Which masks the model takes; refuses what a mask over a full cache cannot express."""
    name = type(model).__name__
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    takes = inspect.signature(base.forward).parameters
    if getattr(config, "is_encoder_decoder", False) or "position_ids" not in takes:
        raise SharpenError(
            f"The local engine cannot sample from {name}: it needs a decoder-only model that takes position_ids. Use "
            "such a model (Qwen, Llama, Mistral, Gemma, ...), or an engine that serves this one."
        )
    attention = config._attn_implementation
    if attention not in ("sdpa", "eager", WIDE_ATTENTION):
        raise SharpenError(
            f"The local engine needs attention that takes a mask, and {name} was loaded with "
            f"attn_implementation={attention!r}. Load it with attn_implementation='sdpa'."
        )
    layers = getattr(config, "layer_types", None)
    if layers is None:
        one = FULL
        if getattr(config, "sliding_window", None) is not None:
            one = SLIDING
        elif getattr(config, "attention_chunk_size", None) is not None:
            one = "chunked_attention"
        layers = [one]
    other = sorted(set(layers) - {FULL, SLIDING})
    if other or getattr(config, "kv_sharing_modes", None) or getattr(config, "num_kv_shared_layers", 0):
        what = f"layers of type {', '.join(other)}" if other else "layers that share keys and values"
        raise SharpenError(
            f"The local engine cannot sample from {name}: it has {what}, and the engine serves full and sliding-window "
            "attention with a cache of its own in every layer. Use another model, or an engine that serves this one."
        )
    return tuple(sorted(set(layers)))
