"""A key/value cache with a slot for every row alive: index along a slot = position in the row's text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache

STEP = 32
"""Lengths are multiples of this."""

AHEAD = 256
"""Positions set aside for a sample at first; most samples end before they need more."""


class SlotCache(Cache):  # type: ignore[misc]
    """Keys and values as `[slots, length, heads, dim]` per layer, written in place.

    Rows of different lengths stand side by side without padding on the left: row `r` writes its next token at its own
    position, and a mask hides what lies behind. A new row may take the slot of one that ended at any time, and dropping
    rows moves only as many rows as were dropped. Slots are at most `limit` long and grow by half when a row needs it.
    Positions are zeroed as rows come near them: a masked score that is no number would still spoil a sum, and memory
    that no row reaches is best never touched.
    """

    def __init__(self, slots: int, limit: int) -> None:
        super().__init__(layers=[])
        self.slots = slots
        self.limit = limit
        self.length = 0
        self.clean = 0
        self.keys: list[Tensor] = []
        self.values: list[Tensor] = []
        self.place: Tensor = torch.empty(0)
        self.rows = 0
        self.reach = 0

    def fill(self, start: int, owner: Tensor, keys: Sequence[Tensor], values: Sequence[Tensor]) -> None:
        """Write `keys[layer][owner[i], heads, n, dim]` into slot `start + i`, and values alike."""
        width = keys[0].shape[2]
        stop = start + owner.shape[0]
        if not self.keys:
            self.length = min(_rounded(width + AHEAD), self.limit)
            self.keys = [self._empty(k) for k in keys]
            self.values = [self._empty(v) for v in values]
        self.ensure(width, start)
        for ours, theirs in ((self.keys, keys), (self.values, values)):
            for mine, new in zip(ours, theirs, strict=True):
                mine[start:stop, :width] = new.index_select(0, owner).transpose(1, 2)

    def _empty(self, like: Tensor) -> Tensor:
        return like.new_empty(self.slots, self.length, like.shape[1], like.shape[3])

    def ensure(self, length: int, rows: int) -> None:
        """Make the first `length` positions of slots usable, keeping what the first `rows` hold."""
        if length > self.length:
            self.length = min(max(_rounded(length), _rounded(self.length + self.length // 2)), self.limit)
            for store in (self.keys, self.values):
                for i, was in enumerate(store):
                    store[i] = was.new_empty(self.slots, self.length, *was.shape[2:])
                    store[i][:rows, : self.clean] = was[:rows, : self.clean]
                    store[i][rows:, : self.clean] = 0
        if length > self.clean:
            old, self.clean = self.clean, min(_rounded(length), self.length)
            for t in (*self.keys, *self.values):
                t[:, old : self.clean] = 0

    def move(self, source: Tensor, target: Tensor, length: int) -> None:
        """Copy the first `length` positions of slots `source` into slots `target`."""
        for store in (self.keys, self.values):
            for t in store:
                t[target, :length] = t[source, :length]

    def aim(self, position: Tensor, reach: int) -> None:
        """Say where the next forward pass writes: at `position[i]` of slot `i`; no row reads at `reach` or behind."""
        self.rows = position.shape[0]
        self.reach = reach
        self.ensure(reach, self.rows)
        self.place = torch.arange(self.rows, device=position.device) * self.length + position

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Write one token a row, `[rows, heads, 1, dim]`; returns keys and values as `[rows, heads, reach, dim]`."""
        return (
            self._write(self.keys[layer_idx], key_states),
            self._write(self.values[layer_idx], value_states),
        )

    def _write(self, store: Tensor, new: Tensor) -> Tensor:
        store.view(self.slots * self.length, -1).index_copy_(
            0,
            self.place,
            new.reshape(self.rows, -1).to(store.dtype),  # autocast gives keys and values of two types
        )
        return store[: self.rows, : self.reach].transpose(1, 2)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Positions before the token being computed, in the longest row."""
        return max(0, self.reach - 1)

    def get_mask_sizes(self, query_length: int, layer_idx: int) -> tuple[int, int]:
        """Length and offset of the keys that a mask must cover."""
        return self.reach, 0


def _rounded(length: int) -> int:
    return -(-length // STEP) * STEP
