"""Whole traces and groups of them, read from one row group of one file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sharpen.errors import SharpenError
from sharpen.run.rollouts import opened, plain
from sharpen.view.columns import Index, Indexes
from sharpen.view.shelf import Shelved, Unknown
from sharpen.view.texts import Decode, decoder, pieces

TRACES_MOST = 256
"""Traces of a group that are sent at once."""


def group(run: Shelved, indexes: Indexes, step: int, number: int, trace: int | None = None) -> list[dict[str, Any]]:
    """The traces of a group as rows of Parquet, or one of them. Raises Unknown."""
    index = indexes.of(run)
    rows = index.find(step, number, trace)[:TRACES_MOST]
    if not len(rows):
        raise Unknown(
            f"The run {run.name} has no such rollout (iteration {step}, group {number}"
            f"{'' if trace is None else f', trace {trace}'}). It may have been cut off by a resumption: go back to the "
            "list of rollouts."
        )
    return read(index, rows)


def read(index: Index, rows: NDArray[np.intp]) -> list[dict[str, Any]]:
    """Rows of one iteration, whole."""
    c, first = index.columns, rows[0]
    path = index.paths[int(c.file[first])]
    same = rows[(c.file[rows] == c.file[first]) & (c.rowgroup[rows] == c.rowgroup[first])]
    with opened(path) as file:
        try:
            table = file.read_row_group(int(c.rowgroup[first]))
        except (pa.ArrowException, OSError) as error:
            raise SharpenError(
                f"{path.name} is damaged ({str(error).splitlines()[0]}), so the rollout cannot be shown. Training does "
                "not read it: move it away."
            ) from error
    return [plain(table.slice(int(c.row[i]), 1).to_pylist()[0]) for i in same]


def shown(run: Shelved, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Traces for the page: each token with its text where the run has a tokenizer, and columns derived from others."""
    decode = decoder(run)
    return [{**row, "segments": [_segment(s, decode) for s in row["segments"]]} for row in rows]


def _segment(segment: Mapping[str, Any], decode: Decode | None) -> dict[str, Any]:
    cols = dict(segment["cols"])
    if segment["logp"] is not None:
        cols["logp"] = segment["logp"]
    if "logp_old" in cols and "logp_ref" in cols:
        cols["ratio"] = [_ratio(a, b) for a, b in zip(cols["logp_old"], cols["logp_ref"], strict=True)]
    out = {k: v for k, v in segment.items() if k not in ("cols", "logp")}
    tokens = segment["tokens"]
    texts = pieces(tokens, decode) if tokens and cols and decode is not None else None
    return {**out, "tokens": tokens if cols else None, "cols": cols, "pieces": texts}


def _ratio(a: float | None, b: float | None) -> float:
    """exp(a - b): how much likelier the policy finds the token than the reference does."""
    if a is None or b is None:
        return math.nan
    return math.exp(min(700.0, a - b))
