"""A claim of a paper as a value: what should come out above what, and the experiment that decides."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from sharpen.actor.base import Actor
from sharpen.actor.language import LanguageActor
from sharpen.actor.load import ModelSetup, load_language
from sharpen.actor.nano import Nano, nano_base
from sharpen.budget import Budget
from sharpen.errors import SharpenError, near
from sharpen.evaluate import evaluate
from sharpen.loop import Trainer
from sharpen.recipe import Method
from sharpen.run.opening import fitted
from sharpen.task.base import Task
from sharpen.task.resolve import task_of

if TYPE_CHECKING:
    from sharpen.claims.stage import Stage

Direction = Literal["higher", "lower"]
"""Which way a metric is better."""

LEAST_SEEDS = 5
"""Fewer give an interval that shows next to nothing: at three pairs Student's is 2.5 times as wide as at five."""


@dataclass(frozen=True)
class Base:
    """How the policy is made that every arm starts from: a nano model brought up on a task (the claim's own if None).

    It is the same one for all arms and seeds, and kept in the cache (`nano_base`). `setup` is how it is loaded: its
    `lr` is the rate that recipes without one of their own scale.
    """

    nano: Nano = field(default_factory=lambda: Nano(width=48, layers=2, heads=3, context=160, steps=300, batch=64))
    task: Task | None = None
    setup: ModelSetup = field(default_factory=lambda: ModelSetup(device="cpu"))

    def actor(self, task: Task, watch: Callable[[int, float], None] | None = None) -> LanguageActor:
        """A copy of it for a task, loaded anew; it is made first where the cache does not hold it."""
        return fitted(load_language(nano_base(self.task or task, self.nano, watch), self.setup), task)


@dataclass(frozen=True)
class Evaluated:
    """Measures on held-out problems: `accuracy`, `greedy`, `pass@k`, `maj@n`, and the mean `length` of answers.

    They bear these names on the first split, and `SPLIT/accuracy` and so on the others. Every seed evaluates the same
    problems; the samples are drawn by the seed.
    """

    splits: tuple[str, ...] = ("test",)
    problems: int = 128
    samples: int = 16
    ks: tuple[int, ...] = (4, 16)

    def of(self, actor: Actor, task: Task, seed: int) -> dict[str, float]:
        """The measures of an actor."""
        out: dict[str, float] = {}
        for i, split in enumerate(self.splits):
            found, _ = evaluate(actor, task, split, problems=self.problems, samples=self.samples, ks=self.ks, seed=seed)
            values = {name: x.mean for name, x in found.measures().items()} | {"length": found.length or 0.0}
            out |= {f"{split}/{name}" if i else name: x for name, x in values.items()}
        return out


@dataclass(frozen=True)
class Arm:
    """One side of a comparison: a method that is trained with until the budget is spent, or `run`, which does it all.

    `run(stage, seed)` returns what it measured; it counts what it spends into `stage.cost`.
    """

    name: str
    method: Method | None = None
    run: Callable[[Stage, int], Mapping[str, float]] | None = None

    def __post_init__(self) -> None:
        if (self.method is None) == (self.run is None):
            raise SharpenError(f"Arm {self.name!r} needs a method to train with or a `run`, and not both.")


@dataclass(frozen=True)
class Comparison:
    """Arm `better` comes out above arm `worse` on a metric (`direction="lower"`: below it).

    `margin` > 0 asks for no worse than by that much: the whole interval of the gain lies above -margin.
    """

    better: str
    worse: str
    metric: str
    direction: Direction = "higher"
    margin: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.margin < math.inf:
            raise SharpenError(f"The margin of a comparison on {self.metric!r} is {self.margin}; give 0 or more.")

    def text(self) -> str:
        """What is compared, in words."""
        if self.margin:
            return f"{self.metric}: {self.better} no worse than {self.worse} by {self.margin:g}"
        return f"{self.metric}: {self.better} {'above' if self.direction == 'higher' else 'below'} {self.worse}"


@dataclass(frozen=True)
class Claim:
    """A claim of a paper and the experiment that tests it at toy scale, at equal budget, over seeds.

    `statement` says in one sentence what should come out above what, `source` names paper and arXiv id, `published`
    gives the paper's own figure. The first of the arms is the one claimed to be better; without `comparisons` it is
    compared with each other one that trains, on `metric`. `task` is a task or the name of one. `evaluation` is what is
    measured of every policy; `measure(trainer, seed)` replaces it for arms that train. `shows` are further metrics the
    report has, `curve` those recorded at every iteration. `notes` say what a reader must know, and why a claim was not
    shown.
    """

    name: str
    statement: str
    source: str
    published: str
    arms: tuple[Arm, ...]
    task: Task | str
    metric: str
    budget: Budget
    base: Base = field(default_factory=Base)
    direction: Direction = "higher"
    seeds: int = LEAST_SEEDS
    evaluation: Evaluated = field(default_factory=Evaluated)
    measure: Callable[[Trainer, int], Mapping[str, float]] | None = None
    comparisons: tuple[Comparison, ...] = ()
    shows: tuple[str, ...] = ()
    curve: tuple[str, ...] = ("solved", "entropy", "length", "grad_norm")
    notes: str = ""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", self.name):
            raise SharpenError(
                f"The name {self.name!r} of a claim names a folder: use small letters, digits and dashes."
            )
        if self.seeds < LEAST_SEEDS:
            raise SharpenError(f"Claim {self.name!r}: {self.seeds} seeds show too little; give at least {LEAST_SEEDS}.")
        names = [a.name for a in self.arms]
        if len(names) < 2 or len(set(names)) < len(names):
            raise SharpenError(f"Claim {self.name!r} needs two arms or more, of different names; it has {names}.")
        for c in self.compared:
            for name in (c.better, c.worse):
                if name not in names:
                    raise SharpenError(f"Claim {self.name!r} compares the arm {name!r}. {near(name, names)}")

    @property
    def compared(self) -> tuple[Comparison, ...]:
        """What decides."""
        first, *others = self.arms
        return self.comparisons or tuple(
            Comparison(first.name, a.name, self.metric, self.direction) for a in others if a.name != "base"
        )

    @property
    def metrics(self) -> tuple[str, ...]:
        """What the report shows of each arm, what decides first."""
        return tuple(dict.fromkeys([self.metric, *(c.metric for c in self.compared), *self.shows]))

    def arm(self, name: str) -> Arm:
        """The arm of that name."""
        found = [a for a in self.arms if a.name == name]
        if not found:
            raise SharpenError(f"Claim {self.name!r} has no arm {name!r}. {near(name, [a.name for a in self.arms])}")
        return found[0]

    def open_task(self) -> Task:
        """The task itself."""
        return task_of(self.task) if isinstance(self.task, str) else self.task


def bare(method: Any) -> Any:
    """A method without what says where it comes from: what it does, and nothing else."""
    plain = {"about": "", "source_of": "", "family": "", "parent": "", "origins": {}}
    if hasattr(method, "recipes"):
        plain["recipes"] = tuple(bare(r) for r in method.recipes)
    return replace(method, **plain)
