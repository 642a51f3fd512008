"""A recipe: a source, stages, updates and a loop, as one value that names no model, no data set and no hardware."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from torch import Tensor

from sharpen.bounds import require
from sharpen.core import Part, Wiring, columns_read, walk
from sharpen.errors import SharpenError, near
from sharpen.rows import Traces
from sharpen.types import Batch, Group, Problem, Scored, Sets, Trace, Unit

if TYPE_CHECKING:
    from sharpen.ctx import Ctx
    from sharpen.task.base import Task


class Source(Protocol):
    """Where problems come from. `observe` is shown every group, also those that were refused."""

    def draw(self, n: int, ctx: Ctx) -> list[Problem] | list[Group]:
        """New problems, or ready groups."""
        ...

    def observe(self, groups: list[Group], ctx: Ctx) -> None:
        """What became of them."""
        ...


class Rows(Protocol):
    """Which traces an update trains on, and which sets of them it compares."""

    def __call__(self, groups: list[Group], ctx: Ctx) -> tuple[list[Trace], Sets | None]:
        """Choose."""
        ...


class Loss(Protocol):
    """A pure function of scores and columns; one entry per `unit` (or per set), not yet reduced.

    `wants` are extras the actor must score. `silent_where` names a column with this property: on a trace where it is
    zero at every atom, the loss sends no gradient, so the trace costs no backward pass.
    """

    unit: ClassVar[Unit | Literal["set"]]
    reads: ClassVar[tuple[str, ...]]
    wants: ClassVar[tuple[str, ...]]
    silent_where: ClassVar[str | None]

    def __call__(self, new: Scored, batch: Batch) -> Tensor:
        """One number a unit, to be minimised."""
        ...


PLACES = tuple(f"{end}:{unit}" for end in ("first", "last") for unit in ("segment", "trace"))
"""Places of atoms that need no column: the first or last atom of each segment or trace."""


@dataclass(frozen=True)
class Term(Part):
    """A loss, its weight, and what it is a mean of.

    `mean_over`: `atom` divides the sum by the number of atoms of the optimiser step; `trace` first averages inside
    each trace, then over traces; `horizon` divides by traces x `horizon`, a constant (Dr. GRPO; 0 is
    the longest answer the run allows). `where` names a 0/1 column, or a place every batch knows (`last:segment`,
    `first:trace`, ...): the loss sees only those atoms, and the denominator counts only them. `weight_by` names a
    column that multiplies without entering the denominator. Denominators are taken over the whole optimiser step,
    never a micro-batch.
    """

    loss: Any
    weight: float = 1.0
    mean_over: Literal["atom", "trace", "horizon", "sum"] = "trace"
    horizon: int = 0
    where: str | None = None
    weight_by: str | None = None
    name: str = ""

    def __post_init__(self) -> None:
        require(self, "weight", math.isfinite(self.weight), "a finite number")
        require(self, "horizon", self.horizon >= 0, "0 or more")

    @property
    def label(self) -> str:
        """What metrics call this term."""
        return self.name or type(self.loss).__name__.lower()

    @property
    def columns(self) -> tuple[str, ...]:
        """Everything this term reads."""
        extra = tuple(c for c in (self.where, self.weight_by) if c and c not in PLACES)
        return columns_read(self.loss) + extra


@dataclass(frozen=True)
class AdamW(Part):
    """AdamW (1711.05101), and how its rate runs.

    `lr` None is the model's own rate (`scale` times it): a size-dependent number is not a recipe's to know. Gradients
    are clipped to the norm `clip`. The rate rises linearly over the first `warmup` optimiser steps.
    """

    lr: float | None = None
    scale: float = 1.0
    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-8
    weight_decay: float = 0.0
    clip: float = 1.0
    warmup: int = 0

    def __post_init__(self) -> None:
        above, most = "a finite number above 0", math.inf
        require(self, "lr", self.lr is None or 0 < self.lr < most, f"{above}, or none for the model's own")
        require(self, "scale", 0 < self.scale < most, above)
        require(self, "beta1", 0 <= self.beta1 < 1, "at least 0 and below 1")
        require(self, "beta2", 0 <= self.beta2 < 1, "at least 0 and below 1")
        require(self, "eps", 0 < self.eps < most, above)
        require(self, "weight_decay", 0 <= self.weight_decay < most, "0 or more, and finite")
        require(self, "clip", self.clip > 0, "above 0 (inf does not clip)")
        require(self, "warmup", self.warmup >= 0, "0 or more")


@dataclass(frozen=True)
class Update(Part):
    """Rows, terms, an actor, and how its optimiser goes through them.

    `minibatch` counts traces (sets, where the rows are sets) an optimiser step, 0 takes all; a set is never split.
    The update is made in every `every`-th iteration of its recipe, from iteration `start` on (a critic's head start, a
    verifier that learns more slowly).
    """

    terms: tuple[Term, ...]
    rows: Any = field(default_factory=Traces)
    actor: str = "policy"
    optimiser: AdamW = field(default_factory=AdamW)
    epochs: int = 1
    minibatch: int = 0
    name: str = ""
    every: int = 1
    start: int = 0

    def __post_init__(self) -> None:
        require(self, "terms", len(self.terms) > 0, "at least one Term")
        require(self, "every", self.every >= 1, "1 (each iteration) or more")
        require(self, "start", self.start >= 0, "0 or more")
        require(self, "epochs", self.epochs >= 1, "1 or more")
        require(self, "minibatch", self.minibatch >= 0, "0 (all rows at once) or more")

    def wire(self, wiring: Wiring) -> None:
        """An update reads what its rows and losses read; a loss may need something of the task."""
        self.rows.wire(wiring)
        for term in self.terms:
            if isinstance(term.loss, Part):
                wiring.require(term.loss)
            for column in term.columns:
                if not wiring.holds(column):
                    wiring.refuse(type(term.loss).__name__, column)
                wiring.used.setdefault(column, type(term.loss).__name__)
        wiring.used.clear()  # what was trained on may be written anew for the next update


@dataclass(frozen=True)
class Loop(Part):
    """How long and how wide: iterations, problems an iteration, and what an iteration starts from.

    `reset="base"` returns every trained actor to the weights the run began with (and forgets its optimiser) before the
    updates of each iteration, as STaR and ReST-EM do.
    """

    iterations: int = 100
    problems: int = 32
    reset: Literal["none", "base"] = "none"

    def __post_init__(self) -> None:
        require(self, "iterations", self.iterations >= 1, "1 or more")
        require(self, "problems", self.problems >= 1, "1 or more")


@dataclass(frozen=True)
class Policy(Part):
    """The model that is trained to solve the problems: the one the run was given."""


@dataclass(frozen=True)
class Value(Part):
    """A model that gives numbers: a copy of another actor's decoder with a scalar head (a critic, a reward model).

    The head starts at zero, or with random weights of standard deviation `spread` (members of an ensemble must differ).
    In a program it is the same one in every recipe that names it.
    """

    of: str = "policy"
    spread: float = 0.0

    def __post_init__(self) -> None:
        require(self, "spread", 0 <= self.spread < math.inf, "0 or more, and finite")


@dataclass(frozen=True)
class Twin(Part):
    """A copy of another actor that is trained on its own: a verifier that begins as the policy, a second player.

    In a program it is the same one in every recipe that names it.
    """

    of: str = "policy"


@dataclass(frozen=True)
class Frozen(Part):
    """A copy of another actor that gradient never reaches: a reference (`never` refreshed), an opponent (before each
    `iteration`), a target network (after each optimiser `step` of the other, by the share `tau` of the way).
    """

    of: str = "policy"
    refresh: Literal["never", "iteration", "step"] = "never"
    tau: float = 1.0

    def __post_init__(self) -> None:
        require(self, "tau", 0 < self.tau <= 1, "above 0 and at most 1")


@dataclass(frozen=True)
class Recipe:
    """A method. Vary it with `dataclasses.replace`; it is checked whenever it is made.

    `updates` are made in order; a stage may stand among them (credit that a fresh critic gives).
    `source_of` cites where it comes from; `about` says what it computes in a sentence or two; `origins` says of each
    default that matters where it comes from, keyed like the command line's `--set` (`"PPOClip.low"`).
    `waive` names the self-checks that do not hold for this method.
    """

    name: str
    source: Any
    collect: tuple[Any, ...]
    updates: tuple[Any, ...]
    loop: Loop = field(default_factory=Loop)
    actors: tuple[tuple[str, Any], ...] = (("policy", Policy()),)
    about: str = ""
    source_of: str = ""
    family: str = ""
    parent: str = ""
    origins: Mapping[str, str] = field(default_factory=dict)
    waive: tuple[Literal["agreement", "reference", "gradient"], ...] = ()

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class Program:
    """Recipes one after another: they share the policy, value models, stores and random numbers.

    A reference of a later recipe is the policy as that recipe finds it. Optimisers begin anew.
    """

    name: str
    recipes: tuple[Recipe, ...]
    about: str = ""
    source_of: str = ""
    family: str = ""
    parent: str = ""
    origins: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.recipes:
            raise SharpenError(f"Program {self.name!r} has no recipes; give it at least one.")


Method = Recipe | Program
"""What can be trained with: a recipe, or several in a row."""


def update_names(recipe: Recipe) -> list[str]:
    """What metrics and checkpoints call the updates of a recipe."""
    updates = updates_of(recipe)
    return [u.name or (u.actor if len(updates) == 1 else f"{u.actor}{i}") for i, u in enumerate(updates)]


def updates_of(recipe: Recipe) -> list[Update]:
    """The updates of a recipe without the stages among them."""
    return [u for u in recipe.updates if isinstance(u, Update)]


def recipes_of(method: Method) -> tuple[Recipe, ...]:
    """The recipes of a method, in order."""
    return method.recipes if isinstance(method, Program) else (method,)


_NAME = re.compile(r"[\w-][\w.-]*")


def check(recipe: Recipe, task: Task | None = None) -> None:
    """Raise unless every part finds what it reads; with a task, also unless the task gives what the parts need."""
    wiring = Wiring(recipe.name, task)
    recipe.source.wire(wiring)
    for stage in recipe.collect:
        stage.wire(wiring)
    names = dict(recipe.actors)
    for name in names:
        if not _NAME.fullmatch(name):  # one that is trained is written to a folder of its name
            raise SharpenError(
                f"Recipe {recipe.name!r}: {name!r} is no name for an actor. Use letters, digits, `_`, `-` and, but "
                "for the first, dots."
            )
    for part in walk((recipe.source, recipe.collect, [u for u in recipe.updates if not isinstance(u, Update)])):
        for actor in part.asks:
            if actor not in names:
                raise SharpenError(
                    f"Recipe {recipe.name!r}: {type(part).__name__} asks the actor {actor!r}. {near(actor, names)}"
                )
        split = getattr(part, "split", None)
        if task is not None and isinstance(split, str) and split not in task.splits:
            raise SharpenError(
                f"Recipe {recipe.name!r}: {type(part).__name__} draws from the split {split!r} of task {task.name!r}. "
                f"{near(split, task.splits)}"
            )
    for update in recipe.updates:
        if isinstance(update, Update) and update.actor not in names:
            raise SharpenError(
                f"Recipe {recipe.name!r}: an update trains the actor {update.actor!r}; its actors are "
                f"{', '.join(names)}."
            )
        update.wire(wiring)
    for column in recipe.source.observes:
        if not wiring.holds(column):
            wiring.refuse(type(recipe.source).__name__, column)
    for name, spec in recipe.actors:
        if isinstance(spec, (Frozen, Value, Twin)) and spec.of not in names:
            raise SharpenError(f"Recipe {recipe.name!r}: actor {name!r} is a copy of {spec.of!r}, which there is not.")


Predicate = Callable[[Any], bool]
"""A named function of a trace or a group; decorate it with `sharpen.core.reads`."""
