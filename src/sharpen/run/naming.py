"""What the folders of runs are called."""

from __future__ import annotations

from pathlib import Path

from sharpen import userfile
from sharpen.recipe import Method
from sharpen.run.setup import Setup


def folder_name(recipe: str, task: str, seed: int) -> str:
    """What the folder of a run is called: RECIPE-TASK-seedN."""
    return f"{_plain(recipe)}-{task_name(task)}-seed{seed}"


def task_name(task: str) -> str:
    """What a task is called in the name of a folder."""
    file, _, own = task.rpartition(":")
    if userfile.is_meant(task) and file:
        name = f"{Path(file).stem}-{own}"  # a file may hold several
    else:
        name = task if task.isidentifier() else Path(task.replace(":", "-")).stem
    return _plain(name)


def _plain(name: str) -> str:
    """A name as one part of a path, whatever it holds."""
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in name)


def default_out(recipe: Method, setup: Setup) -> Path:
    """The first of runs/NAME, NAME-2, ... that is not there yet; named by recipe, task and seed."""
    name = folder_name(recipe.name, setup.task, setup.seed)
    path, k = Path("runs") / name, 2
    while path.exists():
        path, k = Path("runs") / f"{name}-{k}", k + 1
    return path
