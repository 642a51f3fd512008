"""What a stage may touch besides its groups: task, actors, randomness, its own memory, metrics and costs."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from sharpen.core import Part, addresses
from sharpen.cost import Cost
from sharpen.parallel.world import ALONE, World
from sharpen.recipe import Frozen, Recipe
from sharpen.rollout.program import Program, run_programs
from sharpen.types import Group, Problem, Sampling, Trace

if TYPE_CHECKING:
    from sharpen.actor.base import Actor
    from sharpen.task.base import Task


class Metrics:
    """Weighted means of one iteration, by name."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._weights: dict[str, float] = {}

    def add(self, name: str, value: float, weight: float = 1.0) -> None:
        """Count `value` into the mean called `name`."""
        self._sums[name] = self._sums.get(name, 0.0) + value * weight
        self._weights[name] = self._weights.get(name, 0.0) + weight

    def told(self) -> dict[str, tuple[float, float]]:
        """Sum and weight of each mean so far, as plain data."""
        return {n: (self._sums[n], self._weights[n]) for n in self._sums}

    def join(self, told: Mapping[str, Sequence[float]]) -> None:
        """Count what other metrics have `told`."""
        for name, (total, weight) in told.items():
            self._sums[name] = self._sums.get(name, 0.0) + total
            self._weights[name] = self._weights.get(name, 0.0) + weight

    def take(self) -> dict[str, float]:
        """The means so far, in order of name; starts anew."""
        out = {n: self._sums[n] / self._weights[n] for n in sorted(self._sums) if self._weights[n] > 0}
        self._sums.clear()
        self._weights.clear()
        return out


class Ctx:
    """Shared by the parts of one run. All randomness comes from `rng` and `gen`; both are checkpointed.

    `knobs` are numbers that one part turns for another, `stores` are named lists of problems or groups that stages
    fill and sources draw from, `step` counts iterations from a program's first recipe on and `start` is where this one
    began, `last` are the metrics of the iteration before, `touched` names the actors whose
    weights an update has changed in this iteration, `world` is the processes that make the run, `share` is how much of
    its budget a recipe had spent when the iteration began (None where iterations are counted).
    """

    def __init__(
        self,
        recipe: Recipe,
        task: Task,
        actors: dict[str, Actor],
        seed: int = 0,
        micro_tokens: int = 8192,
        world: World = ALONE,
    ) -> None:
        self.recipe = recipe
        self.task = task
        self.actors = actors
        self.seed = seed
        self.micro_tokens = micro_tokens
        self.world = world
        self.step = 0
        self.start = 0
        self.share: float | None = None
        self.rng = random.Random(seed)
        self.gen = torch.Generator().manual_seed(seed)
        self.metrics = Metrics()
        self.touched: set[str] = set()
        self.last: dict[str, float] = {}
        self.cost = Cost()
        self.knobs: dict[str, float] = {}
        self.stores: dict[str, list[Any]] = defaultdict(list)
        self.states: dict[str, dict[str, Any]] = {}
        self._address: dict[int, str] = {}
        self.enter(recipe)

    def enter(self, recipe: Recipe) -> None:
        """Begin a recipe: its parts get their first memory, its progress starts at 0; everything shared stays."""
        self.recipe = recipe
        self.start = self.step
        self.states = {}
        self._address = {}
        for name, part in addresses(recipe).items():
            self._address[id(part)] = name
            state = part.init()
            if state is not None:
                self.states[name] = state

    @property
    def progress(self) -> float:
        """How much of the run is done, 0 to 1: what schedules are functions of."""
        if self.share is not None:
            return self.share
        return (self.step - self.start) / max(1, self.recipe.loop.iterations)

    def address(self, part: Part) -> str:
        """The name of a part within its recipe, as `--set` and checkpoints know it."""
        return self._address[id(part)]

    def state(self, part: Part) -> dict[str, Any]:
        """What a part remembers."""
        return self.states[self.address(part)]

    def log(self, name: str, value: float, weight: float = 1.0) -> None:
        """Count a value into this iteration's mean of that name."""
        self.metrics.add(name, value, weight)

    def play(
        self, program: Program | Sequence[Program], problems: Sequence[Problem], sampling: Sampling, actor: str
    ) -> list[list[Trace]]:
        """Run a program once for every problem (or each problem's own); each run's traces, in order, and paid for."""
        return run_programs(
            program,
            problems,
            sampling,
            task=self.task,
            actors=self.actors,
            actor=actor,
            rng=self.rng,
            step=self.step,
            cost=self.cost,
        )

    def draw(self, n: int) -> list[Group]:
        """New groups from the recipe's source."""
        drawn = self.recipe.source.draw(n, self)
        self.cost.problems += len(drawn)
        return [Group(x) if isinstance(x, Problem) else x for x in drawn]

    @torch.no_grad()
    def follow(self, name: str) -> None:
        """Move the frozen copies of an actor that follow each of its optimiser steps."""
        for copy, spec in self.recipe.actors:
            if isinstance(spec, Frozen) and spec.refresh == "step" and spec.of == name:
                new = self.actors[name].weights()
                for key, old in self.actors[copy].weights().items():
                    old.lerp_(new[key], spec.tau)
                self.actors[copy].changed()

    def observe(self, groups: list[Group]) -> None:
        """Show groups to the source, which must see also those that are thrown away."""
        self.recipe.source.observe(groups, self)
