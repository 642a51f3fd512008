"""Making a study: the base once a task, then all runs in processes, and what came out of those that are finished."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from sharpen.errors import SharpenError
from sharpen.evaluation import percent
from sharpen.machine import cores
from sharpen.processes import Failed, Pool, can_be_handed
from sharpen.run.directory import RunDir
from sharpen.run.ending import Stopped
from sharpen.run.files import held, replace, writing
from sharpen.run.lines import valid
from sharpen.run.manifest import describe
from sharpen.run.measuring import main_split
from sharpen.run.naming import task_name
from sharpen.run.opening import open_task
from sharpen.run.watching import Silent, Watcher
from sharpen.study.base import Job, Study
from sharpen.study.gather import Found, gather
from sharpen.study.jobs import base, begun, finished, work


def run(study: Study, out: Path, *, jobs: int = 0, watcher: Watcher | None = None) -> tuple[Found, dict[str, str]]:
    """Make what is left of a study in `out`; what was found, and the errors of runs that failed, by their texts.

    Runs lie in `out/runs/RECIPE-TASK-seedN`. One that is finished is not made again, one that was cut goes on from its
    checkpoint, and one that failed is tried again. `jobs` processes run at once, of one thread each (0: one a core, or
    one in all where the model is on an accelerator), so their number changes no figure. `watcher` sees the base being
    made, and is told of each run that has ended. Raises SharpenError for what the caller can mend, Stopped after Ctrl-C
    or SIGTERM: then each run has kept its last checkpoint.
    """
    for task in study.tasks:
        open_task(study.setup_of(task))
    todo = study.jobs(out)
    can_be_handed(todo, "A recipe of the study")
    busy = f"Another process is making a study in {out}. Wait until it has ended, or choose another folder with --out."
    with held(out, "the study", busy), interruptible():
        for job in todo:
            begun(job)
        pool: Pool[Job] = Pool(jobs or at_once(study.setup.model_setup.device))
        left = todo
        try:
            bases = {task: _base(study, task, out, pool, watcher or Silent()) for task in study.tasks}
            left = [job for job in todo if not finished(job)]
            errors = _make(left, len(todo), bases, pool, watcher or Silent())
        except KeyboardInterrupt as error:
            pool.close()
            done = sum(map(finished, todo))
            raise Stopped(
                f"Stopped; {done} of {len(todo)} runs are finished in {out}. The same command goes on."
            ) from error
        finally:
            pool.close()
        return gather(study, [job for job in todo if finished(job)], bases), errors


def _make(
    left: list[Job], total: int, bases: Mapping[str, Mapping[str, Any]], pool: Pool[Job], watcher: Watcher
) -> dict[str, str]:
    errors = {}
    for k, (job, said) in enumerate(pool.results(partial(work, bases), left), start=total - len(left) + 1):
        error = said.text if isinstance(said, Failed) else ""
        if error:
            errors[job.text] = error
        watcher.message(f"{k}/{total} {job.text}: {error or _ended(job)}")
    return errors


def _ended(job: Job) -> str:
    """How a run ended: `accuracy 61.5 %`."""
    data = RunDir.open(job.folder).read_evaluation()
    split = main_split(open_task(job.setup))
    return f"accuracy {percent(data['splits'][split]['after']['accuracy'][1])}"


def _base(study: Study, task: str, out: Path, pool: Pool[Job], watcher: Watcher) -> dict[str, Any]:
    """The measures of the untrained model on a task; kept in `out/base`, and taken anew when it is another model."""
    setup = study.setup_of(task)
    kept = out / "base" / f"{task_name(task)}.json"
    # of the setup, what the measures depend on
    plain = describe(setup)["fields"]
    names = ("task", "task_options", "model", "model_setup", "reward", "eval_problems", "eval_samples")
    made_of = json.loads(json.dumps({n: plain[n] for n in names}))
    if kept.exists():
        known = json.loads(kept.read_bytes())
        if known["of"] == made_of:
            there: dict[str, Any] = known["evaluation"]
            return there
    said = pool.alone(partial(base, setup), lambda event: getattr(watcher, event[0])(*event[1:]))
    if isinstance(said, Failed):
        raise SharpenError(f"The untrained model could not be measured on {task!r}: {said.text}")
    found: dict[str, Any] = json.loads(json.dumps(valid(said)))
    with writing("the measures of the base", out):
        kept.parent.mkdir(exist_ok=True)
        replace(kept, json.dumps({"of": made_of, "evaluation": found}, indent=1, allow_nan=False).encode())
    return found


def at_once(device: str) -> int:
    """How many runs at a time: one a core this process may use; one where the model is not on the CPU."""
    seen = torch.cuda.is_available() or torch.backends.mps.is_available()
    if device not in ("cpu", "auto") or (device == "auto" and seen):
        return 1
    return cores()


@contextmanager
def interruptible() -> Iterator[None]:
    """Within, SIGTERM is what Ctrl-C is."""

    def interrupt(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # only that one may handle signals
        yield
        return
    old = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, old)
