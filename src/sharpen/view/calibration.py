"""How what was said of answers agrees with what came of them: stated confidences, and the values of a search."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import torch

from sharpen.errors import SharpenError
from sharpen.run.calibrated import measured
from sharpen.run.rollouts import files, opened, step_of
from sharpen.view.shelf import Shelved

SAID = {
    "confidence": "the confidence that the answer states",
    "self": "what the policy's probe says of the answer",
    "value": "what the search's value model thinks of the answer",
}
"""Numbers that a trace may have as a note or a reward, and what they are."""


def calibration(run: Shelved, first: int | None = None, last: int | None = None) -> dict[str, Any]:
    """Bins of what was said against the share solved, by what said it, over the judged rollouts of some iterations.

    A bin holds how many traces fall into it, the mean of what they said, and the share of them that are solved.
    """
    run.file("rollouts")
    pairs: dict[str, list[tuple[float, bool]]] = {name: [] for name in SAID}
    judged, broken = 0, []
    for path, low, high in files(run.path / "rollouts"):
        if (first is not None and high < first) or (last is not None and low > last):
            continue
        try:
            with opened(run.file(f"rollouts/{path.name}")) as file:
                there = [n for n in ("solved", "rewards", "notes") if n in file.schema_arrow.names]
                inside = [i for i in range(file.num_row_groups) if _within(step_of(file, i), first, last)]
                table = file.read_row_groups(inside, columns=there)
        except (SharpenError, pa.ArrowException, OSError) as error:
            broken.append(str(error).replace(str(run.path), run.name))
            continue
        for row in table.to_pylist():
            if row["solved"] is not None:
                judged += 1
                _collect(row, pairs)
    # a value of a search may have another range (tanh), and then it is no probability
    sure = {n: p for n, p in pairs.items() if p and all(0 <= x <= 1 for x, _ in p)}
    kinds = [{"name": n, "about": SAID[n], **_binned(p)} for n, p in sure.items()]
    return {"judged": judged, "kinds": kinds, "broken": broken}


def _within(step: int, first: int | None, last: int | None) -> bool:
    return (first is None or first <= step) and (last is None or step <= last)


def _collect(row: Mapping[str, Any], pairs: dict[str, list[tuple[float, bool]]]) -> None:
    said = {**dict(row["rewards"] or ()), **dict(row.get("notes") or ())}
    for name, mine in pairs.items():
        if (x := said.get(name)) is not None:
            mine.append((float(x), bool(row["solved"])))


def _binned(pairs: list[tuple[float, bool]]) -> dict[str, Any]:
    said, right = zip(*pairs, strict=True)
    c = measured(torch.tensor(said, dtype=torch.float64), torch.tensor(right))
    return {
        "n": c.answers,
        "accuracy": c.right,
        "said": c.confidence,
        "ece": c.ece,
        "brier": c.brier,
        "auroc": c.auroc,
        "bins": [{"n": b.size, "said": b.confidence, "solved": b.accuracy} for b in c.bars],
    }
