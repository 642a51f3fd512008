"""The arithmetic of a run before it starts: problems to traces to minibatches to optimiser steps, in tokens and
memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sharpen.actor.base import Actor
from sharpen.core import walk
from sharpen.loop import Trainer
from sharpen.recipe import Recipe, update_names, updates_of
from sharpen.rollout.balance import Balance
from sharpen.rollout.combinators import Refill
from sharpen.rollout.edit import Demonstrate
from sharpen.rollout.sample import Sample
from sharpen.rollout.select import SampleUntil, Thin
from sharpen.rows import Pairs
from sharpen.source.offline import Offline


@dataclass(frozen=True)
class Plan:
    """Bounds of one iteration and of the run."""

    recipe: str
    problems: int
    traces: int
    answer_tokens: int
    generated: int
    updates: tuple[dict[str, Any], ...]
    iterations: int
    parameters: int
    trained: int
    memory: int

    def lines(self) -> list[str]:
        """The plan in words."""
        out = [
            f"an iteration: {self.problems} problems -> at most {self.traces} traces of at most {self.answer_tokens} "
            "tokens "
            f"= at most {self.generated:,} generated tokens"
        ]
        for u in self.updates:
            out.append(
                f"update {u['name']}: at most {u['rows']} {u['of']} -> {u['minibatches']} minibatch(es) of "
                f"{u['size']} x "
                f"{u['epochs']} epoch(s) = {u['steps']} optimiser step(s); micro-batches of at most {u['micro']:,} "
                "tokens"
            )
        out.append(
            f"the run: {self.iterations} iterations, at most {self.generated * self.iterations:,} generated tokens, "
            f"{sum(u['steps'] for u in self.updates) * self.iterations} optimiser steps"
        )
        out.append(
            f"memory: {self.parameters:,} parameters, {self.trained:,} trained; weights, gradients, optimiser and "
            "copies take "
            f"about {self.memory / 2**20:,.0f} MiB, activations come on top"
        )
        return out


def plan(trainer: Trainer) -> tuple[Plan, ...]:
    """Upper bounds for each recipe of the method, from its values and the task's and model's limits."""
    return tuple(_plan(recipe, trainer) for recipe in trainer.phases)


def _plan(recipe: Recipe, trainer: Trainer) -> Plan:
    ctx = trainer.ctx
    policy: Actor = ctx.actors["policy"]
    # traces that reach the updates, and samples drawn for them (dynamic sampling may draw several times)
    problems = recipe.loop.problems
    per_group = 2 if isinstance(recipe.source, Offline) else 0  # both replies of a pair are there already
    generating = probing = 0
    for stage in recipe.collect:
        drawn = sum(part.traces for part in walk(stage) if isinstance(part, Sample))
        rounds = stage.rounds if isinstance(stage, (Refill, SampleUntil)) else 1
        if isinstance(stage, Balance):
            probing += drawn * len(stage.temperatures) * min(stage.problems, problems)
            continue
        generating += drawn * rounds
        per_group += drawn * (rounds if isinstance(stage, SampleUntil) else 1)
        per_group += sum(isinstance(part, Demonstrate) for part in walk(stage))
        if isinstance(stage, Thin):
            per_group = min(per_group, stage.n)
    limit = getattr(policy, "max_tokens", 0) or getattr(policy, "max_context", 0)
    updates = []
    for name, u in zip(update_names(recipe), updates_of(recipe), strict=True):
        sets = isinstance(u.rows, Pairs)
        rows = problems if sets else problems * per_group
        size = u.minibatch or rows
        batches = -(-rows // max(1, size))
        updates.append(
            {
                "name": name,
                "rows": rows,
                "of": "pairs" if sets else "rows",
                "size": min(size, rows),
                "minibatches": batches,
                "epochs": u.epochs,
                "steps": batches * u.epochs,
                "micro": ctx.micro_tokens,
            }
        )
    total = sum(p.numel() for p in policy.module.parameters())
    held = sum(p.numel() * p.element_size() for p in policy.module.parameters())
    trained = sum(p.numel() for _, p in policy.parameters())
    copies = sum(
        sum(p.numel() * p.element_size() for p in a.module.parameters())
        for name, a in ctx.actors.items()
        if a is not policy and a.module is not policy.module
    )
    # of a trained parameter, which is in float32, also its gradient and two moments
    memory = held + copies + 12 * trained * sum(u.actor == "policy" for u in updates_of(recipe))
    return Plan(
        recipe.name,
        problems,
        problems * per_group,
        limit,
        (problems * generating + probing) * limit,
        tuple(updates),
        recipe.loop.iterations,
        total,
        trained,
        memory,
    )
