"""Rows that begin alike: what they share goes through the model once.

A group is many answers to one prompt. In an update every answer comes with its prompt, and with short answers or long
prompts that is most of what is computed. Here each distinct prompt is computed once, and the answers go on from its
keys and values, through which their gradients come back to it, summed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache

WORTH = 0.9
"""Share of the tokens that may be left for it to be worth two passes."""


@dataclass(frozen=True, eq=False)
class Shared:
    """How rows `ids[R, W]` fall into prompts and answers.

    `prompts[U, P]` are the distinct ones, right-padded, and `owner[R]` says whose is whose. `answers[R, A]` is the rest
    of each row, `start[R]` where it begins.
    """

    prompts: Tensor
    owner: Tensor
    answers: Tensor
    start: Tensor


def shared(ids: Tensor, start: Tensor, lengths: Tensor) -> Shared | None:
    """The prompts of rows whose answers begin at `start[R]` (1 or more) and end at `lengths[R]`.

    None where too few tokens would be saved.
    """
    rows, width = ids.shape
    found: dict[tuple[int, ...], int] = {}
    owner = [found.setdefault(tuple(row[:n]), len(found)) for row, n in zip(ids.tolist(), start.tolist(), strict=True)]
    longest, most = int((lengths - start).max()), int(start.max())
    if len(found) * most + rows * longest > WORTH * rows * width:
        return None
    prompts = ids.new_zeros((len(found), most))
    for tokens, i in found.items():
        prompts[i, : len(tokens)] = torch.tensor(tokens, device=ids.device)
    at = (start[:, None] + torch.arange(longest, device=ids.device)).clamp(max=width - 1)
    return Shared(prompts, torch.tensor(owner, device=ids.device), ids.gather(1, at), start)


def hidden_states(decoder: Any, how: Shared, where: Tensor, width: int) -> Tensor:
    """The last hidden states `[N, H]` at `where[N]`, which are places in the flattened rows of `width` tokens.

    Each is the last token of a row's prompt or one behind it. Right padding of prompts is never looked at, for answers
    see of their prompt only what belongs to it.
    """
    device = how.prompts.device
    most, longest = how.prompts.shape[1], how.answers.shape[1]
    first = decoder(input_ids=how.prompts, past_key_values=DynamicCache(), use_cache=True)
    cache = DynamicCache()
    layers: Any = first.past_key_values.layers
    for i, layer in enumerate(layers):
        cache.update(layer.keys.index_select(0, how.owner), layer.values.index_select(0, how.owner), i)
    steps = torch.arange(longest, device=device)
    before = torch.arange(most, device=device) < how.start[:, None]
    seen = torch.cat(
        [before[:, None].expand(-1, longest, -1), (steps <= steps[:, None]).expand(len(before), -1, -1)], dim=2
    )
    second = decoder(
        input_ids=how.answers,
        position_ids=how.start[:, None] + steps,
        attention_mask=seen[:, None],
        past_key_values=cache,
        use_cache=True,
    )
    row, column = where // width, where % width
    behind = column - how.start[row]
    in_prompts = how.owner[row] * most + column
    in_answers = how.prompts.numel() + row * longest + behind
    states = torch.cat([first.last_hidden_state.flatten(0, 1), second.last_hidden_state.flatten(0, 1)])
    return states.index_select(0, torch.where(behind < 0, in_prompts, in_answers))
