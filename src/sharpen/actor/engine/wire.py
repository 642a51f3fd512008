"""Prompts and draws as JSON, for an engine that lives in another process."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

from sharpen.actor.engine.base import Draw, Prompt
from sharpen.types import Sampling


def prompt_to_json(prompt: Prompt) -> dict[str, Any]:
    """Plain data."""
    return {
        "tokens": list(prompt.tokens),
        "sampling": dataclasses.asdict(prompt.sampling) | {"stop": list(prompt.sampling.stop)},
        "seed": prompt.seed,
    }


def prompt_from_json(plain: dict[str, Any]) -> Prompt:
    """The prompt again; TypeError, KeyError or ValueError for what is none."""
    sampling = dict(plain["sampling"])
    made = Sampling(**sampling | {"stop": tuple(map(str, sampling.get("stop", ())))})
    return Prompt(tuple(int(t) for t in plain["tokens"]), made, int(plain["seed"]))


def draw_to_json(draw: Draw) -> dict[str, Any]:
    """Plain data; a float32 survives it to the bit, and a column the engine does not know is null."""
    columns = {n: None if bool(x.isnan().all()) else x.tolist() for n, x in _columns(draw).items()}
    return {"tokens": draw.tokens.tolist(), "end": draw.end, **columns}


def draw_from_json(plain: dict[str, Any]) -> Draw:
    """The draw again."""
    tokens = torch.tensor(plain["tokens"], dtype=torch.int64)

    def column(name: str) -> Tensor:
        unknown = plain[name] is None
        return torch.full((len(tokens),), torch.nan) if unknown else torch.tensor(plain[name], dtype=torch.float32)

    return Draw(tokens, column("logp"), column("logp_full"), column("entropy"), plain["end"])


def _columns(draw: Draw) -> dict[str, Tensor]:
    return {"logp": draw.logp, "logp_full": draw.logp_full, "entropy": draw.entropy}
