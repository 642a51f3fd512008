"""Log-probs and entropies of target tokens from hidden states, without keeping the logits of every token.

The logits of `N` tokens over `V` alternatives are by far the largest tensor of an update. Here they exist only for
`chunk` rows at a time, in the forward pass and again in the backward pass; between the two only `lse[N]` (and the
entropy) is kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

ELEMENTS = 2**24
"""Logits held at once unless `chunk` says otherwise: 64 MiB in float32."""


def token_logprob(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    temperature: Tensor | None = None,
    *,
    entropy: bool = False,
    chunk: int | None = None,
    softcap: float | None = None,
    scale: float = 1.0,
) -> tuple[Tensor, Tensor | None]:
    """`log softmax(z_i)[targets_i]` and, if asked for, `-sum_v p_iv log p_iv` with `p_i = softmax(z_i)`.

    `z_i = cap(scale * (weight @ hidden_i + bias)) / temperature_i`, where `cap(x) = softcap * tanh(x / softcap)` if a
    softcap is given and `cap(x) = x` otherwise.

    `hidden[N, H]`, `weight[V, H]`, `bias[V]`, `targets int64[N]` in `[0, V)`, `temperature float[N]`, all above 0 (None
    means 1). `chunk` is the number of rows whose logits exist at once, by default as many as make `ELEMENTS` of them.
    Returns `(logp[N], entropy[N] or None)` in float32, in float64 if `hidden` or `weight` is. Sums run in that type
    whatever the type of `hidden`. Gradients reach `hidden`, `weight` and `bias` from both results, once: there is no
    second derivative.
    """
    rows = max(1, ELEMENTS // weight.shape[0]) if chunk is None else chunk
    if rows < 1:
        raise ValueError(f"chunk is a number of rows, at least 1; it was {chunk}")
    logp, bits = _TokenLogprob.apply(  # type: ignore[no-untyped-call]
        hidden, weight, bias, targets, temperature, entropy, rows, softcap, scale
    )
    return logp, bits


def wide(hidden: Tensor, weight: Tensor) -> torch.dtype:
    """The type sums run in: float32, or float64 if one of the two has it."""
    return torch.promote_types(torch.promote_types(hidden.dtype, weight.dtype), torch.float32)


def native(*tensors: Tensor) -> bool:
    """Whether products of these run in half precision with float32 sums and results (CUDA offers it, the CPU not)."""
    first = tensors[0].dtype
    return first in (torch.bfloat16, torch.float16) and all(t.is_cuda and t.dtype == first for t in tensors)


def product(a: Tensor, b: Tensor, dtype: torch.dtype) -> Tensor:
    """`a @ b` in `dtype`, summed in `dtype`, without rounding the result to the type of the factors."""
    if native(a, b):
        return torch.mm(a, b, out_dtype=torch.float32)
    return a.to(dtype) @ b.to(dtype)


def wide_linear(hidden: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`hidden[..., H] @ weight[V, H].T + bias` in float32 (float64 if a factor has it), never rounded to bfloat16."""
    dtype = wide(hidden, weight)
    with torch.autocast(hidden.device.type, enabled=False):
        out = product(hidden.reshape(-1, hidden.shape[-1]), weight.t(), dtype)
        if bias is not None:
            out = out + bias
    return out.view(*hidden.shape[:-1], -1)


class _Head:
    """The map from hidden states to tempered log-probs, a chunk of rows at a time."""

    def __init__(
        self,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        temperature: Tensor | None,
        rows: int,
        softcap: float | None,
        scale: float,
    ) -> None:
        self.dtype = wide(hidden, weight)
        # gradients of logits in float16 would vanish; they keep float32, and so must what they are multiplied with
        self.fast = native(hidden, weight) and weight.dtype == torch.bfloat16
        # one wide copy for all chunks; chunks of a matrix would be copied over and over
        self.weight = weight if self.fast else weight.to(self.dtype)
        self.hidden, self.bias, self.softcap, self.scale = hidden, bias, softcap, scale
        self.temperature = None if temperature is None else temperature.to(self.dtype).unsqueeze(1)
        self.rows = rows

    def chunks(self) -> Iterator[slice]:
        """Rows of each chunk."""
        for start in range(0, self.hidden.shape[0], self.rows):
            yield slice(start, start + self.rows)

    def logits(self, part: slice) -> Tensor:
        """`z[chunk, V]`."""
        z = product(self.hidden[part], self.weight.t(), self.dtype)
        if self.bias is not None:
            z.add_(self.bias)
        if self.scale != 1.0:
            z.mul_(self.scale)
        if self.softcap is not None:
            z.div_(self.softcap).tanh_().mul_(self.softcap)
        if self.temperature is not None:
            z.div_(self.temperature[part])
        return z

    def through(self, grad: Tensor, z: Tensor | None, part: slice) -> Tensor:
        """Turn the gradient of `z` into that of `weight @ hidden + bias`, in place."""
        if self.temperature is not None:
            grad.div_(self.temperature[part])
        if self.softcap is not None and z is not None:
            if self.temperature is not None:
                z.mul_(self.temperature[part])
            # d cap(x) / dx = 1 - tanh(x / softcap)^2
            grad.mul_(z.div_(self.softcap).square_().neg_().add_(1.0))
        if self.scale != 1.0:
            grad.mul_(self.scale)
        return grad.to(torch.bfloat16) if self.fast else grad


class _TokenLogprob(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        temperature: Tensor | None,
        entropy: bool,
        rows: int,
        softcap: float | None,
        scale: float,
    ) -> tuple[Tensor, Tensor | None]:
        head = _Head(hidden, weight, bias, temperature, rows, softcap, scale)
        count = hidden.shape[0]
        lse = hidden.new_empty(count, dtype=head.dtype)
        logp = torch.empty_like(lse)
        bits = torch.empty_like(lse) if entropy else None
        with torch.autocast(hidden.device.type, enabled=False):
            for part in head.chunks():
                z = head.logits(part)
                total = torch.logsumexp(z, 1, keepdim=True)
                lse[part] = total.squeeze(1)
                z.sub_(total)
                logp[part] = z.gather(1, targets[part].unsqueeze(1)).squeeze(1)
                if bits is not None:
                    bits[part] = z.exp().mul_(z).sum(1).neg_()
        ctx.save_for_backward(hidden, weight, bias, targets, temperature, lse, bits)
        ctx.how = (rows, softcap, scale)
        ctx.set_materialize_grads(False)
        return logp, bits

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_logp: Tensor | None, grad_bits: Tensor | None = None) -> tuple[Tensor | None, ...]:
        hidden, weight, bias, targets, temperature, lse, bits = ctx.saved_tensors
        to_hidden, to_weight, to_bias = ctx.needs_input_grad[:3]
        nothing: tuple[None, ...] = (None,) * 6
        if grad_logp is None and grad_bits is None:
            return None, None, None, *nothing
        rows, softcap, scale = ctx.how
        head = _Head(hidden, weight, bias, temperature, rows, softcap, scale)
        d_hidden = torch.empty_like(hidden) if to_hidden else None
        d_weight = torch.zeros_like(weight, dtype=head.dtype) if to_weight else None
        d_bias = torch.zeros_like(bias, dtype=head.dtype) if to_bias else None
        with torch.autocast(hidden.device.type, enabled=False):
            for part in head.chunks():
                z = head.logits(part)
                log = z.sub(lse[part].unsqueeze(1)) if softcap is not None else z.sub_(lse[part].unsqueeze(1))
                grad = log.exp()
                if grad_bits is None and grad_logp is not None:
                    grad.mul_(grad_logp[part].neg().unsqueeze(1))
                elif grad_bits is not None:
                    # d H / dz_v = -p_v (log p_v + H);  d logp_t / dz_v = [v = t] - p_v
                    log.add_(bits[part].unsqueeze(1)).mul_(grad_bits[part].unsqueeze(1))
                    if grad_logp is not None:
                        log.add_(grad_logp[part].unsqueeze(1))
                    grad.mul_(log.neg_())
                if grad_logp is not None:
                    grad.scatter_add_(1, targets[part].unsqueeze(1), grad_logp[part].to(head.dtype).unsqueeze(1))
                grad = head.through(grad, z if softcap is not None else None, part)
                if d_hidden is not None:
                    d_hidden[part] = product(grad, head.weight, head.dtype).to(hidden.dtype)
                if d_weight is not None:
                    d_weight += product(grad.t(), hidden[part], head.dtype)
                if d_bias is not None:
                    d_bias += grad.sum(0, dtype=head.dtype)
        return (
            d_hidden,
            None if d_weight is None else d_weight.to(weight.dtype),
            None if d_bias is None else d_bias.to(bias.dtype),
            *nothing,
        )
