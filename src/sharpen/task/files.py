"""JSONL and Parquet files of one's own as a task."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from sharpen.errors import SharpenError
from sharpen.task.judge import need
from sharpen.task.rows import Row, Rows, steps

PROMPTS = ("prompt", "question", "problem", "input")
ANSWERS = ("answer", "target", "gold", "label", "final_answer")
SUFFIXES = (".jsonl", ".ndjson", ".parquet")


@dataclass(frozen=True)
class Files(Rows):
    """Problems in a `.jsonl` (one object a line) or `.parquet` file, and perhaps a second file to test on.

    A row has a prompt (a string, or a list of messages with `role` and `content`), an answer (a string, number or
    bool), and may have a `solution` (a string, a step a line, or a list of steps) and an `info` object. `prompt` and
    `answer` name the columns; unnamed, the first of `prompt question problem input` and of `answer target gold label
    final_answer` there is. The columns of the first row decide, and every row must have them. A step that states the
    answer is added to solutions without one.
    """

    path: str
    test: str | None = None
    prompt: str | None = None
    answer: str | None = None
    solution: str = "solution"
    info: str = "info"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "name", Path(self.path).name)

    def read(self) -> tuple[list[Row], list[Row] | None, list[str], bool]:
        """The rows of both files."""
        notes: list[str] = []
        rows = self._rows(self.path, notes)
        return rows, None if self.test is None else self._rows(self.test, notes), notes, True

    def _rows(self, path: str, notes: list[str]) -> list[Row]:
        found = list(records(path))
        if not found:
            raise SharpenError(f"The file {path} has no rows. Put at least two problems in it, or give another file.")
        first = found[0][1]
        prompt = _column(path, first, self.prompt, PROMPTS, "prompt")
        answer = _column(path, first, self.answer, ANSWERS, "answer")
        notes.append(f"{Path(path).name}: prompts from column {prompt!r}, answers from column {answer!r}")
        return [self._row(record, where, prompt, answer) for where, record in found]

    def _row(self, record: Mapping[str, Any], where: str, prompt: str, answer: str) -> Row:
        for name in (prompt, answer):
            if name not in record:
                raise SharpenError(
                    f"{where} has no {name!r}; it has {_names(record)}. Every row needs the columns {prompt!r} and "
                    f"{answer!r}."
                )
        info = record.get(self.info)
        if info is not None and not isinstance(info, Mapping):
            raise SharpenError(
                f"{where}: {self.info!r} is a {_kind(info)}, and must be an object. Mend it or name another column "
                f"(info=...)."
            )
        return Row(
            prompt=prompt_of(record[prompt], where, prompt),
            answer=_answer(record[answer], where, answer),
            where=where,
            solution=_solution(record.get(self.solution), where, self.solution),
            info=_info(info, where, self.info) if info is not None else {},
        )


def columns(path: str) -> tuple[str, ...]:
    """The columns of the first row of a file, none for a file without rows. Raises `SharpenError`."""
    return tuple(map(str, next((row for _, row in records(path)), {})))


def records(path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Where each row of a file stands, and the row. Decimals keep their digits. Raises `SharpenError`."""
    if not Path(path).is_file():
        raise SharpenError(f"There is no file {path!r}. Give the path of a file that ends in {', '.join(SUFFIXES)}.")
    if not os.access(path, os.R_OK):
        raise SharpenError(f"The file {path} may not be read. Give yourself the right to, or give another file.")
    suffix = Path(path).suffix.lower()
    if suffix == ".parquet":
        yield from _parquet(path)
    elif suffix in SUFFIXES:
        yield from _jsonl(path)
    else:
        raise SharpenError(
            f"The file {path} ends in {suffix or 'nothing'}, and only {', '.join(SUFFIXES)} files can be read. "
            f"Convert it."
        )


def _jsonl(path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    with open(path, "rb") as file:
        for n, raw in enumerate(file, 1):
            where = f"{path} line {n}"
            try:
                line = raw.decode("utf-8-sig" if n == 1 else "utf-8").strip()
                if not line:
                    continue
                row = json.loads(line, parse_float=Decimal, parse_int=_whole)
            except UnicodeDecodeError:
                raise SharpenError(f"{where} is not UTF-8. Save the file as UTF-8.") from None
            except json.JSONDecodeError as err:
                raise SharpenError(
                    f"{where} is not JSON: {err.msg} at column {err.colno}. Each line must be one JSON object."
                ) from None
            except RecursionError:
                raise SharpenError(
                    f"{where} is nested too deeply to read. Each line must be one JSON object."
                ) from None
            except InvalidOperation:
                raise SharpenError(
                    f"{where} has a number whose exponent is too long to read. Write the number out, or as text."
                ) from None
            if not isinstance(row, Mapping):
                raise SharpenError(f"{where} is a {_kind(row)}, not an object. Each line must be one JSON object.")
            yield where, row


def _whole(digits: str) -> int | Decimal:
    # the interpreter refuses to read very long integers
    return int(digits) if len(digits) < 4000 else Decimal(digits)


def _parquet(path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    need("pyarrow", "data", "to read Parquet files")
    import pyarrow.parquet as pq

    try:
        n = 0
        for batch in pq.ParquetFile(path).iter_batches():
            for row in batch.to_pylist():
                n += 1
                yield f"{path} row {n}", row
    except Exception as err:  # besides Arrow's own: no UTF-8 in a text, times no calendar has
        said = " ".join(str(err).split())[:200]
        raise SharpenError(f"The file {path} cannot be read as Parquet: {said}. Write it again.") from None


def _column(path: str, row: Mapping[str, Any], named: str | None, usual: Sequence[str], what: str) -> str:
    if named is not None:
        if named not in row:
            raise SharpenError(
                f"The file {path} has no column {named!r} for the {what}; it has {_names(row)}. Name one of those "
                f"({what}=...)."
            )
        return named
    for name in usual:
        if name in row:
            return name
    raise SharpenError(
        f"The file {path} has no column for the {what}: it has {_names(row)}, and none of {', '.join(usual)}. Name "
        f"the column ({what}=...)."
    )


def _names(row: Mapping[str, Any]) -> str:
    return ", ".join(map(str, row)) or "no columns"


def whole_text(text: str, where: str, column: str) -> str:
    """A text that can be written as UTF-8. Raises `SharpenError` for half a pair of surrogates, which JSON allows."""
    try:
        text.encode()
    except UnicodeEncodeError as err:
        raise SharpenError(
            f"{where}: {column!r} holds half a character (a lone surrogate, character {err.start + 1}), which no "
            "tokenizer takes. Mend the row."
        ) from None
    return text


def prompt_of(value: Any, where: str, column: str) -> Any:
    """A prompt as read from a row: a text, or messages with `role` and `content`. Raises `SharpenError`."""
    if isinstance(value, str):
        if not value.strip():
            raise SharpenError(f"{where}: the prompt ({column!r}) is empty. Write one or remove the row.")
        return whole_text(value, where, column)
    if isinstance(value, (list, tuple)) and value:
        ok = all(
            isinstance(m, Mapping) and isinstance(m.get("role"), str) and isinstance(m.get("content"), str)
            for m in value
        )
        if ok:
            return tuple({"role": m["role"], "content": whole_text(m["content"], where, column)} for m in value)
    raise SharpenError(
        f"{where}: the prompt ({column!r}) is a {_kind(value)}, and must be a string or a list of messages, each "
        f"with a string "
        "'role' and 'content'. Mend the row or name another column (prompt=...)."
    )


def _answer(value: Any, where: str, column: str) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (str, int, float, Decimal)):
        text = str(value).strip()
        if text:
            return whole_text(text, where, column)
    kind = "empty" if isinstance(value, str) else f"a {_kind(value)}"
    raise SharpenError(
        f"{where}: the answer ({column!r}) is {kind}, and must be a string or a number. Mend the row or name another "
        f"column (answer=...)."
    )


def _solution(value: Any, where: str, column: str) -> tuple[str, ...] | None:
    if value is None:
        return None
    if isinstance(value, str):
        return steps(value) or None
    if isinstance(value, (list, tuple)) and all(isinstance(s, str) for s in value):
        return tuple(value) or None
    raise SharpenError(
        f"{where}: the solution ({column!r}) is a {_kind(value)}, and must be a string or a list of strings. Mend "
        f"the row or name "
        "another column (solution=...)."
    )


def _info(value: Mapping[str, Any], where: str, column: str) -> Any:
    try:
        return _plain(value)
    except RecursionError:
        raise SharpenError(f"{where}: {column!r} is nested too deeply to read. Make it flatter.") from None


def _plain(value: Any) -> Any:
    """The same with decimals as floats."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list) else value


def _kind(value: Any) -> str:
    names = {
        "dict": "object",
        "NoneType": "null",
        "Decimal": "number",
        "int": "number",
        "float": "number",
        "str": "string",
    }
    kind = type(value).__name__
    return names.get(kind, kind)
