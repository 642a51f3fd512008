"""A run and its measures as tables of pandas, which is imported when one is asked for."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from sharpen.errors import SharpenError
from sharpen.evaluation import Evaluation
from sharpen.run.rollouts import read_rollouts
from sharpen.run.schema import SCHEMA

FIGURES = "`run.history`, `run.evaluation`, and `sharpen.run.rollouts.read_rollouts(run.path)`"
"""Where a run's figures are without pandas."""


def pandas(figures: str = FIGURES) -> Any:
    """The package, or what to do where it is missing; `figures` says where the same ones are without it."""
    try:
        import pandas
    except ImportError as error:
        raise SharpenError(
            "A table of pandas was asked for, and pandas is not installed. Install it with `pip install "
            f"'sharpen[notebook]'`, or read the same figures without it: {figures}."
        ) from error
    return pandas


def history_frame(history: Sequence[Mapping[str, Any]], timing: Sequence[Mapping[str, Any]] = ()) -> Any:
    """One row an iteration, by `step`: metrics by their names, costs since the start as `cost/NAME`, seconds as
    `timing/NAME`. What an iteration did not record is missing (NaN).
    """
    clock = {t["step"]: {f"timing/{k}": v for k, v in t.items() if k != "step"} for t in timing}
    rows = [
        {**e["metrics"], **{f"cost/{k}": v for k, v in e["cost"].items()}, **clock.get(e["step"], {})} for e in history
    ]
    pd = pandas()
    return pd.DataFrame(rows, index=pd.Index([e["step"] for e in history], name="step", dtype="int64"))


def rollouts_frame(path: Path, steps: Collection[int] | None = None, segments: bool = False) -> Any:
    """One row a trace: the columns of the rollouts, the named rewards as `reward/NAME`; `segments` only if asked for.

    `steps` are the iterations wanted (all that were kept by default).
    """
    pd = pandas()
    columns = [n for n in SCHEMA.names if segments or n != "segments"]
    rows = []
    for row in read_rollouts(path, steps=steps, columns=columns):
        rewards = row.pop("rewards")
        rows.append(row | {f"reward/{name}": value for name, value in rewards.items()})
    return pd.DataFrame(rows, columns=None if rows else [n for n in columns if n != "rewards"])


def evaluation_frame(e: Evaluation) -> Any:
    """One row a measure, by its name: `low`, `mean`, `high`."""
    pd = pandas()
    measures = e.measures()
    index = pd.Index(list(measures), name="measure")
    return pd.DataFrame([list(x) for x in measures.values()], columns=["low", "mean", "high"], index=index)


def evaluations_frame(found: Mapping[tuple[str, ...], Evaluation], names: Sequence[str]) -> Any:
    """The same of several, each by what tells it from the others (its split, say); `names` says what that is."""
    pd = pandas()
    keys = [(*key, m) for key, e in found.items() for m in e.measures()]
    rows = [list(x) for e in found.values() for x in e.measures().values()]
    index = pd.MultiIndex.from_tuples(keys, names=[*names, "measure"]) if keys else None
    return pd.DataFrame(rows, columns=["low", "mean", "high"], index=index)
