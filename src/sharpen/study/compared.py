"""The results of a study as an object, and as the files it leaves."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sharpen.run.files import replace, writing
from sharpen.run.frames import pandas
from sharpen.run.watching import Silent, Watcher
from sharpen.study.base import Study
from sharpen.study.page import page, tables
from sharpen.study.pictures import NoPictures, draw
from sharpen.study.runner import run
from sharpen.study.summary import summary
from sharpen.study.tables import as_csv


@dataclass(frozen=True)
class Compared:
    """A study that was made: where it lies, and `results`, which is what results.json holds.

    A notebook shows its tables.
    """

    path: Path
    results: Mapping[str, Any]

    def to_pandas(self) -> Any:
        """A frame of the ends: one row a recipe, task and seed (and one a task for `base`)."""
        return _frame(self.results["finals"])

    def curves_to_pandas(self) -> Any:
        """A frame of the curves: one row a recipe, task, seed and point."""
        return _frame(self.results["points"])

    def _repr_html_(self) -> str:
        return tables(self.results).text


def _frame(rows: Sequence[Mapping[str, Any]]) -> Any:
    return pandas("the rows of `.results`").DataFrame(rows)


def compared(study: Study, out: Path, *, jobs: int = 0, watcher: Watcher | None = None) -> Compared:
    """Make a study (what is left of it) and leave results.json, results.csv, report.html and pictures in `out`.

    Without matplotlib there are no pictures, and the watcher is told how to get them.
    """
    found, errors = run(study, out, jobs=jobs, watcher=watcher)
    told = summary(found, errors)
    with writing("the results", out):
        replace(out / "results.json", json.dumps(told, indent=1, allow_nan=False).encode() + b"\n")
        replace(out / "results.csv", as_csv(told["finals"]).encode())
        replace(out / "report.html", page(told).encode())
    try:
        draw(told, out)
    except NoPictures as error:
        (watcher or Silent()).message(str(error))
    return Compared(out, told)
