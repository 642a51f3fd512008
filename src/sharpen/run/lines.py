"""Files of JSON lines: one record a line, appended whole, cut back atomically.

JSON has no NaN. A number that is not finite is written as the string "NaN", "Infinity" or "-Infinity", which `float` of
Python and `Number` of JavaScript both read; `read` turns it back. Records here hold numbers only, so no string is
mistaken.
"""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from sharpen.errors import SharpenError
from sharpen.run.files import replace, writing

NAMES = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
"""How numbers that are not finite are written."""


def numbers(values: Mapping[str, float]) -> dict[str, float | int | str]:
    """Named numbers (also NumPy's) as valid JSON values; anything but a number is a TypeError."""
    out: dict[str, float | int | str] = {}
    for name, x in values.items():
        if isinstance(x, Integral):
            out[name] = int(x)
        elif isinstance(x, Real):
            out[name] = _finite(float(x))
        else:
            raise TypeError(f"{name!r} is a {type(x).__name__}, not a number")
    return out


def valid(x: Any) -> Any:
    """A JSON tree whose numbers that are not finite are written the same way."""
    if isinstance(x, Mapping):
        return {k: valid(v) for k, v in x.items()}
    if isinstance(x, (list, tuple)):
        return [valid(y) for y in x]
    return _finite(x) if isinstance(x, float) else x


def _finite(x: float) -> float | str:
    if math.isfinite(x):
        return x
    return "NaN" if math.isnan(x) else "Infinity" if x > 0 else "-Infinity"


def append(path: Path, record: Mapping[str, Any]) -> None:
    """Add one line. When the disk refuses, the file is as it was."""
    data = json.dumps(record, allow_nan=False).encode() + b"\n"
    with writing(path.name, path.parent):
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            size = os.fstat(fd).st_size
            if size and os.pread(fd, 1, size - 1) != b"\n":
                raise ValueError(f"{path} ends in a half-written line; rewind the run before it goes on")
            try:
                if os.write(fd, data) != len(data):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError:
                os.ftruncate(fd, size)
                raise
        finally:
            os.close(fd)


def read(path: Path) -> list[dict[str, Any]]:
    """Every record. A half-written last line, as a killed process leaves one, is left out; other damage is refused."""
    return [record for record, _ in _lines(path)]


def cut(path: Path, step: int) -> None:
    """Keep the records with `record["step"] < step`, byte for byte, and no half-written last line."""
    if not path.exists():
        return
    old = path.read_bytes()
    new = b"".join(line for record, line in _lines(path) if record["step"] < step)
    if new != old:
        with writing(path.name, path.parent):
            replace(path, new)


def _lines(path: Path) -> list[tuple[dict[str, Any], bytes]]:
    if not path.exists():
        return []
    lines = path.read_bytes().splitlines(keepends=True)
    out = []
    for i, line in enumerate(lines):
        try:
            if not line.endswith(b"\n"):
                raise ValueError("no end of line")
            record = json.loads(line)
            record["step"] += 0
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            if i == len(lines) - 1:
                break
            raise SharpenError(
                f"Line {i + 1} of {path} is not a record that sharpen wrote ({error}). Put the line back as it was, "
                "or delete it to go on without that iteration."
            ) from error
        out.append(({k: _back(v) for k, v in record.items()}, line))
    return out


def _back(x: Any) -> Any:
    if isinstance(x, dict):
        return {k: _back(v) for k, v in x.items()}
    return NAMES.get(x, x) if isinstance(x, str) else x
