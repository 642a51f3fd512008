"""Where a run came from: what its manifest says, and whether what is to go on with it is the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch

from sharpen.errors import SharpenError
from sharpen.recipe import Method
from sharpen.run.compose import CITATIONS, compose
from sharpen.run.content import contents
from sharpen.run.directory import RunDir
from sharpen.run.manifest import FORMAT, describe, manifest, versions
from sharpen.run.setup import Setup, setup_from

KEYS = ("name", "task", "seed", "recipe", "setup", "origin", "composition", "max_tokens")
"""What the manifest of a run holds besides its versions."""


def told(recipe: Method, setup: Setup, origin: dict[str, Any] | None, max_tokens: int) -> dict[str, Any]:
    """What it takes to understand the run, and to make it again.

    Besides the keys of `manifest`: `name`, `task`, `max_tokens`, `composition`, `origin` (how the recipe was named and
    changed), `content` (digests of the user's files, `sharpen.run.content`) and `threads` (of PyTorch on the CPU).
    """
    return manifest(recipe, setup, setup.seed) | {
        "name": recipe.name,
        "task": setup.task,
        "max_tokens": max_tokens,
        "composition": compose(recipe),
        "origin": origin or {"recipe": recipe.name, "set": []},
        "content": contents((origin or {}).get("recipe"), setup),
        "threads": torch.get_num_threads(),
    }


def recorded(run: RunDir) -> dict[str, Any]:
    """The manifest of a run, with everything in it that going on needs. Raises SharpenError."""
    found = run.manifest()
    missing = [key for key in KEYS if key not in found]
    wrong = f"lacks {', '.join(missing)}" if missing else ""
    if found.get("format") != FORMAT:
        wrong = f"has format {found.get('format')!r}, and this version of sharpen reads {FORMAT}"
    if wrong:
        raise SharpenError(
            f"{run.path / 'manifest.json'} {wrong}. Put back a copy, use the version that wrote it, or start anew with "
            "another --out."
        )
    return found


def setup_of_run(run: RunDir) -> Setup:
    """The setup that a run was started with."""
    return setup_from(recorded(run)["setup"])


def otherwise(found: Mapping[str, Any]) -> str | None:
    """What is not the same here as when the run of a manifest was begun, and what that means; None when all is."""
    now = {**versions(), "threads": torch.get_num_threads()}
    then = {**found.get("versions", now), "threads": found.get("threads", now["threads"])}
    other = [f"{name} {then.get(name)}, here {now[name]}" for name in now if then.get(name) != now[name]]
    if not other:
        return None
    more = f" `OMP_NUM_THREADS={then['threads']}` gives as many threads." if then["threads"] != now["threads"] else ""
    return (
        f"the run was begun with {'; '.join(other)}. Its numbers may differ in their last bits, and then in what is "
        f"drawn.{more}"
    )


def complete(run: RunDir) -> bool:
    """Whether nothing of a run is left to do."""
    return "after" in run.read_evaluation()["done"] and (run.policy / "config.json").exists() and run.report.exists()


def same_recipe(run: RunDir, recipe: Method) -> None:
    """Raise SharpenError unless the run was started with this very recipe, value for value."""
    changes = recipe_changes(run, recipe)
    if changes:
        raise SharpenError(
            f"The run in {run.path} was started with another recipe: {'; '.join(changes[:3])}"
            f"{' and more' * (len(changes) > 3)}. Going on would mix two methods: resume with the recipe as it was, or "
            f"start a new run with another --out (from this one's model by `--model {run.policy}` if it is finished)."
        )


def recipe_changes(run: RunDir, recipe: Method) -> list[str]:
    """In what a recipe differs from the one that a run was started with, a sentence each; citations do not count."""
    changes: list[str] = []
    _compare(recorded(run)["recipe"], json.loads(json.dumps(describe(recipe))), "", changes)
    return changes


def _compare(old: Any, new: Any, place: str, out: list[str]) -> None:
    """Every leaf in which two described recipes differ, with its place."""
    if isinstance(old, dict) and isinstance(new, dict):
        if "part" in old and "part" in new and old["part"] != new["part"]:
            out.append(f"{place or 'recipe'} was {old['part'].rpartition('.')[2]}, is {new['part'].rpartition('.')[2]}")
            return
        for key in dict.fromkeys([*old, *new]):
            if not place and key == "fields":
                a, b = ({k: v for k, v in x["fields"].items() if k not in CITATIONS} for x in (old, new))
                _compare(a, b, "recipe", out)
            elif key != "id":
                inner = place if key == "fields" else f"{place}.{key}".lstrip(".")
                _compare(old.get(key), new.get(key), inner, out)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for i, (a, b) in enumerate(zip(old, new, strict=True)):
            _compare(a, b, f"{place}[{i}]", out)
    elif old != new:
        out.append(f"{place} was {_short(old)}, is {_short(new)}")


def _short(x: Any) -> str:
    text = json.dumps(x)
    return text if len(text) <= 60 else f"{text[:57]}..."
