"""A run from its first line to its report, and how it goes on after it was stopped."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from sharpen.evaluate import evaluate
from sharpen.evaluation import Evaluation
from sharpen.loop import Trainer
from sharpen.recipe import Recipe
from sharpen.recipes import all_recipes
from sharpen.run import files
from sharpen.run.compose import compose
from sharpen.run.diagnose import Finding
from sharpen.run.directory import RunDir
from sharpen.run.manifest import manifest
from sharpen.run.setup import Setup, Silent, Watcher, open_policy, open_task
from sharpen.run.telling import evaluation_of, findings, tell
from sharpen.run.trackers import Tracker, tracker
from sharpen.types import Trace


class Stopped(Exception):  # noqa: N818 - it is no error
    """Ctrl-C: the run stopped after a whole iteration, with a checkpoint."""


@dataclass(frozen=True)
class Run:
    """A finished run: where it lies and what was measured.

    `evaluation[split]["before" | "after"]` are the measures; `samples` shows the same problems before and after.
    """

    path: Path
    recipe: str
    history: list[dict[str, Any]]
    evaluation: dict[str, dict[str, Evaluation]]
    samples: list[dict[str, Any]]
    findings: list[Finding]


def train(
    recipe: Recipe,
    setup: Setup,
    out: Path,
    *,
    resume: bool = False,
    watcher: Watcher | None = None,
    origin: dict[str, Any] | None = None,
) -> Run:
    """Evaluate, train, evaluate again, and leave a run directory that tells everything.

    `origin` says how the recipe was named and changed on the command line, so that resuming finds it again.

    Raises SharpenError for whatever a user can mend, and Stopped after Ctrl-C; in both cases `resume=True` goes on
    from the last checkpoint as if nothing had happened.
    """
    watcher = watcher or Silent()
    task = open_task(setup)
    policy = open_policy(setup, task, watcher)
    trainer = Trainer(recipe, task, policy, seed=setup.seed, micro_tokens=setup.micro_tokens)
    run = RunDir.open(out) if resume else RunDir.create(out, told(recipe, setup, origin))
    with run.lock():
        results = Results(run.evaluation)
        if not results.has("before"):
            results.add("before", trainer, setup, watcher)
        last = run.newest() if resume else None
        if last is not None:
            trainer.load(last[1])
        run.rewind(trainer.ctx.step)
        iterate(trainer, run, setup, watcher)
        if not results.has("after"):
            results.add("after", trainer, setup, watcher)
        policy.export(run.policy)
        found = findings(run, all_recipes())
        tell(run, found)
        return finished(run, found)


def told(recipe: Recipe, setup: Setup, origin: dict[str, Any] | None) -> dict[str, Any]:
    """What it takes to understand the run, and to make it again."""
    return manifest(recipe, setup, setup.seed) | {
        "name": recipe.name,
        "task": setup.task,
        "max_tokens": setup.model_setup.max_tokens,
        "composition": compose(recipe),
        "origin": origin or {"recipe": recipe.name, "set": []},
    }


def iterate(trainer: Trainer, run: RunDir, setup: Setup, watcher: Watcher) -> None:
    """The iterations that are left, each recorded.

    A checkpoint every so often, at the end, and when Ctrl-C asks to stop.
    """
    total = trainer.recipe.loop.iterations
    trackers: list[Tracker] = [tracker(name, run.path) for name in setup.trackers]
    for t in trackers:
        t.start(run.manifest())
    watcher.phase(f"training with {trainer.recipe.name}", total)
    with stoppable(watcher) as stopping:
        while not trainer.done:
            start, before = time.perf_counter(), trainer.ctx.cost.generated_tokens
            done = trainer.step()
            seconds = time.perf_counter() - start
            speed = (trainer.ctx.cost.generated_tokens - before) / max(seconds, 1e-9)
            run.append_metrics(done.step, done.metrics, done.cost)
            run.append_timing(done.step, {"seconds": seconds, "tokens_per_second": speed})
            if setup.rollout_groups and done.step % setup.rollouts_every == 0:
                run.append_rollouts(done.step, done.groups[: setup.rollout_groups])
            for t in trackers:
                t.log(done.step, done.metrics)
            watcher.update(done.step + 1, done.metrics, speed)
            if trainer.ctx.step % setup.checkpoint_every == 0 or trainer.done or stopping():
                run.save(trainer.ctx.step, trainer.state())
            if stopping() and not trainer.done:
                raise Stopped(
                    f"Stopped after iteration {trainer.ctx.step} of {total}; nothing is lost. Go on with the same "
                    "command and "
                    f"`--resume --out {run.path}`."
                )
    for t in trackers:
        t.end()


@contextmanager
def stoppable(watcher: Watcher) -> Iterator[Callable[[], bool]]:
    """Within, the first Ctrl-C asks the loop to stop after its iteration; a second one ends it at once."""
    asked = False

    def ask(signum: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        watcher.message("Stopping after this iteration, to keep it. Press Ctrl-C again to stop at once.")

    main = threading.current_thread() is threading.main_thread()
    old = signal.signal(signal.SIGINT, ask) if main else None
    try:
        yield lambda: asked
    finally:
        if main:
            signal.signal(signal.SIGINT, old)


class Results:
    """The measures before and after, kept as soon as they are known."""

    SHOWN = 6

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"splits": {}, "samples": []}

    def has(self, when: str) -> bool:
        """Whether the measures of that time are there."""
        return when in self.data.get("done", [])

    def add(self, when: str, trainer: Trainer, setup: Setup, watcher: Watcher) -> None:
        """Measure the policy on every split but the trained one, and keep what it said on a few problems."""
        task = trainer.ctx.task
        splits = [s for s in task.splits if s != "train"] or list(task.splits)
        if setup.eval_problems:
            watcher.phase(f"measuring the model {when} training", len(splits))
            for i, split in enumerate(splits):
                result, traces = evaluate(
                    trainer.ctx.actors["policy"],
                    task,
                    split,
                    problems=setup.eval_problems,
                    samples=setup.eval_samples,
                    ks=tuple(k for k in (1, 4, 16) if k <= setup.eval_samples),
                )
                self.data["splits"].setdefault(split, {})[when] = result.to_plain()
                self._show(when, split, traces)
                watcher.update(i + 1, {"accuracy": result.accuracy.mean})
        self.data["done"] = [*self.data.get("done", []), when]
        files.replace(self.path, json.dumps(self.data, indent=1).encode())

    def _show(self, when: str, split: str, traces: list[list[Trace]]) -> None:
        known = {(s["split"], s["key"]): s for s in self.data["samples"]}
        for greedy, *_ in traces[: self.SHOWN]:
            p = greedy.problem
            sample = known.get((split, p.key))
            if sample is None:
                prompt = p.prompt if isinstance(p.prompt, str) else "\n".join(m["content"] for m in p.prompt)
                sample = {"split": split, "key": p.key, "problem": prompt, "answer": str(p.answer)}
                self.data["samples"].append(sample)
            sample[when] = {"text": greedy.text, "solved": bool(greedy.solved)}


def finished(run: RunDir, found: list[Finding]) -> Run:
    """Read a run directory back."""
    data = evaluation_of(run.path)
    evaluation = {
        split: {when: Evaluation.from_plain(e) for when, e in times.items()} for split, times in data["splits"].items()
    }
    return Run(run.path, run.manifest()["name"], run.read_metrics(), evaluation, data["samples"], found)
