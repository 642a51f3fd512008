"""What the processes of a study do: measure a model that nobody has trained, and make a run."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sharpen.errors import SharpenError
from sharpen.run import session
from sharpen.run.directory import RunDir
from sharpen.run.measuring import Results
from sharpen.run.opening import open_policy, open_task
from sharpen.run.origin import complete, same_recipe, setup_of_run
from sharpen.run.setup import HOW, Setup
from sharpen.run.watching import Shows
from sharpen.study.base import Job


@dataclass(frozen=True)
class Relay:
    """A watcher that hands on whatever it is told."""

    say: Callable[[Any], None]

    def message(self, text: str) -> None:
        """A paragraph."""
        self.say(("message", text))

    def phase(self, title: str, total: int, start: int = 0, shows: Shows = "loss") -> None:
        """Something begins."""
        self.say(("phase", title, total, start, shows))

    def update(self, step: int, metrics: Mapping[str, float], tokens_per_second: float = 0.0) -> None:
        """A step of it is done."""
        self.say(("update", step, dict(metrics), tokens_per_second))


def base(setup: Setup, say: Callable[[Any], None]) -> dict[str, Any]:
    """The measures of the model before any training, as a run's `evaluation.json` has them; the model is made first
    where it must be.
    """
    watcher = Relay(say)
    task = open_task(setup)
    policy = open_policy(setup, task, watcher)
    with tempfile.TemporaryDirectory(prefix="sharpen-base-") as folder:
        results = Results(RunDir(Path(folder)))
        results.measure("before", policy, task, setup, watcher)
        return results.data


def begun(job: Job) -> bool:
    """Whether the run is there. SharpenError for one of another recipe, or that was given something else."""
    if not (job.folder / "manifest.json").exists():
        return False
    run = RunDir.open(job.folder)
    same_recipe(run, job.entry.method)
    new = job.setup
    old = replace(setup_of_run(run), **{name: getattr(new, name) for name in HOW})
    if old != new:
        names = [n for n in vars(new) if getattr(old, n) != getattr(new, n)]
        was = ", ".join(f"{n} was {getattr(old, n)!r}, is {getattr(new, n)!r}" for n in names[:3])
        raise SharpenError(
            f"The run in {job.folder} is of another study ({was}). Runs that were given different things cannot be "
            "compared: give the study a folder of its own with --out."
        )
    return True


def finished(job: Job) -> bool:
    """Whether nothing of the run is left to do."""
    return (job.folder / "manifest.json").exists() and complete(RunDir.open(job.folder))


def work(before: Mapping[str, Mapping[str, Any]], job: Job) -> None:
    """Make a run, or go on with it; `before` are the measures of each task's untrained model."""
    entry = job.entry
    origin = {"recipe": entry.given if isinstance(entry.given, str) else None, "set": list(entry.set)}
    session.train(
        entry.method,
        job.setup,
        job.folder,
        resume=begun(job),
        origin=origin,
        before=before[job.setup.task],
    )
