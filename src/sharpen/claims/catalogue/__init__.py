"""Claims by name: a module a family, as with recipes, whose `CLAIMS` are what it holds."""

from __future__ import annotations

from importlib import import_module

from sharpen.claims.base import Claim
from sharpen.errors import SharpenError, near

FAMILIES = {
    "policy": "policy optimisation with checkable rewards",
    "critic": "policy optimisation with a value model",
    "search": "self-training by tree search",
    "process": "rewards for steps",
    "reward": "reward models, and what follows them",
    "curriculum": "choosing what to train on by what is learnt from it",
    "hints": "reinforcement with parts of worked solutions, for problems nobody solves yet",
    "calibration": "knowing how likely one's own answer is to be right",
    "balance": "answers in proportion to their reward",
    "agents": "agents that act in turns in a world",
}
"""Families of claims, a module each."""


def all_claims() -> dict[str, Claim]:
    """Every claim by name, in the order of families."""
    found = [c for family in FAMILIES for c in import_module(f"sharpen.claims.catalogue.{family}").CLAIMS]
    return {c.name: c for c in found}


def claim(name: str) -> Claim:
    """The claim of that name."""
    known = all_claims()
    if name not in known:
        raise SharpenError(f"There is no claim {name!r}. {near(name, known)} `sharpen claim` lists them.")
    return known[name]
