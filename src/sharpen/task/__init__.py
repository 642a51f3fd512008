"""Tasks by name: `task("chain", low=3)`."""

from __future__ import annotations

import dataclasses
from typing import Any

from sharpen.errors import SharpenError, near
from sharpen.task.base import Environment, RewardSpec, Task
from sharpen.task.chain import Chain
from sharpen.task.code import Code
from sharpen.task.countdown import Countdown
from sharpen.task.deduce import Deduce
from sharpen.task.digits import Digits
from sharpen.task.graph import Graph
from sharpen.task.grid import Grid
from sharpen.task.latent import Latent
from sharpen.task.points import Points
from sharpen.task.procedural import Procedural
from sharpen.task.taste import Taste
from sharpen.task.tool import Tool

__all__ = [
    "Chain",
    "Code",
    "Countdown",
    "Deduce",
    "Digits",
    "Environment",
    "Graph",
    "Grid",
    "Latent",
    "Points",
    "Procedural",
    "RewardSpec",
    "Task",
    "Taste",
    "Tool",
    "builtin",
    "task",
]


def builtin() -> dict[str, type[Procedural] | type[Latent]]:
    """The built-in tasks by name, in alphabetical order."""
    return {kind.name: kind for kind in (Chain, Code, Countdown, Deduce, Digits, Graph, Grid, Points, Taste, Tool)}


def task(name: str, **fields: Any) -> Procedural | Latent:
    """A built-in task with these fields. SharpenError for a wrong name, field or value."""
    known = builtin()
    if name not in known:
        raise SharpenError(f"There is no built-in task {name!r}. {near(name, known)}")
    names = [f.name for f in dataclasses.fields(known[name])]
    for field in fields:
        if field not in names:
            raise SharpenError(f"Task {name!r} has no field {field!r}. {near(field, names)}")
    return known[name](**fields)
