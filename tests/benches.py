"""Benches: a task, a base policy for it, and how well a policy does, small enough for every recipe to be tried on."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import zip_longest
from typing import Any

import torch

from sharpen.actor.base import Actor
from sharpen.actor.nano import Nano, character_tokenizer, upbringing
from sharpen.core import reads
from sharpen.loop import Trainer
from sharpen.maths import sum_by
from sharpen.rollout.edit import demonstration
from sharpen.task.base import Task
from sharpen.task.text import leading
from sharpen.types import Problem, Segment, Trace
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


AGAIN = "?"


@reads("solved")
def terse(trace: Trace, task: Task) -> str:
    """`mistake` in few characters."""
    return "ok" if trace.solved else f"bad {leading(task.check_steps(trace.problem, trace.text.split(chr(10))))}"


class Spell(Task):
    """Say the three digits that were asked for, one a line: answers whose beginning can be given away.

    The teacher says each digit at random six times in ten. Asked again, after a draft of such digits and what `terse`
    says of it, that happens one time in ten.
    """

    name = "spell"
    gives = frozenset({"answer", "solution", "steps"})
    splits = ("train", "test")

    def draw(self, split: str, rng: random.Random) -> Problem:
        a, b = rng.randrange(10), rng.randrange(10)
        over = rng.randrange(1, 10) if split == "train" else 0  # those whose digits sum to tens are held out
        digits = f"{a}{b}{(over - a - b) % 10}"
        return Problem(f"spell:{digits}", f"{digits}?", digits, tuple(digits))

    def fixed(self, split: str, n: int) -> list[Problem]:
        rng = random.Random(split)
        return list({p.key: p for p in (self.draw(split, rng) for _ in range(2 * n))}.values())[:n]

    def verify(self, problem: Problem, trace: Trace) -> dict[str, float]:
        return {"correct": float(trace.text == "\n".join(problem.answer))}

    def check_steps(self, problem: Problem, steps: Sequence[str]) -> list[bool]:
        return [step == right for step, right in zip_longest(steps, problem.answer)][: len(steps)]

    def lesson(self, rng: random.Random) -> tuple[Problem, tuple[str, ...]]:
        def spoken(noise: float) -> tuple[str, ...]:
            return tuple(str(rng.randrange(10)) if rng.random() < noise else d for d in problem.answer)

        problem = self.draw("train", rng)
        if rng.random() < 0.6:
            return problem, spoken(0.6)
        draft = Trace(problem, [Segment(torch.zeros(0), True, text="\n".join(spoken(0.6)))])
        draft.solved = self.solved(self.verify(problem, draft))
        turns = (
            ("user", problem.prompt),
            ("assistant", draft.text),
            ("user", f"{terse(draft, self)} {AGAIN}"),
        )
        return replace(problem, prompt=tuple({"role": r, "content": c} for r, c in turns)), spoken(0.1)


def _spell_base() -> dict[str, torch.Tensor]:
    """Weights of a nano model brought up on it."""
    nano = Nano(width=32, layers=2, heads=2, context=64, steps=200, batch=64, warmup=10)
    model = upbringing(Spell(), nano, character_tokenizer())
    return {n: p.detach() for n, p in model.named_parameters()}


def _spell_actor() -> Actor:
    return nano_actor(width=32, layers=2, max_tokens=8)


def spelt(trainer: Trainer) -> float:
    """The exact probability of the right answer to the bare question, averaged over forty problems held out."""
    actor, task = trainer.ctx.actors["policy"], Spell()
    problems = task.fixed("test", 40)
    traces = [demonstration(p, actor) for p in problems]
    with torch.no_grad():
        batch = actor.collate(traces, torch.arange(len(traces)), ())
        return float(sum_by(actor.score(batch).logp, batch.trace, len(traces)).exp().mean())


SPELL = Bench("spell", Spell, _spell_base, _spell_actor, spelt)
"""Say three digits; the base does so about one time in ten, and about six times in ten after a critique."""
