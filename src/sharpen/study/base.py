"""A study as a value: methods, tasks, seeds, one budget for all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from sharpen.budget import Budget, budget
from sharpen.cli.options import find_recipe
from sharpen.errors import SharpenError
from sharpen.overrides import override
from sharpen.recipe import Method
from sharpen.run.naming import folder_name, task_name
from sharpen.run.setup import Setup

BASE = "base"
"""What the model is called that all recipes start from, untrained."""

POINTS = 10
"""How often the policy is measured while it trains, unless the setup says so."""


@dataclass(frozen=True)
class Entry:
    """A method of a study: what it is called, what it was `given` as (a name, FILE.py:NAME, or the method), and what is
    `set` in it. So another process finds it by itself, be it of a file that cannot be imported.
    """

    name: str
    given: str | Method
    set: tuple[str, ...] = ()

    @property
    def method(self) -> Method:
        """The method itself."""
        return override(find_recipe(self.given) if isinstance(self.given, str) else self.given, self.set)


@dataclass(frozen=True)
class Job:
    """One run of a study."""

    entry: Entry
    setup: Setup
    folder: Path

    @property
    def text(self) -> str:
        """Which one it is."""
        return f"{self.entry.name} on {self.setup.task}, seed {self.setup.seed}"


@dataclass(frozen=True)
class Study:
    """Every method on every task at seeds 0 to `seeds` - 1, from the same model, until the same budget is spent.

    `setup` is all else that a run is given; its task, seed and budget are those of the study. `target` is the accuracy
    whose cost is told; None asks for the middle between the base and the best method at the end of the curves. `random`
    seeds the resampling of all intervals.
    """

    entries: tuple[Entry, ...]
    tasks: tuple[str, ...]
    seeds: int
    budget: str
    setup: Setup = field(default_factory=Setup)
    target: float | None = None
    random: int = 0

    def __post_init__(self) -> None:
        names = [e.name for e in self.entries]
        _once(names, "recipes")
        _once([task_name(t) for t in self.tasks], "tasks")
        if BASE in names:
            raise SharpenError(f"A recipe cannot be called {BASE!r} here: that is the untrained model. Rename it.")
        if not names or not self.tasks or self.seeds < 1:
            raise SharpenError("A study needs a recipe, a task and a seed, or more of each.")
        if self.setup.eval_problems < 1:
            raise SharpenError("`--eval-problems 0` measures nothing, and a study compares measures. Give 1 or more.")
        if self.target is not None and not (math.isfinite(self.target) and 0 < self.target <= 1):
            raise SharpenError(f"`--target {self.target}` is no share of right answers; give one above 0, up to 1.")
        self.spend()

    def spend(self) -> Budget:
        """The budget of each run."""
        return budget(self.budget)

    def setup_of(self, task: str, seed: int = 0) -> Setup:
        """What a run on a task is given."""
        every = self.setup.measure_every or 1 / POINTS
        return replace(self.setup, task=task, seed=seed, budget=self.budget, measure_every=every)

    def jobs(self, out: Path) -> list[Job]:
        """All runs, those of one seed together, so that a study that is stopped has whole seeds."""
        return [
            Job(e, self.setup_of(t, seed), out / "runs" / folder_name(e.name, t, seed))
            for seed in range(self.seeds)
            for t in self.tasks
            for e in self.entries
        ]


def entries(recipes: Sequence[str | Method], changes: Sequence[str] = ()) -> tuple[Entry, ...]:
    """The methods that are meant, each with the changes that are for all (`PART.FIELD=VALUE`) or for it alone
    (`NAME:PART.FIELD=VALUE`).
    """
    found = [(find_recipe(r) if isinstance(r, str) else r, r) for r in recipes]
    names = [method.name for method, _ in found]
    out = []
    for method, given in found:
        own = [change for name, change in (_for(x, names) for x in changes) if name in ("", method.name)]
        override(method, own)  # what cannot be changed so is refused here
        out.append(Entry(method.name, given, tuple(own)))
    return tuple(out)


def _for(change: str, names: Sequence[str]) -> tuple[str, str]:
    """Whose change it is ("" for everybody's), and the change."""
    name, sign, rest = change.partition(":")
    return (name, rest) if sign and name in names else ("", change)


def _once(names: Sequence[str], what: str) -> None:
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise SharpenError(
            f"Two {what} of the study are called {twice[0]!r}, so their runs could not be told apart. Leave one out, "
            "or rename it."
        )
