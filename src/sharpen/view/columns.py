"""An index of rollouts in memory: a few short columns of every file, never the segments.

A file of rollouts does not change after it was written, so its columns are read once, as long as its name, size and
time stay as they are. Texts are codes into a list, for the traces of a group share their problem.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sharpen.errors import SharpenError
from sharpen.run.rollouts import files, opened
from sharpen.view.shelf import Shelved

NUMBERS = {"step": -1, "group": -1, "trace": -1, "length": 0, "reward": np.nan}
"""Columns of numbers, and what stands for null."""

TEXTS = ("problem", "prompt", "end", "agent")
"""Columns of texts."""

FILES_MOST = 512
"""Files whose columns are kept."""

ROWS_MOST = 1 << 24
"""Rows of one file: a few bytes of Parquet can say that there are billions."""

Ints = NDArray[np.int32]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Coded:
    """Texts as numbers into a list of them; -1 is null."""

    codes: Ints
    texts: tuple[str, ...]

    def __getitem__(self, row: int) -> str | None:
        code = int(self.codes[row])
        return self.texts[code] if code >= 0 else None


@dataclass(frozen=True)
class Columns:
    """One entry a trace. `solved` is 1, 0, or -1 before a verdict; `rowgroup` and `row` say where the rest of it is."""

    step: Ints
    group: Ints
    trace: Ints
    length: Ints
    reward: Floats
    solved: Ints
    problem: Coded
    prompt: Coded
    end: Coded
    agent: Coded
    file: Ints
    rowgroup: Ints
    row: Ints

    def __len__(self) -> int:
        return len(self.step)


@dataclass(frozen=True)
class Index:
    """The columns of all files of a run, the files, and what is wrong with those that could not be read."""

    columns: Columns
    paths: tuple[Path, ...]
    broken: tuple[str, ...]

    def find(self, step: int, group: int, trace: int | None = None) -> NDArray[np.intp]:
        """The rows of a group, or of one trace of it, in order."""
        c = self.columns
        mask = (c.step == step) & (c.group == group)
        return np.flatnonzero(mask if trace is None else mask & (c.trace == trace))


class Indexes:
    """The index of each run, put together from what is known of its files."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[Path, int, int], Columns] = OrderedDict()
        self._whole: dict[tuple[tuple[Path, int, int], ...], Index] = {}
        self._lock = threading.Lock()

    def of(self, run: Shelved) -> Index:
        """The index of a run as it is now. A file that cannot be read is told of and passed over."""
        run.file("rollouts")
        keys, paths, broken = [], [], []
        for path, _, _ in files(run.path / "rollouts"):
            try:
                stat = run.file(f"rollouts/{path.name}").stat()
                keys.append((path, stat.st_size, stat.st_mtime_ns))
            except SharpenError as error:
                broken.append(str(error))
        with self._lock:
            if (whole := self._whole.get(tuple(keys))) is not None:
                return whole
            parts = []
            for key in keys:
                try:
                    parts.append(self._read(key))
                    paths.append(key[0])
                except SharpenError as error:
                    broken.append(str(error).replace(str(run.path), run.name))
            index = Index(joined(parts), tuple(paths), tuple(broken))
            if not broken:
                self._whole = dict(list(self._whole.items())[-7:]) | {tuple(keys): index}
            return index

    def _read(self, key: tuple[Path, int, int]) -> Columns:
        if key not in self._known:
            self._known[key] = columns(key[0])
            while len(self._known) > FILES_MOST:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        return self._known[key]


def columns(path: Path) -> Columns:
    """The columns of one file. Raises SharpenError for one that is damaged."""
    names = [*NUMBERS, "solved", *TEXTS]
    try:
        with opened(path, read_dictionary=list(TEXTS)) as file:
            if file.metadata.num_rows > ROWS_MOST:
                raise SharpenError(f"{path} has {file.metadata.num_rows:,} rows, so its rollouts are left out.")
            table = file.read(columns=names).select(names)  # a column that is not there is passed over by `read`
            counts = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    except (pa.ArrowException, KeyError, OSError) as error:
        raise SharpenError(
            f"{path} is damaged ({str(error).splitlines()[0]}), so its rollouts are left out. Training does not read "
            "it: move it away."
        ) from error
    n = len(table)
    whole: dict[str, Any] = {
        name: table.column(name).fill_null(null).to_numpy().astype(np.float64 if name == "reward" else np.int32)
        for name, null in NUMBERS.items()
    }
    whole["solved"] = table.column("solved").cast(pa.int32()).fill_null(-1).to_numpy()
    whole |= {name: _coded(table.column(name)) for name in TEXTS}
    whole["file"] = np.zeros(n, np.int32)
    whole["rowgroup"] = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    whole["row"] = np.concatenate([np.zeros(0, np.int32), *(np.arange(k, dtype=np.int32) for k in counts)])
    return Columns(**whole)


def _coded(column: Any) -> Coded:
    known: dict[str, int] = {}
    codes = [np.zeros(0, np.int32)]
    for chunk in column.chunks:
        encoded = chunk if isinstance(chunk, pa.DictionaryArray) else chunk.dictionary_encode()
        new = [known.setdefault(text, len(known)) for text in encoded.dictionary.to_pylist()]
        table = np.array([*new, -1], np.int32)  # an index of -1, which stands for null, finds the last
        codes.append(table[encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)])
    return Coded(np.concatenate(codes), tuple(known))


def joined(parts: Sequence[Columns]) -> Columns:
    """The columns of several files one after another."""
    whole: dict[str, Any] = {}
    for name in (f.name for f in fields(Columns)):
        some = [getattr(p, name) for p in parts]
        if name in TEXTS:
            whole[name] = _together(some)
        elif name == "file":
            whole[name] = np.concatenate(
                [np.zeros(0, np.int32), *(np.full(len(p), k, np.int32) for k, p in enumerate(parts))]
            )
        else:
            empty = np.zeros(0, np.float64 if name == "reward" else np.int32)
            whole[name] = np.concatenate([empty, *some])
    return Columns(**whole)


def _together(some: Iterable[Coded]) -> Coded:
    known: dict[str, int] = {}
    codes = [np.zeros(0, np.int32)]
    for coded in some:
        table = np.array([*(known.setdefault(text, len(known)) for text in coded.texts), -1], np.int32)
        codes.append(table[coded.codes])
    return Coded(np.concatenate(codes), tuple(known))
