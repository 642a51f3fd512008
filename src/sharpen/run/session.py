"""A run from its first line to its report, and how it goes on after it was stopped."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sharpen.actor.engine.choose import ready
from sharpen.errors import SharpenError
from sharpen.evaluation import Comparison, Evaluation
from sharpen.loop import Trainer
from sharpen.parallel.group import joined
from sharpen.parallel.world import World
from sharpen.recipe import Method
from sharpen.run import checkpoint
from sharpen.run.card import run_card
from sharpen.run.diagnose import Finding
from sharpen.run.directory import RunDir
from sharpen.run.ending import Stopped, again, remembered, stoppable
from sharpen.run.frames import evaluations_frame, history_frame, rollouts_frame
from sharpen.run.measuring import Curve, Results
from sharpen.run.onlooker import Onlooker
from sharpen.run.opening import open_policy, open_task, serving
from sharpen.run.origin import complete, otherwise, same_recipe, told
from sharpen.run.own import refuse_ways_out
from sharpen.run.setup import Setup
from sharpen.run.story import Story, story
from sharpen.run.telling import findings, tell
from sharpen.run.trackers import Tracker, tracker
from sharpen.run.watching import Silent, Watcher

__all__ = ["Run", "Stopped", "train"]


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

    @property
    def story(self) -> Story:
        """Whether it learned, whether it widened or only sharpened, what it cost, and what else the report answers."""
        return story(self._pairs(), self.history, RunDir(self.path).read_timing(), self.findings)

    def to_pandas(self) -> Any:
        """The history, one row an iteration: see `sharpen.run.frames.history_frame`. SharpenError without pandas."""
        return history_frame(self.history, RunDir(self.path).read_timing())

    def rollouts_to_pandas(self, steps: Collection[int] | None = None, segments: bool = False) -> Any:
        """The kept traces, one row each: see `sharpen.run.frames.rollouts_frame`. SharpenError without pandas."""
        return rollouts_frame(self.path, steps, segments)

    def evaluation_to_pandas(self) -> Any:
        """The measures by split, time and name, with `low`, `mean` and `high`. SharpenError without pandas."""
        found: dict[tuple[str, ...], Evaluation] = {
            (split, when): e for split, times in self.evaluation.items() for when, e in times.items()
        }
        return evaluations_frame(found, ("split", "when"))

    def __repr__(self) -> str:
        return f"Run({self.recipe!r}, {len(self.history)} iterations, {str(self.path)!r})"

    def _pairs(self) -> list[Comparison]:
        return [Comparison(s, times.get("before"), times.get("after")) for s, times in self.evaluation.items()]

    def _repr_html_(self) -> str:
        where = str(self.path / "report.html")
        return run_card(
            f"{self.recipe}, {len(self.history)} iterations", self.story, self._pairs(), self.history, where
        )


def train(
    recipe: Method,
    setup: Setup,
    out: Path,
    *,
    resume: bool = False,
    watcher: Watcher | None = None,
    origin: dict[str, Any] | None = None,
    world: World | None = None,
    before: Mapping[str, Any] | None = None,
) -> Run:
    """Evaluate, train, evaluate again, and leave a run directory that tells everything.

    `origin` says how the recipe was named and changed on the command line, so that resuming finds it again. A finished
    run is not trained again: `resume=True` then gives its results.

    Under `torchrun` the processes train together (`sharpen.parallel`), the main one writes, and each gives back the
    same; `world` is theirs where the caller has joined them already. `before` are the measures before training, where
    the caller knows them: what `evaluation.json` of another run holds that began with the same model.

    Raises SharpenError for whatever a user can mend, and Stopped after Ctrl-C; in both cases `resume=True` goes on
    from the last checkpoint as if nothing had happened.
    """
    with nullcontext(world) if world else joined() as here:
        return _train(recipe, setup, out, resume, (watcher if here.main else None) or Silent(), origin, here, before)


def _train(
    recipe: Method,
    setup: Setup,
    out: Path,
    resume: bool,
    watcher: Watcher,
    origin: dict[str, Any] | None,
    world: World,
    before: Mapping[str, Any] | None,
) -> Run:
    if resume:
        there = RunDir.open(out)
        refuse_ways_out(there.path)
        same_recipe(there, recipe)
        if complete(there):
            watcher.message(f"The run in {out} is finished; nothing was trained.")
            return finished(there, recipe)
        other = otherwise(there.manifest())
        if other:
            watcher.message(f"Warning: {other}")
    elif world.main:
        RunDir.vacant(out)
    trackers = [tracker(name, out) for name in setup.trackers if world.main]
    task = open_task(setup)
    if world.size > 1 and setup.engine != "local":
        raise SharpenError(
            f"`--engine {setup.engine}` serves one process, and this run has {world.size}. Leave the option out: each "
            "process draws its share by itself. Or start the run without `torchrun`."
        )
    policy = world.first(lambda: open_policy(setup, task, watcher))
    ready(setup.engine, policy)
    policy = world.spread(policy)
    trainer = Trainer(
        recipe,
        task,
        policy,
        seed=setup.seed,
        micro_tokens=setup.micro_tokens,
        ahead=setup.ahead,
        budget=setup.spend(),
    )

    def folder() -> RunDir:
        if not world.main:
            return Onlooker.open(out)
        return RunDir.open(out) if resume else RunDir.create(out, told(recipe, setup, origin, policy.max_tokens))

    run = world.first(folder)
    with run.lock(), remembered(run, recipe), world.together(), serving(policy, setup, run.path, watcher):
        results = Results(run)
        if before is not None and not results.has("before"):
            results.take("before", before)
        if not results.has("before"):
            results.add("before", trainer, setup, watcher)
        last = world.first(run.newest) if resume else None
        if last is not None:
            restored(trainer, run, *last)
        run.rewind(trainer.ctx.step)
        iterate(trainer, run, setup, watcher, trackers)
        if not results.has("after"):
            results.add("after", trainer, setup, watcher)
        if run.writes:
            run.report.unlink(missing_ok=True)  # one of an earlier end: by the last one a finished run is known
        for name, actor in trainer.trained().items():
            run.put_actor(name, actor.export)
        run.put_policy(policy.export)
        if run.writes:
            tell(run, findings(run, recipe))
        return world.first(lambda: finished(run, recipe))


def restored(trainer: Trainer, run: RunDir, step: int, state: Any) -> None:
    """Go on from a checkpoint. One whose digests are right, and which is not of this run all the same, is refused."""
    try:
        if type(state["step"]) is not int or state["step"] != step:
            raise ValueError(f"its state is of iteration {state['step']!r:.30}, so it is a copy of another")
        trainer.load(state)
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        if isinstance(error, RuntimeError) and (
            trainer.ctx.world.size > 1 or type(error).__name__ == "OutOfMemoryError"
        ):
            raise  # no room for it, or another process that ended, says nothing of the checkpoint
        wrong = f"its content is not that of this run ({type(error).__name__}: {' '.join(str(error).split())[:200]})"
        raise checkpoint.refused(run.checkpoints / f"{step:06d}", wrong, run.identity()) from error


def iterate(trainer: Trainer, run: RunDir, setup: Setup, watcher: Watcher, trackers: Sequence[Tracker] = ()) -> None:
    """The iterations that are left, each recorded.

    A checkpoint every so often, at the end, and when Ctrl-C asks to stop.
    """
    curve = Curve(run, trainer, setup)
    curve.begin()
    if trainer.done:
        return
    goal = f" for {trainer.meter.budget.text()}" if trainer.meter else ""
    begun: list[Tracker] = []
    try:
        for t in trackers:
            t.start(run.manifest())
            begun.append(t)
        watcher.phase(
            f"training with {trainer.method.name}{goal}", round(trainer.amount), int(trainer.spent), "iterations"
        )
        with stoppable(watcher) as stopping:
            while not trainer.done:
                start, before, spent = time.perf_counter(), trainer.ctx.cost.generated_tokens, trainer.spent
                done = trainer.step()
                seconds = time.perf_counter() - start
                speed = (trainer.ctx.cost.generated_tokens - before) / max(seconds, 1e-9)
                run.append_metrics(done.step, done.metrics, done.cost)
                timing = {"seconds": seconds, "tokens_per_second": speed, "collecting": trainer.collecting}
                if trainer.ahead:
                    timing["waited"] = trainer.ahead.waited
                run.append_timing(done.step, timing)
                if setup.rollout_groups and done.step % setup.rollouts_every == 0:
                    run.append_rollouts(done.step, done.groups[: setup.rollout_groups])
                for t in begun:
                    t.log(done.step, done.metrics)
                curve.add(spent)
                watcher.update(int(trainer.spent), done.metrics, speed)
                stop = any(trainer.ctx.world.gather(stopping()))
                if trainer.ctx.step % setup.checkpoint_every == 0 or trainer.done or stop:
                    run.save(trainer.ctx.step, trainer.state())
                if stop:
                    trainer.ctx.world.gather(None)  # the checkpoint is written when any process says so
                    raise Stopped(
                        f"Stopped after iteration {trainer.ctx.step} {_of(trainer)}; nothing is lost. {again(run)}"
                    )
    finally:
        trainer.rest()
        for t in begun:
            t.end()


def _of(trainer: Trainer) -> str:
    if trainer.meter is None:
        return f"of {trainer.total}"
    budget = trainer.meter.budget
    return f"({budget.text(trainer.spent)} of {budget.amount:,.0f})"


def finished(run: RunDir, recipe: Method) -> Run:
    """Read a run directory back."""
    data = run.read_evaluation()
    evaluation = {
        split: {when: Evaluation.from_plain(e) for when, e in times.items()} for split, times in data["splits"].items()
    }
    return Run(run.path, run.manifest()["name"], run.read_metrics(), evaluation, data["samples"], findings(run, recipe))
