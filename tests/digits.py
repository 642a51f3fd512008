"""A bench for methods that judge steps: say two digits, a line each, and say of such lines whether they are right."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch

from benches import Bench
from sharpen.actor.base import Actor, Request
from sharpen.actor.nano import Nano, character_tokenizer, upbringing
from sharpen.evaluate import evaluate
from sharpen.loop import Trainer
from sharpen.rollout.verdicts import signs
from sharpen.task.base import RewardSpec, Task
from sharpen.types import Problem, Sampling, Trace
from toy import nano_actor

ASK = "?"
"""What stands for the question about a solution; a nano model need not be told in words."""

LOW = "01234"
"""The digits that are right."""


class Digits(Task):
    """Two lines, each a digit below five; each line is a step. The ten problems have letters for names."""

    name = "digits"
    gives = frozenset({"steps"})
    rewards = (RewardSpec("correct"),)
    max_tokens = 5

    def draw(self, split: str, rng: random.Random) -> Problem:
        return rng.choice(self.fixed(split, 10))

    def fixed(self, split: str, n: int) -> list[Problem]:
        return [Problem(f"digits:{c}", c) for c in "abcdefghij"[:n]]

    def verify(self, problem: Problem, trace: Trace) -> dict[str, float]:
        lines = trace.text.split("\n")
        return {"correct": float(len(lines) == 2 and all(self.check_steps(problem, lines)))}

    def check_steps(self, problem: Problem, steps: Sequence[str]) -> list[bool]:
        return [s.strip("\n") in tuple(LOW) for s in steps]

    def lesson(self, rng: random.Random) -> tuple[Problem, tuple[str, ...]]:
        """Two digits that are often too high, or a careless verdict on such a solution."""
        problem = self.draw("train", rng)
        lines = [rng.choice(LOW if rng.random() < 0.6 else "56789") for _ in range(2)]
        if rng.random() < 0.4:
            return problem, tuple(lines)
        said = [ok == (rng.random() < 0.8) for ok in self.check_steps(problem, lines)]
        said.append(all(said) == (rng.random() < 0.8))
        return Problem(problem.key, "\n".join([problem.prompt, *lines, ASK])), ("".join("-+"[s] for s in said),)


def _base() -> dict[str, torch.Tensor]:
    """Weights of a nano model that solves and judges, neither of them well."""
    nano = Nano(width=32, layers=2, heads=2, context=64, steps=150, batch=64, warmup=10)
    return {n: p.detach() for n, p in upbringing(Digits(), nano, character_tokenizer()).named_parameters()}


def solves(trainer: Trainer) -> float:
    """The share of right answers, thirty to each problem."""
    found, _ = evaluate(trainer.ctx.actors["policy"], Digits(), "test", problems=10, samples=30)
    return found.accuracy.mean


def judges(actor: Actor, n: int = 400) -> tuple[float, float]:
    """How often the last sign, and how often the sign of a step, is right, on as many right as wrong solutions."""
    rng, task, last, steps = random.Random(0), Digits(), 0, 0
    asked = []
    for i in range(n):
        lines = [rng.choice(LOW) for _ in range(2)]
        if i % 2:
            lines[rng.randrange(2)] = rng.choice("56789")
        problem = task.draw("test", rng)
        text = "\n".join([problem.prompt, *lines, ASK])
        asked.append((task.check_steps(problem, lines), Problem(text, text)))
    said = actor.sample(
        [Request(tuple(actor.prompt(p)), Sampling(max_tokens=5), i, "x") for i, (_, p) in enumerate(asked)]
    )
    for (truth, _), s in zip(asked, said, strict=True):
        verdict = signs(s.text, 2)
        last += verdict is not None and (verdict[-1] > 0) == all(truth)
        steps += sum((v > 0) == t for v, t in zip(verdict or (), truth, strict=False))
    return last / n, steps / (2 * n)


DIGITS = Bench("digits", Digits, _base, lambda: nano_actor(width=32, layers=2, max_tokens=5), solves)
"""Solve and judge; the base solves two problems in five, and judges better than by chance."""
