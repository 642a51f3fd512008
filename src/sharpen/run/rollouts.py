"""Sampled traces in Parquet: one row a trace, with rewards, and log-probs and credit of every atom.

The columns are described in `sharpen.run.schema`.

A file `rollouts/FIRST-LAST.parquet` holds the iterations FIRST to LAST, both included, one row group an iteration. A
segment that several traces share stands in each of them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from sharpen.errors import SharpenError, near
from sharpen.run.files import TEMPORARY, sync, writing
from sharpen.run.schema import READABLE, SCHEMA, SEGMENT
from sharpen.types import Group, Problem, Segment, Trace

_NAME = re.compile(r"([0-9]{6,})-([0-9]{6,})\.parquet")


class RolloutWriter:
    """Collects the traces of some iterations in memory (as Arrow, not as traces) and writes them as one file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._tables: list[tuple[int, pa.Table]] = []
        self._last = max((last for _, _, last in files(folder)), default=-1)

    def add(self, step: int, groups: Sequence[Group]) -> None:
        """Take over the traces of an iteration as they are now. Iterations come in order, each once."""
        if step <= (self._tables[-1][0] if self._tables else self._last):
            raise ValueError(f"rollouts of iteration {step} were written already; rewind the run before it goes on")
        self._tables.append((step, table(step, groups)))

    def flush(self) -> Path | None:
        """Write what was added since the last time, whole or not at all; None when there was nothing.

        When the disk refuses, SharpenError; what was added stays in memory.
        """
        if not self._tables:
            return None
        first, last = self._tables[0][0], self._tables[-1][0]
        path = self.folder / f"{first:06d}-{last:06d}.parquet"
        with writing(f"the rollouts of iterations {first} to {last}", self.folder):
            _write(path, [t for _, t in self._tables])
        self._last = last
        self._tables.clear()
        return path


def table(step: int, groups: Sequence[Group]) -> pa.Table:
    """The rows of one iteration."""
    rows = [(g, t, group, trace) for g, group in enumerate(groups) for t, trace in enumerate(group.traces)]
    traces = [r[3] for r in rows]
    rewards = [list(t.rewards.items()) for t in traces]
    values: dict[str, Any] = {
        "step": np.full(len(rows), step, dtype=np.int32),
        "group": [r[0] for r in rows],
        "trace": [r[1] for r in rows],
        "problem": [t.problem.key for t in traces],
        "parent": [t.problem.parent for t in traces],
        "prompt": [prompt(t.problem, t) for t in traces],
        "end": [t.end for t in traces],
        "agent": [t.agent for t in traces],
        "episode": [t.episode for t in traces],
        "solved": [t.solved for t in traces],
        "reward": [t.reward for t in traces],
        "rewards": rewards,
        "length": [t.length for t in traces],
        "notes": [notes(t.info) for t in traces],
    }
    columns = [pa.array(values[f.name], f.type) for f in SCHEMA if f.name != "segments"]
    segments = _segments([s for t in traces for s in t.segments], _ids(groups))
    columns.append(pa.ListArray.from_arrays(_offsets([len(t.segments) for t in traces]), segments))
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def prompt(problem: Problem, trace: Trace) -> str:
    """What the model was asked, as text."""
    if isinstance(problem.prompt, str):
        return problem.prompt
    if isinstance(problem.prompt, (list, tuple)) and all(
        isinstance(m, dict) and "content" in m for m in problem.prompt
    ):
        return "\n".join(f"{m.get('role', 'user')}: {m['content']}" for m in problem.prompt)
    given: list[str] = []
    for s in trace.segments:
        if s.trainable:
            break
        given.append(s.text or "")
    return "".join(given)


def notes(info: Mapping[str, Any]) -> list[tuple[str, float]]:
    """The numbers among what parts left on a trace or a segment; truth values and everything else are left out."""
    return [(k, float(v)) for k, v in info.items() if isinstance(v, (int, float)) and not isinstance(v, bool)]


def _ids(groups: Sequence[Group]) -> list[int]:
    """For every segment of every trace, which of the distinct segments of its group it is."""
    out: list[int] = []
    for group in groups:
        seen: dict[int, int] = {}
        out += [seen.setdefault(id(s), len(seen)) for t in group.traces for s in t.segments]
    return out


def _segments(segments: Sequence[Segment], ids: Sequence[int]) -> pa.StructArray:
    tokens = [s.atoms if s.atoms.dim() == 1 and not s.atoms.is_floating_point() else None for s in segments]
    cols = [(name, _column(name, col, s)) for s in segments for name, col in s.cols.items()]
    values: dict[str, Any] = {
        "role": [s.role for s in segments],
        "by": [s.by for s in segments],
        "trainable": [s.trainable for s in segments],
        "fresh": [s.fresh for s in segments],
        "moved": [s.moved for s in segments],
        "text": [s.text for s in segments],
        "reward": [s.reward for s in segments],
        "state": [s.state if s.state is None or isinstance(s.state, str) else repr(s.state) for s in segments],
        "atoms": [len(s) for s in segments],
    }
    arrays = {name: pa.array(v, SEGMENT.field(name).type) for name, v in values.items()}
    arrays["tokens"] = _lists(tokens, torch.int32)
    arrays["logp"] = _lists([None if s.logp is None else _column("logp", s.logp, s) for s in segments], torch.float32)
    arrays["cols"] = pa.MapArray.from_arrays(
        _offsets([len(s.cols) for s in segments]),
        pa.array([name for name, _ in cols], pa.string()),
        _lists([col for _, col in cols], torch.float32),
    )
    arrays["id"] = pa.array(ids, pa.int32())
    arrays["notes"] = pa.array([notes(s.info) for s in segments], SEGMENT.field("notes").type)
    return pa.StructArray.from_arrays(list(arrays.values()), fields=list(SEGMENT))


def _column(name: str, col: Tensor, segment: Segment) -> Tensor:
    if col.shape != (len(segment),):
        raise ValueError(f"column {name!r} has shape {tuple(col.shape)} for {len(segment)} atoms")
    return col


def _offsets(lengths: Sequence[int]) -> pa.Array:
    return pa.array(np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int32), pa.int32())


def _lists(tensors: Sequence[Tensor | None], dtype: torch.dtype) -> pa.ListArray:
    """One list a tensor, null for None, without a Python number in between."""
    flat = [t.detach().to("cpu", dtype) for t in tensors if t is not None]
    values = torch.cat(flat).numpy() if flat else np.zeros(0, dtype=np.float32 if dtype == torch.float32 else np.int32)
    offsets = _offsets([0 if t is None else len(t) for t in tensors])
    missing = pa.array([t is None for t in tensors], pa.bool_())
    return pa.ListArray.from_arrays(offsets, pa.array(values), mask=missing)


def _write(path: Path, tables: Sequence[pa.Table], schema: pa.Schema = SCHEMA) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(TEMPORARY + path.name)
    try:
        with pq.ParquetWriter(beside, schema, compression="zstd") as writer:
            for rows in tables:
                if len(rows):
                    writer.write_table(rows, row_group_size=len(rows))
        sync(beside)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync(path.parent)


def files(folder: Path) -> list[tuple[Path, int, int]]:
    """`(path, first, last)` of every file of rollouts, in order."""
    if not folder.is_dir():
        return []
    found = [(p, _NAME.fullmatch(p.name)) for p in folder.iterdir()]
    return sorted(((p, int(m[1]), int(m[2])) for p, m in found if m), key=lambda f: f[1:])


def cut(folder: Path, step: int) -> None:
    """Keep the rollouts of iterations before `step`; a file that goes beyond is rewritten in place, then renamed."""
    for path, first, last in files(folder):
        with writing("the rollouts", folder):
            if first >= step:
                path.unlink()
            elif last >= step:
                file = opened(path)
                kept = [file.read_row_group(i) for i in range(file.num_row_groups) if step_of(file, i) < step]
                schema = file.schema_arrow  # a file keeps the version it was written with
                file.close()
                _write(path, kept, schema)
                path.rename(folder / f"{first:06d}-{step - 1:06d}.parquet")
                sync(folder)


def opened(path: Path, **how: Any) -> pq.ParquetFile:
    """A file of rollouts, opened; `how` goes to `pyarrow`. Raises SharpenError for one that cannot be read."""
    try:
        file = pq.ParquetFile(path, **how)
    except (pa.ArrowInvalid, OSError) as error:
        raise SharpenError(
            f"{path} is not a whole Parquet file ({str(error).splitlines()[0]}). Training does not read it: move it "
            "away to look at the other rollouts or to go on with --resume."
        ) from error
    version = (file.schema_arrow.metadata or {}).get(b"sharpen.rollouts", b"none").decode()
    if version not in READABLE:
        file.close()
        raise SharpenError(
            f"{path} has schema {version!r} of rollouts, and this version of sharpen reads "
            f"{' and '.join(map(repr, READABLE))}. Read it with the version that wrote it."
        )
    odd = [f.name for f in file.schema_arrow if f.name in SCHEMA.names and not _fits(f.type, SCHEMA.field(f.name).type)]
    if odd:
        file.close()
        raise SharpenError(
            f"{path} is not one that sharpen wrote: its column {odd[0]!r} is of another type. Training does not read "
            "it: move it away to look at the other rollouts or to go on with --resume."
        )
    return file


def _fits(found: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether a column has its type, or (`read_dictionary`) codes for it; segments may lack what came later."""
    if pa.types.is_dictionary(found):
        found = found.value_type
    if pa.types.is_list(found) and pa.types.is_list(wanted) and pa.types.is_struct(wanted.value_type):
        inner = found.value_type
        return pa.types.is_struct(inner) and all(
            wanted.value_type.get_field_index(f.name) >= 0 and f.type == wanted.value_type.field(f.name).type
            for f in inner
        )
    return bool(found == wanted)


def step_of(file: pq.ParquetFile, group: int) -> int:
    """The iteration of a row group, which holds one."""
    try:
        return int(file.metadata.row_group(group).column(0).statistics.min)
    except (AttributeError, TypeError, ValueError) as error:
        raise SharpenError(
            "A file of rollouts does not say which iterations it holds, so sharpen did not write it. Training does not "
            "read it: move it away to look at the other rollouts or to go on with --resume."
        ) from error


def read_rollouts(
    run: Any, steps: Collection[int] | None = None, columns: Sequence[str] | None = None
) -> Iterator[dict[str, Any]]:
    """Rows as dicts, in order, one at a time; maps come as dicts.

    `run` is a `RunDir` or the path of one. Of `steps` (a range, a set) only their row groups are read, of `columns`
    (names of the schema) only those; one iteration is in memory at a time. Iterations that are not there give no rows.
    """
    for name in columns or ():
        if name not in SCHEMA.names:
            raise SharpenError(f"Rollouts have no column {name!r}. {near(name, SCHEMA.names)}")
    return _rows(Path(getattr(run, "path", run)) / "rollouts", steps, None if columns is None else list(columns))


def _rows(folder: Path, steps: Collection[int] | None, columns: list[str] | None) -> Iterator[dict[str, Any]]:
    for path, first, last in files(folder):
        if steps is not None and not any(s in steps for s in range(first, last + 1)):
            continue
        with opened(path) as file:
            for i in range(file.num_row_groups):
                if steps is None or step_of(file, i) in steps:
                    for batch in file.iter_batches(batch_size=64, row_groups=[i], columns=columns):
                        yield from (plain(row, columns) for row in batch.to_pylist())


def plain(row: dict[str, Any], columns: Sequence[str] | None = None) -> dict[str, Any]:
    """A row of `to_pylist` with its maps as dicts, and with what version 1 lacks of the columns wanted (all: None)."""
    if columns is None or "notes" in columns:
        row["notes"] = dict(row.get("notes", ()))
    if "rewards" in row:
        row["rewards"] = dict(row["rewards"])
    for segment in row.get("segments", ()):
        segment["cols"] = dict(segment["cols"])
        segment["id"] = segment.get("id")
        segment["notes"] = dict(segment.get("notes", ()))
    return row
