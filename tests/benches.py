"""Benches: a task, a base policy for it, and how well a policy does, small enough for every recipe to be tried on."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

from sharpen.actor.base import Actor
from sharpen.actor.nano import Nano, character_tokenizer, upbringing
from sharpen.evaluate import evaluate
from sharpen.judging import judge_report
from sharpen.loop import Trainer
from sharpen.task.base import Task
from sharpen.task.taste import Taste
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


def _taste() -> Taste:
    """Wishes for two to four of ten letters, and preferences without noise."""
    return Taste(2, 4, 5, 6, alphabet=10, judged=240, noise=0.0, keen=1e3, stray=0.15, sloppy=0.25)


def _taste_base() -> dict[str, torch.Tensor]:
    """Weights of a nano model brought up on the careless teacher's replies."""
    nano = Nano(width=32, layers=2, heads=2, context=64, steps=200, batch=64, warmup=10)
    model = upbringing(_taste(), nano, character_tokenizer())
    return {n: p.detach() for n, p in model.named_parameters()}


def _taste_actor() -> Actor:
    return nano_actor(width=32, layers=2, max_tokens=8)


def liked(trainer: Trainer) -> float:
    """The mean gold of 8 replies to each problem that is held out."""
    task = _taste()
    _, traces = evaluate(trainer.ctx.actors["policy"], task, "test", problems=30, samples=8, ks=(1,))
    replies = [t for some in traces for t in some[1:]]
    return sum(t.rewards["gold"] for t in replies) / len(replies)


COPY = Bench("copy", Copy, _copy_base, _copy_actor, copied)
"""Say the digit that was asked for; the base is right 46 times in a hundred."""

TASTE = Bench("taste", _taste, _taste_base, _taste_actor, liked)
"""Write a text somebody would like, with a learning set of preferences."""


def ranked(trainer: Trainer) -> float:
    """How often a reward model scores the chosen one of two held-out replies higher."""
    report = judge_report(trainer.ctx.actors["rm"], trainer.policy, _taste(), problems=2, samples=2)
    return float(report["pairs"]["accuracy"][1])


def preferred(trainer: Trainer) -> float:
    """How often the chosen one of two held-out replies has become likelier, against the reference, than the other."""
    report = judge_report(trainer.policy, trainer.ctx.actors["ref"], _taste(), kind="implicit", problems=2, samples=2)
    return float(report["pairs"]["accuracy"][1])


def followed(trainer: Trainer) -> float:
    """What reward models say of the last iteration's replies: gold falls in the end when they are followed too far."""
    return trainer.ctx.last["reward/rm"]
