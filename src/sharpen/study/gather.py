"""What the finished runs of a study hold: the last measures problem by problem, the curves, and what all that cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from sharpen.errors import SharpenError
from sharpen.outcomes import Outcomes
from sharpen.run.directory import RunDir
from sharpen.run.measuring import KS, main_split
from sharpen.run.opening import open_task
from sharpen.study.base import BASE, Job, Study


@dataclass(frozen=True)
class Final:
    """A model at its end: the scores of each problem by measure, shares from 0 to 1. Those of `accuracy`, `greedy` and
    `pass@k` are on the split that decides; the accuracy on other splits has their names (`harder`).

    `length` is the mean number of tokens of an answer, `curve` the points at which it was measured while it trained,
    `seconds` those of the clock that its iterations took.
    """

    recipe: str
    task: str
    seed: int
    scores: Mapping[str, list[float]]
    length: float
    iterations: int = 0
    spent: float = 0.0
    cost: Mapping[str, int] = field(default_factory=dict)
    curve: Sequence[Mapping[str, Any]] = ()
    seconds: float = 0.0

    def mean(self, measure: str) -> float:
        """The mean over problems."""
        return sum(self.scores[measure]) / len(self.scores[measure])

    def points(self) -> list[tuple[float, float]]:
        """Generated tokens and accuracy along the curve."""
        return [(float(p["cost"]["generated_tokens"]), p["accuracy"]) for p in self.curve]


@dataclass(frozen=True)
class Found:
    """All there is of a study: the untrained model once a task, and every run that is finished."""

    study: Study
    splits: Mapping[str, str]
    bases: Mapping[str, Final]
    finals: Sequence[Final]

    def of(self, recipe: str, task: str) -> list[Final]:
        """The runs of a recipe on a task, by seed."""
        return sorted((f for f in self.finals if (f.recipe, f.task) == (recipe, task)), key=lambda f: f.seed)

    def measures(self, task: str) -> list[str]:
        """What is measured of each model on a task, in order."""
        return list(self.bases[task].scores)


def scores(finals: Sequence[Final], measure: str) -> Tensor:
    """A row a run, a column a problem."""
    return torch.tensor([f.scores[measure] for f in finals], dtype=torch.float64)


def gather(study: Study, done: Sequence[Job], bases: Mapping[str, Mapping[str, Any]]) -> Found:
    """Read the finished runs of a study, and the measures of the untrained model by task."""
    splits = {task: main_split(open_task(study.setup_of(task))) for task in study.tasks}
    samples = study.setup.eval_samples
    starts = {
        task: Final(BASE, task, 0, *_measured(data, splits[task], "before", samples)) for task, data in bases.items()
    }
    return Found(study, splits, starts, [_final(job, splits[job.setup.task], samples) for job in done])


def _final(job: Job, split: str, samples: int) -> Final:
    run = RunDir.open(job.folder)
    data, history, curve = run.read_evaluation(), run.read_metrics(), run.read_curve()
    if not curve or "outcomes" not in data["splits"].get(split, {}).get("after", {}):
        raise SharpenError(
            f"The run in {job.folder} lacks what a study needs (its curve, or the results of single problems). Delete "
            "that folder to have it made anew."
        )
    return Final(
        job.entry.name,
        job.setup.task,
        job.setup.seed,
        *_measured(data, split, "after", samples),
        iterations=len(history),
        spent=curve[-1]["spent"],
        cost=curve[-1]["cost"],
        curve=curve,
        seconds=sum(t["seconds"] for t in run.read_timing()),
    )


def _measured(data: Mapping[str, Any], split: str, when: str, samples: int) -> tuple[dict[str, list[float]], float]:
    """The scores of each problem by measure, and the mean length of an answer."""
    told = data["splits"][split][when]
    outcomes = Outcomes.from_plain(told["outcomes"])
    names = ["accuracy", "greedy", *(f"pass@{k}" for k in KS if 1 < k <= samples)]
    out = {n: outcomes.values(n, samples) or [] for n in names}
    for other, sides in data["splits"].items():
        if other != split and "outcomes" in sides.get(when, {}):
            out[other] = Outcomes.from_plain(sides[when]["outcomes"]).values("accuracy", samples) or []
    return out, float(told.get("length", 0.0))
