"""Recipes by name. They are values: vary one with `dataclasses.replace`."""

from __future__ import annotations

from importlib import import_module

from sharpen.errors import SharpenError, near
from sharpen.recipe import Method, Program, Recipe

FAMILIES = {
    "selftrain": "imitation of demonstrations and of one's own best answers",
    "policy": "policy optimisation with checkable rewards",
    "critic": "policy optimisation with a value model",
    "search": "self-training by tree search",
    "process": "rewards for steps: process reward models, and policies trained against them",
    "preference": "learning from which of two answers is better",
    "reward": "reward models, and policies that follow them",
    "curriculum": "choosing what to train on by what is learnt from it",
    "hints": "reinforcement with parts of worked solutions, for problems nobody solves yet",
    "critique": "answers that are criticised and given anew",
    "calibration": "knowing how likely one's own answer is to be right",
    "length": "answers no longer than they need be",
    "balance": "answers in proportion to their reward",
    "agents": "agents that act in turns in a world",
    "players": "models trained beside one another",
    "flow": "policies that are no language models: flow matching, through its denoising steps",
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
