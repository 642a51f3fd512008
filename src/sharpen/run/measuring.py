"""The measures of a run before and after training, kept as soon as they are known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sharpen.evaluate import evaluate
from sharpen.loop import Trainer
from sharpen.run.directory import RunDir
from sharpen.run.samples import KINDS, kind
from sharpen.run.setup import Setup, Watcher
from sharpen.types import Trace

KS = (1, 4, 16)
"""The k of pass@k, as far as there are so many samples."""

SHOWN = 6
"""The first problems of a split, whose greedy answers are kept whatever became of them."""

CHANGED = 6
"""Of each kind, greedy answers of a split that are kept because they changed."""


class Results:
    """What `evaluation.json` of a run holds."""

    def __init__(self, run: RunDir) -> None:
        self.run = run
        self.data: dict[str, Any] = run.read_evaluation()

    def has(self, when: str) -> bool:
        """Whether the measures of that time are there."""
        return when in self.data["done"]

    def add(self, when: str, trainer: Trainer, setup: Setup, watcher: Watcher) -> None:
        """Measure the policy on every split but the trained one, and keep what it said.

        Before training that is every greedy answer, for nobody knows yet which will change; afterwards those of the
        first problems, and some of those that changed to right and to wrong.
        """
        task = trainer.ctx.task
        splits = [s for s in task.splits if s != "train"] or list(task.splits)
        if setup.eval_problems:
            watcher.phase(f"measuring the model {when} training", len(splits), 0, "accuracy")
            for i, split in enumerate(splits):
                result, traces = evaluate(
                    trainer.ctx.actors["policy"],
                    task,
                    split,
                    problems=setup.eval_problems,
                    samples=setup.eval_samples,
                    ks=tuple(k for k in KS if k <= setup.eval_samples),
                )
                self.data["splits"].setdefault(split, {})[when] = result.to_plain()
                self._show(when, split, traces)
                watcher.update(i + 1, {"accuracy": result.accuracy.mean})
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
