"""A run that is made again from its manifest: the same recipe, task, model, seed and options."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sharpen import userfile
from sharpen.cli.options import find_recipe
from sharpen.errors import SharpenError
from sharpen.overrides import override
from sharpen.recipe import Method
from sharpen.run.content import changed
from sharpen.run.directory import RunDir
from sharpen.run.foreign import refuse_code
from sharpen.run.manifest import rebuild
from sharpen.run.origin import otherwise, recipe_changes, recorded
from sharpen.run.setup import Setup, setup_from


@dataclass(frozen=True)
class Repeat:
    """What a run is made of, taken from its manifest; and `warnings` of what may make its bits differ."""

    recipe: Method
    setup: Setup
    origin: dict[str, Any]
    warnings: tuple[str, ...]


def repeated(path: Path, trust: bool = False) -> Repeat:
    """What makes the run in `path` again, to the bit where versions and machine are the same.

    Raises SharpenError where the recipe or a file of the user's is not what it was: the run would be another one; and
    where it would run code that came with it or, without `trust`, with its model (`sharpen.run.foreign`).
    A built-in recipe that has changed since is taken as the manifest has it.
    """
    run = RunDir.open(path)
    manifest = recorded(run)
    wrong = changed(manifest.get("content", {}))
    if wrong:
        raise SharpenError(
            f"The run in {path} cannot be made again: {'; '.join(wrong)} (their SHA-256 when it was made stand under "
            "`content` in its manifest.json). Put back what was there, and start in the same folder as then; or start "
            "a run of your own, without --from."
        )
    setup = replace(setup_from(manifest["setup"]), trackers=())
    origin = manifest["origin"]
    name = origin["recipe"]
    refuse_code(path, name, setup, trust)
    recipe = override(find_recipe(name), origin["set"]) if name else rebuild(manifest["recipe"])
    warnings = _warnings(manifest)
    changes = recipe_changes(run, recipe)
    if changes and userfile.is_meant(name or ""):
        raise SharpenError(
            f"The run in {path} cannot be made again: the recipe {name} is not what it was ({'; '.join(changes[:3])}). "
            "Put it back as it was, or start a run of your own, without --from."
        )
    if changes:
        recipe, origin = rebuild(manifest["recipe"]), {"recipe": None, "set": []}
        warnings.append(f"the recipe {name!r} has changed since ({'; '.join(changes[:3])}); it is taken as it was.")
    return Repeat(recipe, setup, origin, tuple(warnings))


def _warnings(manifest: dict[str, Any]) -> list[str]:
    """What is not the same here as when a run was made, a line each."""
    out = []
    other = otherwise(manifest)
    if other:
        out.append(other)
    budget = setup_from(manifest["setup"]).spend()
    if budget and budget.kind == "seconds":
        out.append("the run's budget is seconds, and how much is done in them is not the same each time.")
    if "content" not in manifest:
        out.append("the run's manifest does not say what files held, so that they are the same is taken on trust.")
    return out
