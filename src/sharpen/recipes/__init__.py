"""Recipes by name. They are values: vary one with `dataclasses.replace`."""

from __future__ import annotations

from importlib import import_module

from sharpen.errors import SharpenError, near
from sharpen.recipe import Method, Program, Recipe

FAMILIES = {
    "selftrain": "imitation of demonstrations and of one's own best answers",
    "policy": "policy optimisation with checkable rewards",
    "critic": "policy optimisation with a value model",
    "agents": "agents that act in turns in a world",
    "players": "models trained beside one another",
}
"""Families of methods, a module each, and what is common to theirs."""


def all_recipes() -> dict[str, Method]:
    """Every built-in recipe by name, in the order of families."""
    found = [
        x
        for family in FAMILIES
        for x in vars(import_module(f"sharpen.recipes.{family}")).values()
        if isinstance(x, Recipe | Program) and x.family
    ]
    return {r.name: r for r in found}


def recipe(name: str) -> Method:
    """The recipe of that name."""
    known = all_recipes()
    if name not in known:
        raise SharpenError(f"There is no recipe {name!r}. {near(name, known)} `sharpen recipes` lists them.")
    return known[name]
