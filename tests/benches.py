"""Benches: a task, a base policy for it, and how well a policy does, small enough for every recipe to be tried on."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

from sharpen.actor.base import Actor
from sharpen.actor.nano import Nano, character_tokenizer, upbringing
from sharpen.loop import Trainer
from sharpen.task.base import Task
from sharpen.types import Problem, Trace
from toy import Copy, nano_actor


@dataclass(frozen=True)
class Bench:
    """`base` makes the weights once (it is called once a process), `actor` an actor with any weights to put them in."""

    name: str
    task: Callable[[], Task]
    base: Callable[[], dict[str, torch.Tensor]]
    actor: Callable[[], Any]
    measure: Callable[[Trainer], float]

    def trainer(self, method: Any, seed: int = 0) -> Trainer:
        """A run of a method from the base."""
        actor = self.actor()
        actor.load_weights(_once(self))
        return Trainer(method, self.task(), actor, seed=seed)


@cache
def _once(bench: Bench) -> dict[str, torch.Tensor]:
    return bench.base()


class Noisy(Copy):
    """Copy, taught by somebody who says a random digit six times in ten."""

    def lesson(self, rng: random.Random):
        problem = self.draw("train", rng)
        return problem, (str(rng.randrange(10)) if rng.random() < 0.6 else str(problem.answer),)


def _copy_base() -> dict[str, torch.Tensor]:
    """Weights of a nano model brought up on the noisy task: right 46 times in a hundred."""
    nano = Nano(width=32, layers=2, heads=2, context=64, steps=150, batch=64, warmup=10)
    model = upbringing(Noisy(), nano, character_tokenizer())
    return {n: p.detach() for n, p in model.named_parameters()}


def _copy_actor() -> Actor:
    return nano_actor(width=32, layers=2, max_tokens=3)


def copied(trainer: Trainer) -> float:
    """The exact probability of the right digit followed by the end, averaged over the ten problems."""
    actor, task, total = trainer.ctx.actors["policy"], Copy(), 0.0
    for p in task.fixed("test", 10):
        context, said = actor.prompt(p)[0].atoms, actor.given(p.answer).atoms
        with torch.no_grad():
            logs = actor.module(input_ids=torch.cat([context, said])[None]).logits[0, :-1].log_softmax(-1)
        total += float(logs[-2:].gather(-1, said[:, None]).sum().exp())
    return total / 10


COPY = Bench("copy", Copy, _copy_base, _copy_actor, copied)
"""Say the digit that was asked for; the base is right 46 times in a hundred."""


class Count(Task):
    """Count on by three, a number a line: `3?` is answered by `4`, `5`, `#6` (after 9 comes 0).

    Only this is right. The teacher loses the thread in one of four lines before the last: it writes `x` there, and
    does not count on.
    """

    name = "count"
    gives = frozenset({"answer", "solution", "steps"})

    def _problem(self, d: int) -> Problem:
        lines = (f"{(d + 1) % 10}", f"{(d + 2) % 10}", f"#{(d + 3) % 10}")
        return Problem(f"count:{d}", f"{d}?", lines[-1][1:], lines, {"start": d})

    def draw(self, split: str, rng: random.Random) -> Problem:
        return self._problem(rng.randrange(10))

    def fixed(self, split: str, n: int) -> list[Problem]:
        return [self._problem(d) for d in range(min(n, 10))]

    def verify(self, problem: Problem, trace: Trace) -> dict[str, float]:
        return {"correct": float(trace.text == "\n".join(problem.solution or ()))}

    def check_steps(self, problem: Problem, steps: Sequence[str]) -> list[bool]:
        value, judged = problem.info["start"], []
        for step in steps:
            said = step.removesuffix("\n").removeprefix("#")
            judged.append(said == str((value + 1) % 10))
            value = int(said) if len(said) == 1 and said.isdigit() else value
        return judged

    def lesson(self, rng: random.Random):
        problem = self.draw("train", rng)
        value, lines = problem.info["start"], []
        for mark in ("", "", "#"):
            lost = not mark and rng.random() < 0.25
            value = value if lost else (value + 1) % 10
            lines.append("x" if lost else f"{mark}{value}")
        return problem, tuple(lines)


def _count_base() -> dict[str, torch.Tensor]:
    """Weights of a nano model brought up on the careless counting: right about half of the time."""
    nano = Nano(width=32, layers=2, heads=2, context=64, steps=120, batch=48, lr=5e-3, warmup=10)
    return {n: p.detach() for n, p in upbringing(Count(), nano, character_tokenizer()).named_parameters()}


def _count_actor() -> Actor:
    return nano_actor(width=32, layers=2, max_tokens=12)


def counted(trainer: Trainer) -> float:
    """The exact probability of the worked solution, averaged over the ten problems."""
    actor = trainer.ctx.actors["policy"]
    traces = [Trace(p, [*actor.prompt(p), actor.given("\n".join(p.solution or ()))]) for p in Count().fixed("test", 10)]
    with torch.no_grad():
        batch = actor.collate(traces, torch.arange(len(traces)), ())
        logp = actor.score(batch).logp
    return float(torch.zeros(len(traces)).index_add(0, batch.trace, logp).exp().mean())


COUNT = Bench("count", Count, _count_base, _count_actor, counted)
"""Count on by three, a step a line; the base is right about half of the time."""
