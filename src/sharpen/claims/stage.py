"""What an arm is given for one seed: a task, fresh copies of the base policy, and a budget counted in one place."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping

from sharpen.actor.base import Actor
from sharpen.actor.language import LanguageActor
from sharpen.claims.base import Arm, Claim
from sharpen.cost import Cost
from sharpen.errors import SharpenError
from sharpen.evaluate import judged
from sharpen.loop import Iteration, Trainer
from sharpen.recipe import Method
from sharpen.rollout.program import natural, run_programs
from sharpen.task.base import Task
from sharpen.types import Sampling, Trace


class Stage:
    """One arm of a claim at one seed.

    `cost` counts everything spent here: trainers made by the stage count into it, and whoever draws by other means
    hands it on (`run_programs(..., cost=stage.cost)`, or adds to it). `rng` is the arm's own randomness. `curve` holds
    a record of every iteration made by `train`.
    """

    def __init__(self, claim: Claim, seed: int) -> None:
        self.claim = claim
        self.seed = seed
        self.budget = claim.budget
        self.task = claim.open_task()
        self.cost = Cost()
        self.rng = random.Random(seed)
        self.iterations = 0
        self.curve: list[dict[str, float]] = []
        self._began = time.process_time()

    @property
    def spent(self) -> float:
        """How much of the budget is gone, in its own unit."""
        return self.budget.spent(self.cost, self.iterations, time.process_time() - self._began)

    @property
    def left(self) -> float:
        """How much there is still to spend; below 0 where an iteration went over."""
        return self.budget.amount - self.spent

    def base(self) -> LanguageActor:
        """A copy of the base policy that nobody has trained."""
        return self.claim.base.actor(self.task)

    def trainer(self, method: Method, policy: Actor | None = None, task: Task | None = None) -> Trainer:
        """A method at its start: on the base policy and the claim's task unless others are given."""
        trainer = Trainer(method, task or self.task, policy or self.base(), seed=self.seed)
        trainer.ctx.cost = self.cost
        return trainer

    def train(
        self,
        method: Method,
        policy: Actor | None = None,
        task: Task | None = None,
        *,
        until: float = 1.0,
        given: Mapping[str, Actor] | None = None,
    ) -> Trainer:
        """Iterate until that share of the budget is spent, or the method has made all its iterations.

        No iteration begins once it is spent; what the last one spends beyond it is in the results. `given` are models
        that the method uses, does not train, and would otherwise start anew (reward models taught beforehand).
        """
        trainer = self.trainer(method, policy, task)
        trainer.ctx.actors.update(given or {})
        while not trainer.done and self.spent < until * self.budget.amount:
            self._record(trainer.step())
        return trainer

    def _record(self, done: Iteration) -> None:
        self.iterations += 1
        known = {name: done.metrics[name] for name in self.claim.curve if name in done.metrics}
        self.curve.append({"generated_tokens": self.cost.generated_tokens, "updates": self.cost.updates, **known})

    def evaluate(self, actor: Actor, task: Task | None = None) -> dict[str, float]:
        """What the claim measures of every policy, on its own task unless another is given; it costs no budget."""
        return self.claim.evaluation.of(actor, task or self.task, self.seed)

    def measure(self, trainer: Trainer) -> Mapping[str, float]:
        """What the claim measures of what was trained."""
        if self.claim.measure is not None:
            return self.claim.measure(trainer, self.seed)
        return self.evaluate(trainer.policy)

    def play(self, arm: Arm) -> Mapping[str, float]:
        """Do what the arm says; what it measured."""
        if arm.run is not None:
            return arm.run(self, self.seed)
        assert arm.method is not None
        return self.measure(self.train(arm.method))


def answers(trainer: Trainer, problems: int, samples: int, seed: int) -> list[Trace]:
    """`samples` judged answers of a trained policy to each of `problems` held-out problems, in their order."""
    task = trainer.ctx.task
    traces = drawn(task, trainer.policy, problems, samples, seed + 1)
    judged(task, traces)
    return traces


def drawn(task: Task, policy: Actor, problems: int, samples: int, seed: int, cost: Cost | None = None) -> list[Trace]:
    """`samples` answers to each of `problems` held-out problems, in their order, counted in `cost` if there is one."""
    runs = run_programs(
        natural(task),
        [p for p in task.fixed("test", problems) for _ in range(samples)],
        Sampling(),
        task=task,
        actors={"policy": policy},
        actor="policy",
        rng=random.Random(seed),
        cost=cost,
    )
    return [t for run in runs for t in run]


def untrained(stage: Stage, seed: int) -> Mapping[str, float]:
    """The measures of the base policy itself."""
    if stage.claim.measure is None:
        return stage.evaluate(stage.base())
    methods = [a.method for a in stage.claim.arms if a.method is not None]
    if not methods:
        raise SharpenError(
            f"Claim {stage.claim.name!r} measures trainers, and none of its arms trains, so its base cannot be "
            "measured. Give the claim an `evaluation` in the place of `measure`."
        )
    return stage.measure(stage.trainer(methods[0]))


UNTRAINED = Arm("base", run=untrained)
"""The arm that does nothing; with it a report counts the seeds in which another arm ends up worse than the base."""
