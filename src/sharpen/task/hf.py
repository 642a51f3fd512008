"""Hugging Face data sets in the formats of GSM8K and MATH, from the hub or from disk, judged by math_verify."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from sharpen.errors import SharpenError, near
from sharpen.task.extract import boxed, extract
from sharpen.task.judge import need
from sharpen.task.match import Match
from sharpen.task.rows import Row, Rows, steps

Format = Literal["auto", "gsm8k", "math"]
"""Columns `question` and `answer` (with `####`), or `problem` and `solution` (with a box), `level`, `type`."""

_COLUMNS = {"gsm8k": ("question", "answer"), "math": ("problem", "solution")}
_CALCULATOR = re.compile(r"<<[^<>]*>>")
_LOADERS = {".jsonl": "json", ".json": "json", ".parquet": "parquet", ".csv": "csv"}


@dataclass(frozen=True)
class HF(Rows):
    """A data set `path` of the hub, or a local file or folder (of data files, or saved by `datasets`).

    `format` is `gsm8k` or `math` (see `Format`), by default whichever fits the columns. The gold answer is what
    follows `####`, commas removed, or the last box of the solution. The gold solution becomes steps: lines for GSM8K,
    its `<<...>>` calculator notes removed; sentences outside formulas for MATH. Rows without an answer are dropped,
    and `notes` says how many. `config` names a configuration of the data set (GSM8K has `main` and `socratic`),
    `train` and `test` its splits; without a split `test` the rows are split by hash. `cache` is where `datasets`
    keeps its files.
    """

    path: str
    format: Format = "auto"
    config: str | None = None
    train: str = "train"
    test: str = "test"
    cache: str | None = None
    match: Match = field(default="math", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "name", f"hf:{self.path}")
        if self.format not in get_args(Format):
            raise SharpenError(
                f"Unknown format {self.format!r} of the data set {self.path}. {near(self.format, get_args(Format))}"
            )
        need("datasets", "data", f"for the task hf:{self.path}")
        if self.match == "math":
            need("math_verify", "math", f"for the task hf:{self.path}")

    def read(self) -> tuple[list[Row], list[Row] | None, list[str], bool]:
        """The rows of both splits."""
        data = self._load()
        if self.train not in data:
            raise SharpenError(
                f"The data set {self.path} has no split {self.train!r}; it has {', '.join(data)}. Name one of those "
                f"(train=...)."
            )
        notes: list[str] = []
        train = self._rows(data[self.train], self.train, notes)
        test = self._rows(data[self.test], self.test, notes) if self.test in data and self.test != self.train else None
        return train, test, notes, False

    def _rows(self, data: Any, split: str, notes: list[str]) -> list[Row]:
        columns = list(data.column_names)
        form = self._form(columns)
        notes.append(f"split {split!r} of {self.path} is in the format of {form}")
        rows, bad = [], 0
        for n, record in enumerate(data, 1):
            row = (_gsm8k if form == "gsm8k" else _math)(record, f"{self.path} {split} row {n}")
            if row is None:
                bad += 1
            else:
                rows.append(row)
        sign = "####" if form == "gsm8k" else "\\boxed{}"
        if bad:
            notes.append(f"dropped {bad} rows of split {split!r} without a prompt or an answer after {sign}")
        if not rows:
            raise SharpenError(
                f"No row of split {split!r} of {self.path} has a {_COLUMNS[form][0]!r} and an answer (marked by "
                f"{sign} in column "
                f"{_COLUMNS[form][1]!r}). Choose another data set or format."
            )
        return rows

    def _form(self, columns: list[str]) -> str:
        for form, wanted in _COLUMNS.items():
            if self.format in ("auto", form) and set(wanted) <= set(columns):
                return form
        wanted_ = " nor ".join(f"{a!r} and {b!r} ({f})" for f, (a, b) in _COLUMNS.items() if self.format in ("auto", f))
        raise SharpenError(
            f"The data set {self.path} has the columns {', '.join(columns)}, and not {wanted_}. Choose another data "
            f"set, or save it as "
            "JSONL with a prompt and an answer and give that file as the task."
        )

    def _load(self) -> Mapping[str, Any]:
        """The splits by name."""
        import datasets

        place = Path(self.path)
        try:
            if place.is_dir() and any(
                (place / f).is_file() for f in ("dataset_dict.json", "dataset_info.json", "state.json")
            ):
                data = datasets.load_from_disk(self.path)
            elif place.is_file():
                kind = _LOADERS.get(place.suffix.lower())
                if kind is None:
                    raise SharpenError(
                        f"The file {self.path} is none of {', '.join(_LOADERS)}, so it cannot be read. Convert it."
                    )
                data = datasets.load_dataset(kind, data_files={self.train: self.path}, cache_dir=self.cache)
            else:
                data = datasets.load_dataset(self.path, self.config, cache_dir=self.cache)
        except SharpenError:
            raise
        except Exception as err:  # the hub, the network and every file format have errors of their own
            said = " ".join(f"{type(err).__name__}: {err}".split())[:300]
            if place.exists():
                raise SharpenError(
                    f"The data set at {self.path} cannot be read: {said}. Check the files there."
                ) from err
            raise SharpenError(
                f"The data set {self.path} is no local file or folder and cannot be loaded from the hub: {said}. "
                f"Check its name and the "
                "network, log in if it is gated, name a configuration (config=...) if it has several, or give the "
                "path of a copy."
            ) from err
        if isinstance(data, Mapping):
            return data
        return {self.train: data}


def _gsm8k(record: Mapping[str, Any], where: str) -> Row | None:
    question, text = record["question"], record["answer"]
    if not isinstance(text, str) or not isinstance(question, str) or not question.strip():
        return None
    answer = extract(text, ("####",))
    if answer is None:
        return None
    answer = answer.replace(",", "")
    work = steps(_CALCULATOR.sub("", text[: text.rindex("####")]))
    return Row(question, answer, where, (*work, f"#### {answer}"))


def _math(record: Mapping[str, Any], where: str) -> Row | None:
    problem, text = record["problem"], record["solution"]
    if not isinstance(text, str) or not isinstance(problem, str) or not problem.strip():
        return None
    answer = boxed(text)
    if not answer:
        return None
    info = {k: record[k] for k in ("level", "type") if record.get(k) is not None}
    return Row(problem, answer, where, sentences(text), info)


_MARK = re.compile(r"\\.|\$\$?|[{}]|\n[ \t]*\n|[.!?](?=\s+[A-Z$\\{(]|\s*$)", re.DOTALL)


def sentences(text: str) -> tuple[str, ...]:
    """The sentences of a LaTeX text; a full stop inside a formula, a group or an environment ends none."""
    out, start = [], 0
    dollar, depth, display, environments = False, 0, 0, 0
    for mark in _MARK.finditer(text):
        m = mark.group()
        if m in ("$", "$$"):
            dollar = not dollar
        elif m in "{}":
            depth = max(0, depth + (1 if m == "{" else -1))
        elif m.startswith("\\"):
            display += (m in ("\\[", "\\(")) - (m in ("\\]", "\\)"))
            environments += text.startswith("\\begin{", mark.start()) - text.startswith("\\end{", mark.start())
        elif not (dollar or depth or display > 0 or environments > 0):
            out.append(text[start : mark.end()])
            start = mark.end()
    out.append(text[start:])
    return tuple(" ".join(s.split()) for s in out if s.strip())
