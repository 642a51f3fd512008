"""What a manifest alone does not decide: whose code is run.

A run's folder may come from somebody else. Its manifest says which files of Python it was made of and whether code that
comes with a model was to be run; who goes on with it, makes it again or measures it did not say so.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sharpen import userfile
from sharpen.errors import SharpenError

if TYPE_CHECKING:
    from sharpen.run.setup import Setup


def inner(task: str) -> str:
    """The task that a text names, without the confidence that is to be stated besides."""
    while task.startswith("confident:"):
        task = task.removeprefix("confident:")
    return task


def code_files(recipe: str | None, setup: Setup) -> list[str]:
    """The files of Python that recipe, task and reward are taken from, as they were given."""
    specs = (recipe or "", inner(setup.task), setup.reward)
    return [userfile.file_of(s) for s in specs if userfile.is_meant(s)]


def refuse_code(run: Path, recipe: str | None, setup: Setup, trust: bool) -> None:
    """Raise SharpenError where a run would have code run that nobody here asked for.

    That is code of a model, unless `trust_remote_code` is given again (`trust`), and a file that lies in the run's own
    folder: a user's file lies beside it, for a run begins in an empty folder.
    """
    if setup.model_setup.trust_remote_code and not trust:
        raise SharpenError(
            f"The run in {run} was made with --trust-remote-code: code that comes with the model {setup.model!r} is "
            "run by it. Its manifest alone does not decide that: give --trust-remote-code again if you trust the "
            "model."
        )
    home = run.resolve()
    inside = [f for f in code_files(recipe, setup) if _within(Path(f), home)]
    if inside:
        raise SharpenError(
            f"The run in {run} names {inside[0]}, a file of Python in its own folder, which would be run. Whoever made "
            "the folder put it there, for a run begins in an empty one: read the file, and if you trust it start a run "
            "of your own with a copy outside of the folder."
        )


def _within(path: Path, home: Path) -> bool:
    """Whether a file lies in a folder, be it as a link to elsewhere."""
    return any(p.is_relative_to(home) for p in (path.resolve(), path.parent.resolve() / path.name))
