"""A bench for methods of many turns: a corridor whose cells are met again and again."""

from __future__ import annotations

import random
from collections.abc import Hashable

import torch

from benches import Bench
from sharpen.actor.nano import Nano, character_tokenizer, upbringing
from sharpen.evaluate import evaluate
from sharpen.loop import Trainer
from sharpen.task.base import Environment, RewardSpec, Task
from sharpen.types import Problem, Trace
from toy import nano_actor

CELLS, TURNS = 5, 4


class Walk(Environment):
    """Start in the middle, say `l` or `r`, reach the end that the sign `<` or `>` points to: there a turn earns 1."""

    def __init__(self, sign: str) -> None:
        self.sign = sign
        self.reset()

    def reset(self) -> str:
        self.at, self.left = CELLS // 2, TURNS
        return self.seen

    @property
    def seen(self) -> str:
        return f"{self.at}{self.sign}"

    def step(self, text: str) -> tuple[str, float, bool]:
        self.left -= 1
        self.at = min(CELLS - 1, max(0, self.at + {"l": -1, "r": 1}.get(text, 0)))
        there = self.at == (0 if self.sign == "<" else CELLS - 1)
        return self.seen, float(there), there or not self.left

    @property
    def state(self) -> Hashable:
        return self.at, self.sign, self.left

    def copy(self) -> Walk:
        other = Walk(self.sign)
        other.at, other.left = self.at, self.left
        return other


class Corridor(Task):
    """Two problems: the left end and the right one."""

    name = "corridor"
    gives = frozenset({"environment"})
    rewards = (RewardSpec("correct"),)
    max_tokens = 3

    def draw(self, split: str, rng: random.Random) -> Problem:
        return rng.choice(self.fixed(split, 2))

    def fixed(self, split: str, n: int) -> list[Problem]:
        return [Problem(f"corridor:{sign}", f"{CELLS // 2}{sign}") for sign in "<>"][:n]

    def verify(self, problem: Problem, trace: Trace) -> dict[str, float]:
        return {"correct": float(any(s.reward > 0 for s in trace.actions))}

    def environment(self, problem: Problem) -> Walk:
        return Walk(problem.key[-1])

    def lesson(self, rng: random.Random) -> tuple[Problem, tuple[str, ...]]:
        """A walk of somebody who often goes the wrong way."""
        problem = self.draw("train", rng)
        world = self.environment(problem)
        said = [{"role": "user", "content": problem.prompt}]
        for _ in range(rng.randrange(TURNS)):
            word = self.word(world, rng)
            seen, _, done = world.step(word)
            if done:
                return Problem(problem.key, said), (word,)
            said += [{"role": "assistant", "content": word}, {"role": "user", "content": seen}]
        return Problem(problem.key, said), (self.word(world, rng),)

    def word(self, world: Walk, rng: random.Random) -> str:
        onward, back = ("l", "r") if world.sign == "<" else ("r", "l")
        return onward if rng.random() < 0.6 else back


def _base() -> dict[str, torch.Tensor]:
    """Weights of a nano model that reaches the end about every other time."""
    nano = Nano(width=32, layers=2, heads=2, context=64, steps=120, batch=64, warmup=10)
    return {n: p.detach() for n, p in upbringing(Corridor(), nano, character_tokenizer()).named_parameters()}


def _arrived(trainer: Trainer) -> float:
    """The share of 400 episodes that reach the end."""
    found, _ = evaluate(trainer.ctx.actors["policy"], Corridor(), "test", problems=2, samples=200)
    return found.accuracy.mean


CORRIDOR = Bench("corridor", Corridor, _base, lambda: nano_actor(width=32, layers=2, max_tokens=3), _arrived)
"""Reach the end that is pointed to; the base does about every other time."""
