"""Tasks made of rows: splitting them, dropping repeats, and judging answers. The base of files and of hub data sets."""

from __future__ import annotations

import hashlib
import json
import random
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar, get_args

from sharpen.errors import SharpenError, near
from sharpen.task.base import Task
from sharpen.task.extract import RULES, check_rules, extract, render, shortest
from sharpen.task.judge import REWARDS, Judge
from sharpen.task.match import Match, choice, form, number
from sharpen.types import Problem, Trace


@dataclass(frozen=True)
class Row:
    """One row read from somewhere: `where` says from where, for messages."""

    prompt: Any
    answer: str
    where: str
    solution: tuple[str, ...] | None = None
    info: Mapping[str, Any] = field(default_factory=dict)


Prompted = TypeVar("Prompted", Row, Problem)


@dataclass(frozen=True)
class Table:
    """The problems of each split, how answers are compared, and what was done to get there, in sentences."""

    splits: Mapping[str, tuple[Problem, ...]]
    match: str
    notes: tuple[str, ...]


def digest(prompt: Any) -> str:
    """A name for a prompt that never changes: SHA-256 of its JSON."""
    return hashlib.sha256(json.dumps(prompt, sort_keys=True, default=str).encode()).hexdigest()


@dataclass(frozen=True)
class Rows(Task):
    """A task whose problems are rows with a gold answer.

    `match` is how answers are compared: `exact` (text, case and spaces aside), `number` (exactly, with signs of
    currency, commas and units aside), `math` (by math_verify), `choice` (one letter), or `auto`. `rules` say where a
    text states its answer (`sharpen.task.extract`). `test_share` of the rows, by the hash of their prompt, is the
    test split where no other is given. `suffix` is put after each prompt. Mathematics is compared in `workers`
    processes, at most `timeout` seconds an answer. Rewards: `correct`, and `unjudged` for answers that could not be
    compared.
    """

    match: Match = field(default="auto", kw_only=True)
    rules: tuple[str, ...] = field(default=RULES, kw_only=True)
    test_share: float = field(default=0.1, kw_only=True)
    suffix: str = field(default="", kw_only=True)
    workers: int = field(default=1, kw_only=True)
    timeout: float = field(default=5.0, kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "rewards", REWARDS)
        object.__setattr__(self, "splits", ("train", "test"))
        object.__setattr__(self, "rules", check_rules(self.rules))
        if self.match not in get_args(Match):
            raise SharpenError(
                f"Unknown way to compare answers: match={self.match!r}. {near(self.match, get_args(Match))}"
            )
        if not 0 < self.test_share < 1:
            raise SharpenError(
                f"test_share={self.test_share} must be between 0 and 1: it is the share of rows kept for testing."
            )

    @abstractmethod
    def read(self) -> tuple[list[Row], list[Row] | None, list[str], bool]:
        """Rows to train on, rows to test on if apart, notes, and whether two answers to a prompt are an error."""

    @cached_property
    def table(self) -> Table:
        """The data, read once. Raises `SharpenError` for data that cannot be used."""
        rows, test, notes, strict = self.read()
        notes = list(notes)
        where = "" if test is None else " of the training data"
        rows = unique(rows, notes, strict, where)
        if test is not None:
            test = unique(test, notes, strict, " of the test data")
            rows = _without(rows, test, notes)
            notes.append(f"{len(rows)} rows to train on and {len(test)} to test on, as given")
        else:
            rows, test = halved(rows, self.test_share)
            notes.append(f"{len(rows)} rows to train on and {len(test)} to test on, by the hash of their prompt")
        match = self._match([*rows, *test], notes)
        check = self._checked(match)
        splits = {"train": tuple(map(check, rows)), "test": tuple(map(check, test))}
        for split, problems in splits.items():
            if not problems:
                raise SharpenError(f"Task {self.name} has no problem in its split {split!r}. Give it more rows.")
        return Table(splits, match, tuple(notes))

    @property
    def notes(self) -> tuple[str, ...]:
        """What was decided and dropped when the data were read, in sentences."""
        return self.table.notes

    @property
    def gives(self) -> frozenset[str]:  # type: ignore[override]
        """`answer`, and `solution` when every problem to train on has one."""
        solved = all(p.solution is not None for p in self.table.splits["train"])
        return frozenset({"answer", "solution"} if solved else {"answer"})

    @cached_property
    def judge(self) -> Judge:
        """What compares answers."""
        return Judge(self.table.match, self.workers, self.timeout)

    def draw(self, split: str, rng: random.Random) -> Problem:
        """A row of a split, uniformly."""
        return rng.choice(self._split(split))

    def fixed(self, split: str, n: int) -> list[Problem]:
        """The first `n` rows of a split."""
        return list(self._split(split)[:n])

    def verify(self, problem: Problem, trace: Trace) -> dict[str, float]:
        """`correct` and `unjudged` of a trace."""
        return self.verify_many([(problem, trace)])[0]

    def verify_many(self, pairs: Sequence[tuple[Problem, Trace]]) -> list[dict[str, float]]:
        """`verify` of every pair, in order, with all workers at once."""
        return self.judge.rewards([(extract(t.text, self.rules), str(p.answer), p.key) for p, t in pairs])

    def lesson(self, rng: random.Random) -> tuple[Problem, tuple[str, ...]]:
        """A row to train on and its worked solution or, without one, the shortest text that states its answer.

        One time in four it is that of another row.
        """
        problem = self.draw("train", rng)
        shown = self.draw("train", rng) if rng.random() < 0.25 else problem
        return problem, shown.solution or (str(shortest(str(shown.answer), self.rules)),)

    def identity(self) -> dict[str, Any]:
        """What a model made for this task depends on: how answers are stated, and the rows to train on."""
        rows = [[p.prompt, p.answer, p.solution] for p in self.table.splits["train"]]
        return {"name": self.name, "rules": list(self.rules), "rows": digest(rows)}

    def answer_of(self, text: str) -> str | None:
        """The final answer, in the form that equal answers share (for mathematics: of equal numbers or equal text)."""
        said = extract(text, self.rules)
        return None if said is None else form(said, self.table.match)

    def _split(self, split: str) -> tuple[Problem, ...]:
        if split not in self.table.splits:
            raise SharpenError(f"Task {self.name} has no split {split!r}. {near(split, self.table.splits)}")
        return self.table.splits[split]

    def _match(self, rows: list[Row], notes: list[str]) -> str:
        """The way to compare answers, decided by the answers where it is `auto`."""
        if self.match != "auto":
            return self.match
        numbers = sum(number(r.answer) is not None for r in rows)
        if numbers == len(rows):
            notes.append(f"answers are compared as numbers (match=number), since all {len(rows)} are numbers")
            return "number"
        notes.append(
            f"answers are compared as text (match=exact), since {len(rows) - numbers} of {len(rows)} are not numbers"
        )
        return "exact"

    def _checked(self, match: str) -> Callable[[Row], Problem]:
        """How a row becomes a problem whose own answer would be judged right."""

        def problem(row: Row) -> Problem:
            if (match == "number" and number(row.answer) is None) or (match == "choice" and choice(row.answer) is None):
                kind = {"number": "a number", "choice": "one letter"}[match]
                raise SharpenError(
                    f"The answer {row.answer!r} ({row.where}) is not {kind}, as match={match} wants. Mend it or "
                    f"choose another match."
                )
            said = render(row.answer, self.rules)
            if said is None:
                raise SharpenError(
                    f"No text can state the answer {row.answer[:80]!r} ({row.where}) under "
                    f"rules={','.join(self.rules)}. Shorten the "
                    "answer, or allow a rule that can (tag)."
                )
            solution = row.solution
            if solution is not None and extract("\n".join(solution), self.rules) != row.answer:
                solution = (*solution, said)
            return Problem(
                f"{self.name}/{digest(row.prompt)[:12]}",
                _suffixed(row.prompt, self.suffix),
                row.answer,
                solution,
                row.info,
            )

        return problem


def _suffixed(prompt: Any, suffix: str) -> Any:
    if not suffix or isinstance(prompt, str):
        return prompt + suffix if suffix else prompt
    return (*prompt[:-1], {**prompt[-1], "content": prompt[-1]["content"] + suffix})


def unique(rows: list[Row], notes: list[str], strict: bool, of: str = "") -> list[Row]:
    """The rows without those that repeat a prompt, with a note of how many.

    Two answers to one prompt raise when `strict`.
    """
    first: dict[str, Row] = {}
    repeats, other = 0, 0
    example = ""
    for row in rows:
        seen = first.setdefault(digest(row.prompt), row)
        if seen is row:
            continue
        if seen.answer != row.answer and strict:
            raise SharpenError(
                f"The same prompt has two answers: {seen.answer!r} ({seen.where}) and {row.answer!r} ({row.where}). "
                f"Remove one of the rows."
            )
        repeats += 1
        other += seen.answer != row.answer
        example = example or f"{row.where} repeats {seen.where}"
    if repeats:
        differ = f"; {other} of them gave another answer than the first" if other else ""
        notes.append(f"dropped {repeats} rows{of} that repeat an earlier prompt ({example}){differ}")
    return list(first.values())


def _without(rows: list[Row], test: list[Row], notes: list[str]) -> list[Row]:
    """The rows whose prompt is not in the test data."""
    held = {digest(r.prompt) for r in test}
    kept = [r for r in rows if digest(r.prompt) not in held]
    if len(kept) < len(rows):
        notes.append(f"dropped {len(rows) - len(kept)} rows of the training data that are in the test data too")
    return kept


def halved(rows: list[Prompted], share: float) -> tuple[list[Prompted], list[Prompted]]:
    """What to train and to test on: by hash, so that a row stays when others are added; none empty if possible."""
    place = {id(r): int(digest(r.prompt)[:13], 16) / 16**13 for r in rows}
    test = [r for r in rows if place[id(r)] < share]
    if not test and len(rows) > 1:
        test = [min(rows, key=lambda r: place[id(r)])]
    if len(test) == len(rows) > 1:
        test.remove(max(test, key=lambda r: place[id(r)]))
    held = {id(r) for r in test}
    return [r for r in rows if id(r) not in held], test


def steps(solution: str) -> tuple[str, ...]:
    """The lines of a worked solution that are not blank."""
    return tuple(line.strip() for line in solution.splitlines() if line.strip())
