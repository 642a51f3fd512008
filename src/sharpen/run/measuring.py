"""The measures of a run before, while and after it trains, kept as soon as they are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sharpen.actor.base import Actor
from sharpen.evaluate import evaluate
from sharpen.evaluation import deciding
from sharpen.loop import Trainer
from sharpen.run.directory import RunDir
from sharpen.run.samples import KINDS, kind
from sharpen.run.setup import Setup
from sharpen.run.watching import Watcher
from sharpen.task.base import Task
from sharpen.types import Trace

KS = (1, 4, 16)
"""The k of pass@k, as far as there are so many samples."""

SHOWN = 6
"""The first problems of a split, whose greedy answers are kept whatever became of them."""

CHANGED = 6
"""Of each kind, greedy answers of a split that are kept because they changed."""


def held_out(task: Task) -> list[str]:
    """The splits that are measured: all but the trained one, where there are others."""
    return [s for s in task.splits if s != "train"] or list(task.splits)


def main_split(task: Task) -> str:
    """The split that decides: `test`, or the first that is held out."""
    return deciding(held_out(task))


class Results:
    """What `evaluation.json` of a run holds."""

    def __init__(self, run: RunDir) -> None:
        self.run = run
        self.data: dict[str, Any] = run.read_evaluation()

    def has(self, when: str) -> bool:
        """Whether the measures of that time are there."""
        return when in self.data["done"]

    def take(self, when: str, known: Mapping[str, Any]) -> None:
        """The measures of that time as another run has them, which began with the same model."""
        for split, times in known["splits"].items():
            self.data["splits"].setdefault(split, {})[when] = times[when]
        self.data["samples"] = [dict(s) for s in known["samples"]]
        self._done(when)

    def add(self, when: str, trainer: Trainer, setup: Setup, watcher: Watcher) -> None:
        """Measure the policy on every split but the trained one, and keep what it said.

        Before training that is every greedy answer, for nobody knows yet which will change; afterwards those of the
        first problems, and some of those that changed to right and to wrong.
        """
        self.measure(when, trainer.ctx.actors["policy"], trainer.ctx.task, setup, watcher)

    def measure(self, when: str, policy: Actor, task: Task, setup: Setup, watcher: Watcher) -> None:
        """The same of a policy that nobody trains."""
        splits = held_out(task)
        if setup.eval_problems:
            watcher.phase(f"measuring the model {when} training", len(splits), 0, "accuracy")
            for i, split in enumerate(splits):
                result, traces = evaluate(
                    policy,
                    task,
                    split,
                    problems=setup.eval_problems,
                    samples=setup.eval_samples,
                    ks=tuple(k for k in KS if k <= setup.eval_samples),
                )
                self.data["splits"].setdefault(split, {})[when] = result.to_plain()
                self._show(when, split, traces)
                watcher.update(i + 1, {"accuracy": result.accuracy.mean})
        self._done(when)

    def _done(self, when: str) -> None:
        self.data["done"] = [*self.data["done"], when]
        self.run.write_evaluation(self.data)

    def _show(self, when: str, split: str, traces: list[list[Trace]]) -> None:
        others = [s for s in self.data["samples"] if s["split"] != split]
        known = {s["key"]: s for s in self.data["samples"] if s["split"] == split}
        for i, (greedy, *_) in enumerate(traces):
            p = greedy.problem
            if p.key not in known and (when == "before" or i < SHOWN):
                prompt = p.prompt if isinstance(p.prompt, str) else "\n".join(m["content"] for m in p.prompt)
                known[p.key] = {"split": split, "key": p.key, "problem": prompt, "answer": str(p.answer)}
            if p.key in known:
                known[p.key][when] = {"text": greedy.text, "solved": bool(greedy.solved)}
        self.data["samples"] = others + (chosen(list(known.values())) if when == "after" else list(known.values()))


def chosen(samples: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first `SHOWN` samples of a split, of the rest `CHANGED` that turned right and `CHANGED` that turned wrong.

    In the order of the problems.
    """
    rest = samples[SHOWN:]
    kept = [x for name in KINDS[:2] for x in [s for s in rest if kind(s) == name][:CHANGED]]
    return [*samples[:SHOWN], *(s for s in rest if any(s is k for k in kept))]


class Curve:
    """How a run's policy does on held-out problems while it trains: `curve.jsonl`.

    The problems are the first `measure_problems` of the split that decides, the same at each point, for every recipe
    and seed. What is drawn to measure has random numbers of its own and counts into no cost, so the run is the same
    with and without.
    """

    def __init__(self, run: RunDir, trainer: Trainer, setup: Setup) -> None:
        self.run = run
        self.trainer = trainer
        self.setup = setup

    def begin(self) -> None:
        """The point before the first iteration, unless it is there."""
        t = self.trainer
        if self.setup.measure_every and not t.ctx.step and not t.ctx.world.gather(len(self.run.read_curve()))[0]:
            self._measure()

    def add(self, spent: float) -> None:
        """The point after an iteration before which so much was `spent`, where one is due."""
        t, every = self.trainer, self.setup.measure_every
        if every and (t.done or self._points(t.spent, t.ctx.step) > self._points(spent, t.ctx.step - 1)):
            self._measure()

    def _points(self, spent: float, step: int) -> int:
        every = self.setup.measure_every
        return int(spent / self.trainer.amount / every + 1e-9) if every < 1 else int(step // every)

    def _measure(self) -> None:
        t, setup = self.trainer, self.setup
        found, traces = evaluate(
            t.ctx.actors["policy"],
            t.ctx.task,
            main_split(t.ctx.task),
            problems=setup.measure_problems,
            samples=setup.measure_samples,
            ks=tuple(k for k in KS if k <= setup.measure_samples),
            greedy=False,
            seed=setup.seed,
        )
        self.run.append_curve(
            {
                "step": t.ctx.step,
                "cost": t.ctx.cost.as_dict(),
                "spent": t.spent,
                **{name: x.mean for name, x in found.measures().items()},
                "problems": [sum(bool(x.solved) for x in some) / len(some) for some in traces],
            }
        )
