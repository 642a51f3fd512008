"""Small things that tests share: a task without machinery and a policy whose every number can be checked."""

from __future__ import annotations

import random

import torch

from sharpen.task.base import RewardSpec, Task
from sharpen.types import Problem, Trace


class Copy(Task):
    """Say the digit that was asked for: the smallest task a policy can learn."""

    name = "copy"
    gives = frozenset({"answer", "solution"})
    rewards = (RewardSpec("correct"), RewardSpec("short", about="1 for a single character"))

    def draw(self, split: str, rng: random.Random) -> Problem:
        d = rng.randrange(10)
        return Problem(f"copy:{d}", f"{d}?", str(d), (str(d),), {"digit": d})

    def fixed(self, split: str, n: int) -> list[Problem]:
        return [Problem(f"copy:{d}", f"{d}?", str(d), (str(d),), {"digit": d}) for d in range(min(n, 10))]

    def verify(self, problem: Problem, trace: Trace) -> dict[str, float]:
        return {"correct": float(trace.text == problem.answer), "short": float(len(trace.text) == 1)}


def nano_actor(seed: int = 0, width: int = 16, layers: int = 1, max_tokens: int = 4, **setup):
    """An untrained nano model as an actor, in double precision arithmetic where asked for."""
    from sharpen.actor.load import ModelSetup, wrap
    from sharpen.actor.nano import Nano, character_tokenizer, nano_model

    model = nano_model(Nano(width=width, layers=layers, heads=2, context=64, seed=seed))
    actor = wrap(model, character_tokenizer(), ModelSetup(**{"device": "cpu", "max_tokens": max_tokens, **setup}))
    return actor


def weights_equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    """Whether two sets of weights are the same to the bit."""
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
