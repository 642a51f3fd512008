"""What a study says: everything that `results.json` holds, as plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch

from sharpen.run.lines import valid
from sharpen.study.base import BASE
from sharpen.study.gather import Final, Found, scores
from sharpen.study.statistics import (
    Reached,
    band,
    cost_to_reach,
    difference,
    interval,
    median_cost,
    normalised,
    sign,
    stratified_iqm,
)

FORMAT = 1
"""Version of the layout of results.json."""

COSTS = ("generated_tokens", "trained_tokens", "updates", "verifier_calls")
"""What is told of the cost of a run."""

PLACES = 41
"""Places at which the curves of several seeds are averaged."""


def summary(found: Found, errors: Mapping[str, str]) -> dict[str, Any]:
    """The results of a study: what it was, each task, all tasks together, every run and every point of its curve.

    Only `seconds` differ when the same study is made again (and whatever is counted in them).
    """
    s = found.study
    out = {
        "format": FORMAT,
        "study": {
            "recipes": [{"name": e.name, "set": list(e.set)} for e in s.entries],
            "tasks": list(s.tasks),
            "seeds": s.seeds,
            "budget": {"text": s.budget, "words": s.spend().text(), **asdict(s.spend())},
            "model": s.setup.model,
            "splits": dict(found.splits),
            "problems": {task: len(base.scores["accuracy"]) for task, base in found.bases.items()},
            "samples": s.setup.eval_samples,
            "curve": {"problems": s.setup.measure_problems, "samples": s.setup.measure_samples},
            "random": s.random,
        },
        "tasks": {task: _task(found, task) for task in s.tasks},
        "errors": dict(errors),
        "finals": [_row(f, found) for f in [*found.bases.values(), *found.finals]],
        "points": [p for f in found.finals for p in _points(f)],
        "seconds": {f"{f.recipe} on {f.task}, seed {f.seed}": round(f.seconds, 3) for f in found.finals},
    }
    out["across"] = _across(found, out["tasks"])  # type: ignore[arg-type]
    told: dict[str, Any] = valid(out)
    return told


def _task(found: Found, task: str) -> dict[str, Any]:
    arms = {e.name: found.of(e.name, task) for e in found.study.entries}
    arms = {name: runs for name, runs in arms.items() if runs}
    base, measures = found.bases[task], found.measures(task)
    goal = _target(found, arms)
    best = sorted(arms, key=lambda name: -_mean([f.mean("accuracy") for f in arms[name]]))
    bands = {name: band([f.points() for f in runs], PLACES) for name, runs in arms.items()}
    return {
        "measures": measures,
        "base": {m: _interval(found, [base], m) for m in measures} | {"length": base.length},
        "recipes": {
            name: {
                "seeds": [f.seed for f in runs],
                **{m: _interval(found, runs, m) for m in measures},
                "length": _mean([f.length for f in runs]),
                "iterations": _mean([f.iterations for f in runs]),
                "spent": _mean([f.spent for f in runs]),
                **{n: _mean([f.cost.get(n, 0) for f in runs]) for n in COSTS},
                "to_target": _reached(runs, goal)._asdict() if goal is not None else None,
            }
            for name, runs in arms.items()
        },
        "pairs": [_pair(found, arms, base, a, b, m) for a, b in _pairs([*best, BASE]) for m in measures],
        "target": goal,
        "curves": {name: b._asdict() for name, b in bands.items()},
    }


def _pairs(names: Sequence[str]) -> list[tuple[str, str]]:
    return [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]


def _gen(found: Found) -> torch.Generator:
    """The same numbers for each interval, so that none depends on what else is in the study."""
    return torch.Generator().manual_seed(found.study.random)


def _interval(found: Found, runs: Sequence[Final], measure: str) -> list[float]:
    return list(interval(scores(runs, measure), _gen(found)))


def _pair(
    found: Found, arms: Mapping[str, Sequence[Final]], base: Final, a: str, b: str, measure: str
) -> dict[str, Any]:
    """Two recipes by the seeds that both have; the base is the same at each seed."""
    one = {f.seed: f for f in arms[a]}
    two = dict.fromkeys(one, base) if b == BASE else {f.seed: f for f in arms[b]}
    both = sorted(one.keys() & two.keys())
    out: dict[str, Any] = {"a": a, "b": b, "measure": measure, "seeds": both}
    if both:
        x, y = (scores([side[s] for s in both], measure) for side in (one, two))
        out |= difference(x, y, _gen(found))._asdict()
    return out


def _target(found: Found, arms: Mapping[str, Sequence[Final]]) -> float | None:
    """The accuracy to reach: the study's, or halfway from where the curves begin to the end of the best recipe's.

    None where no recipe ends above the beginning.
    """
    if found.study.target is not None:
        return found.study.target
    starts = [f.curve[0]["accuracy"] for runs in arms.values() for f in runs]
    ends = [_mean([f.curve[-1]["accuracy"] for f in runs]) for runs in arms.values()]
    if not starts or max(ends) <= _mean(starts):
        return None
    return (_mean(starts) + max(ends)) / 2


def _reached(runs: Sequence[Final], goal: float) -> Reached:
    return median_cost([cost_to_reach(f.points(), goal) for f in runs])


def _across(found: Found, tasks: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """All tasks together, for recipes that have runs on all of them.

    `iqm` is that of (accuracy - base) / (1 - base); `best` counts the tasks where no recipe has a higher mean accuracy;
    `wins` and `losses` count pairs on tasks whose interval lies above 0, or below.
    """
    out = {}
    for name in [e.name for e in found.study.entries]:
        runs = {task: found.of(name, task) for task in found.study.tasks}
        if not all(runs.values()):
            continue
        scaled = [
            torch.tensor([normalised(f.mean("accuracy"), found.bases[task].mean("accuracy")) for f in some])
            for task, some in runs.items()
        ]
        others = [p for t in tasks.values() for p in t["pairs"] if p["measure"] == "accuracy" and p["b"] != BASE]
        signs = [sign(p, name) for p in others]
        best = sum(
            t["recipes"][name]["accuracy"][1] >= max(r["accuracy"][1] for r in t["recipes"].values()) - 1e-12
            for t in tasks.values()
        )
        out[name] = {
            "iqm": list(stratified_iqm(scaled, _gen(found))),
            "best": best,
            "wins": signs.count(1),
            "losses": signs.count(-1),
        }
    return out


def _row(f: Final, found: Found) -> dict[str, Any]:
    """A model at its end as a row of a table; None for what is measured on other tasks only."""
    every = dict.fromkeys(m for task in found.study.tasks for m in found.measures(task))
    return {
        "recipe": f.recipe,
        "task": f.task,
        "seed": f.seed,
        **{m: f.mean(m) if m in f.scores else None for m in every},
        "length": f.length,
        "iterations": f.iterations,
        "spent": f.spent,
        **{n: f.cost.get(n, 0) for n in COSTS},
    }


def _points(f: Final) -> list[dict[str, Any]]:
    """Its curve as rows of a table."""
    return [
        {
            "recipe": f.recipe,
            "task": f.task,
            "seed": f.seed,
            "step": p["step"],
            "generated_tokens": p["cost"]["generated_tokens"],
            "updates": p["cost"]["updates"],
            "spent": p["spent"],
            **{n: x for n, x in p.items() if n not in ("step", "cost", "spent", "problems")},
        }
        for p in f.curve
    ]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
