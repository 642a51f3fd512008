"""What the user's files held that a run was made of, as digests: whether they are the same can then be told.

These are files of recipes, tasks and rewards (`FILE.py:NAME`), of problems, and the folder of a model. What a hub
holds, and what a file of Python imports, is not looked at.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from sharpen.run.files import sha256, writing
from sharpen.run.foreign import code_files, inner
from sharpen.run.setup import Setup
from sharpen.task import builtin


def contents(recipe: str | None, setup: Setup) -> dict[str, str]:
    """The digest of each file and folder of the user's by its path as it was given.

    `recipe` is how the recipe was named, None for one that was given as an object.
    """
    return {name: digest(Path(name)) for name in dict.fromkeys(_paths(recipe, setup)) if Path(name).exists()}


def _paths(recipe: str | None, setup: Setup) -> Iterator[str]:
    yield from code_files(recipe, setup)
    task = inner(setup.task).removeprefix("hf:")
    # names of the library, whatever lies in the working directory
    if task not in builtin():
        yield task
    if setup.model != "nano":
        yield setup.model
    yield from (str(x) for x in setup.task_options.values() if isinstance(x, str) and Path(x).is_file())


def digest(path: Path) -> str:
    """SHA-256 of a file; of a folder, that of the names and digests of all files in it, hidden ones and those in hidden
    folders left out: they are of tools (`.git`, `.cache`). SharpenError if unreadable.
    """
    with writing(f"the digest of {path}", path):
        if path.is_dir():
            inside = sorted((p.relative_to(path), p) for p in path.rglob("*") if p.is_file())
            seen = [(name, p) for name, p in inside if not any(x.startswith(".") for x in name.parts)]
            told = "".join(f"{name}\0{digest(p)}\n" for name, p in seen)
            return hashlib.sha256(told.encode()).hexdigest()
        return sha256(path)


def changed(told: dict[str, str]) -> list[str]:
    """What is no longer what a manifest says it was, a sentence each; empty when everything is."""
    out = []
    for name, was in told.items():
        if not Path(name).exists():
            out.append(f"there is no {name} here")
        elif digest(Path(name)) != was:
            out.append(f"{name} is not what it was")
    return out
