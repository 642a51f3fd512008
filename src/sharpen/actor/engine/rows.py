"""What is known of samples, a row each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sharpen.maths.uniform import wrapped

if TYPE_CHECKING:
    from sharpen.actor.engine.base import Prompt


@dataclass(frozen=True, eq=False)
class Rows:
    """Columns of equal length: `int64[n]`, but `temperature` and `top_p` `float32[n]`.

    `request` says which prompt of the call a row belongs to, `prompt` how many tokens that has, `drawn` how many the
    sample has, `token` the last of them and `limit` how many it may have.
    """

    request: Tensor
    seed: Tensor
    prompt: Tensor
    limit: Tensor
    top_k: Tensor
    temperature: Tensor
    top_p: Tensor
    drawn: Tensor
    token: Tensor

    @classmethod
    def of(cls, prompts: Sequence[Prompt], limits: Sequence[int], device: torch.device) -> Rows:
        """A row for each prompt, before its first token."""
        sampling = [p.sampling for p in prompts]
        n = len(prompts)
        return cls(
            request=torch.arange(n, device=device),
            seed=torch.tensor([wrapped(p.seed) for p in prompts], device=device),
            prompt=torch.tensor([len(p.tokens) for p in prompts], device=device),
            limit=torch.tensor(limits, device=device),
            top_k=torch.tensor([s.top_k for s in sampling], device=device),
            temperature=torch.tensor([s.temperature for s in sampling], dtype=torch.float32, device=device),
            top_p=torch.tensor([s.top_p for s in sampling], dtype=torch.float32, device=device),
            drawn=torch.zeros(n, dtype=torch.long, device=device),
            token=torch.zeros(n, dtype=torch.long, device=device),
        )

    def take(self, index: Tensor) -> Rows:
        """The rows `index`, in that order."""
        return Rows(*(getattr(self, f.name)[index] for f in fields(self)))

    def join(self, other: Rows) -> Rows:
        """These rows, then the others."""
        return Rows(*(torch.cat((getattr(self, f.name), getattr(other, f.name))) for f in fields(self)))

    def behind(self, start: int) -> Rows:
        """Views of the rows from `start` on."""
        return Rows(*(getattr(self, f.name)[start:] for f in fields(self)))
