"""What a row of the table of recipes is: each buys every generic test in test_table.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from benches import COPY, Bench
from sharpen.loop import Trainer
from sharpen.recipe import Method, Program, Recipe, Update
from sharpen.recipes import recipe


@dataclass(frozen=True)
class Row:
    """A recipe made small, what it must reach on its bench, and a twin that must be refused for a stated reason.

    `reach` is what the bench (or the row's own `measure`) says after all iterations, for every seed; `iterations` of a
    program are those of its recipes together. `state` is what the recipe depends on from one iteration to the next.
    `actor` is whose weights are compared after a resumption.
    """

    recipe: Method
    reach: float
    broken: Callable[[Recipe], Method]
    because: str
    state: tuple[str, ...] = ("rng", "gen", "weights", "learners")
    bench: Bench = COPY
    measure: Callable[[Trainer], float] | None = None
    actor: str = "policy"

    @property
    def name(self) -> str:
        return self.recipe.name


def small(name: str, iterations: int, problems: int = 16, minibatch: int = 0, lr: float = 3e-3) -> Recipe:
    """A built-in recipe with a budget and a rate for a toy; everything else as it is."""
    r = recipe(name)
    assert isinstance(r, Recipe)
    return shrunk(r, iterations, problems, minibatch, lr)


def shrunk(r: Recipe, iterations: int, problems: int = 16, minibatch: int = 0, lr: float = 3e-3) -> Recipe:
    """A recipe with a budget and a rate for a toy."""
    updates = tuple(
        replace(u, optimiser=replace(u.optimiser, lr=lr, scale=1.0, warmup=0), minibatch=minibatch or u.minibatch)
        if isinstance(u, Update)
        else u
        for u in r.updates
    )
    return replace(r, loop=replace(r.loop, iterations=iterations, problems=problems), updates=updates)


def small_program(name: str, *parts: dict[str, float]) -> Program:
    """A built-in program, each of its recipes made small by the arguments of `shrunk`."""
    p = recipe(name)
    assert isinstance(p, Program)
    return replace(p, recipes=tuple(shrunk(r, **k) for r, k in zip(p.recipes, parts, strict=True)))
