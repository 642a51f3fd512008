"""Lines of metrics as they come: what was appended since the last look, and nothing twice."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

MOST = 4 << 20
"""Bytes read at once; the page asks again for the rest."""


@dataclass(frozen=True)
class Chunk:
    """Records of a file from the byte `start` to `next`.

    `mark` names the file as it was: it changes when the file was replaced (a run that was rewound), and then the
    records begin anew at 0. `more` says that there is more to read now; `broken` tells of lines that are no records.
    """

    mark: str
    start: int
    next: int
    more: bool = False
    records: list[dict[str, Any]] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def since(path: Path, start: int = 0, mark: str = "", most: int = MOST) -> Chunk:
    """The records after the byte `start` of the file that had `mark`; a half-written last line waits for the rest."""
    try:
        file = open(path, "rb")  # noqa: SIM115 - closed below, whatever happens
    except FileNotFoundError:
        return Chunk("", 0, 0)
    with file:
        size, now = _state(path)
        if mark != now or not 0 <= start <= size:
            start = 0
        file.seek(start)
        parts = [file.read(most)]
        while parts[-1] and b"\n" not in parts[-1]:
            parts.append(file.read(most))
        data = b"".join(parts)
    whole = data[: data.rfind(b"\n") + 1]
    records, broken = _parsed(whole, path.name, start)
    return Chunk(now, start, start + len(whole), start + len(data) < size, records, broken)


def _state(path: Path) -> tuple[int, str]:
    stat = path.stat()
    return stat.st_size, f"{stat.st_dev:x}.{stat.st_ino:x}"


def _parsed(data: bytes, name: str, start: int) -> tuple[list[dict[str, Any]], list[str]]:
    records, broken = [], []
    for line in data.splitlines(keepends=True):
        try:
            record = json.loads(line)
            record["step"] = whole(record["step"])
            if not isinstance(record.get("metrics", {}), dict) or not isinstance(record.get("cost", {}), dict):
                raise ValueError("metrics and cost are no objects")
            records.append(record)
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
            broken.append(f"The line at byte {start} of {name} is not a record that sharpen wrote ({error}).")
        start += len(line)
    return records, broken


def whole(x: Any) -> int:
    """The number of an iteration. Raises ValueError, TypeError or OverflowError for what is none."""
    if isinstance(x, str) or int(x) != x:
        raise ValueError(f"{x!r:.20} is no iteration")
    return int(x)


def every(path: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """All whole records of a file, and what is wrong with others; read once as long as the file does not change."""
    try:
        size, mark = _state(path)
    except FileNotFoundError:
        return [], []
    return _every(path, mark, size)


@lru_cache(64)
def _every(path: Path, mark: str, size: int) -> tuple[list[dict[str, Any]], list[str]]:
    chunk = since(path, most=max(size, 1))
    return chunk.records, chunk.broken


def values(records: Iterable[Mapping[str, Any]], name: str) -> list[float]:
    """The finite values of a metric, in order."""
    said = (r.get("metrics", {}).get(name) for r in records)
    return [float(x) for x in said if isinstance(x, (int, float)) and math.isfinite(x)]


def thinned(numbers: Sequence[float], most: int) -> list[float]:
    """At most `most` numbers: means of equal stretches."""
    size = max(1, math.ceil(len(numbers) / most))
    parts = [numbers[k : k + size] for k in range(0, len(numbers), size)]
    return [sum(p) / len(p) for p in parts]
