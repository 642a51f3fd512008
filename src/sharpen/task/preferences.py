"""JSONL and Parquet files of preferences of one's own as a task: a prompt, the reply that was chosen, and the other."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from sharpen.errors import SharpenError, near
from sharpen.task.base import Preference, RewardSpec, Task
from sharpen.task.files import ANSWERS, PROMPTS, prompt_of, records
from sharpen.task.rows import digest, halved
from sharpen.types import Problem, Trace

REPLIES = ("chosen", "rejected")
"""The columns by which a file of preferences is known."""


def is_preferences(columns: Sequence[str]) -> bool:
    """Whether a file with these columns holds preferences: it has both replies and no answer."""
    return set(REPLIES) <= set(columns) and not set(ANSWERS) & set(columns)


@dataclass(frozen=True)
class Preferences(Task):
    """Preferences in a `.jsonl` (one object a line) or `.parquet` file, and perhaps a second file to test on.

    A row has a prompt (a string, or a list of messages with `role` and `content`), and a chosen and a rejected reply.
    A reply is a string, or a list of messages that ends with the assistant's; what stands before it there is the
    prompt, so that rows without a prompt column may be given, too. `prompt`, `chosen` and `rejected` name the columns;
    an unnamed prompt is the first of `prompt question problem input` there is. A prompt may have any number of
    rows. Without a second file, a `test_share` of the prompts, by their hash, is the test split.

    There is no verifier: the reward `chosen` is 1 for a text that is the chosen reply to the prompt, word for word.
    """

    path: str
    test: str | None = None
    prompt: str | None = None
    chosen: str = "chosen"
    rejected: str = "rejected"
    test_share: float = field(default=0.1, kw_only=True)

    gives = frozenset({"solution", "pairs"})
    rewards = (RewardSpec("chosen", about="1 for the chosen reply itself, word for word"),)
    main = "chosen"
    splits = ("train", "test")

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", Path(self.path).name)
        if not 0 < self.test_share < 1:
            raise SharpenError(
                f"test_share={self.test_share} must be between 0 and 1: it is the share of prompts kept for testing."
            )

    @cached_property
    def table(self) -> dict[str, tuple[Problem, ...]]:
        """The problems of each split, read once; `info["pairs"]` holds the replies. Raises `SharpenError`."""
        train, test = self._problems(self.path), None if self.test is None else self._problems(self.test)
        if test is None:
            train, test = halved(train, self.test_share)
        held = {p.key for p in test}
        splits = {"train": tuple(p for p in train if p.key not in held), "test": tuple(test)}
        for split, problems in splits.items():
            if not problems:
                raise SharpenError(f"Task {self.name} has no prompt in its split {split!r}. Give it more rows.")
        return splits

    def draw(self, split: str, rng: random.Random) -> Problem:
        """A prompt of a split, each as likely."""
        return rng.choice(self._split(split))

    def fixed(self, split: str, n: int) -> list[Problem]:
        """The first `n` prompts of a split, in the order of the file."""
        return list(self._split(split)[:n])

    def verify(self, problem: Problem, trace: Trace) -> Mapping[str, float]:
        """Whether the text is a chosen reply, white space at the ends aside."""
        return {"chosen": float(trace.text.strip() in {a.strip() for a, _ in problem.info["pairs"]})}

    def pairs(self, split: str) -> Sequence[Preference]:
        """Every row of a split, rows of one prompt together."""
        return [Preference(p, *both) for p in self._split(split) for both in p.info["pairs"]]

    def lesson(self, rng: random.Random) -> tuple[Problem, tuple[str, ...]]:
        """A prompt to train on and one of its replies, chosen or not: what was there before preferences were learnt."""
        problem = self.draw("train", rng)
        return problem, tuple(rng.choice(rng.choice(problem.info["pairs"])).split("\n"))

    def identity(self) -> dict[str, Any]:
        """What a model made for this task depends on: the rows to train on."""
        rows = [[p.prompt, p.info["pairs"]] for p in self._split("train")]
        return {"name": self.name, "rows": digest(rows)}

    def _split(self, split: str) -> tuple[Problem, ...]:
        if split not in self.table:
            raise SharpenError(f"Task {self.name} has no split {split!r}. {near(split, self.table)}")
        return self.table[split]

    def _problems(self, path: str) -> list[Problem]:
        """One problem a prompt, in the order in which they appear."""
        found: dict[str, tuple[Any, list[tuple[str, str]]]] = {}
        for where, record in records(path):
            prompt, chosen, rejected = self._row(record, where)
            if chosen != rejected:
                found.setdefault(digest(prompt), (prompt, []))[1].append((chosen, rejected))
        if not found:
            raise SharpenError(f"The file {path} has no two different replies to a prompt. Give another file.")
        return [
            Problem(
                f"{self.name}/{key[:12]}", prompt, both[0][0], tuple(both[0][0].split("\n")), {"pairs": tuple(both)}
            )
            for key, (prompt, both) in found.items()
        ]

    def _row(self, record: Mapping[str, Any], where: str) -> tuple[Any, str, str]:
        (before, chosen), (other, rejected) = (reply(record, name, where) for name in (self.chosen, self.rejected))
        column = self.prompt or next((n for n in PROMPTS if n in record), None)
        if column is not None and column in record:
            prompt = prompt_of(record[column], where, column)
        elif column is None and before and before == other:
            prompt = before
        else:
            raise SharpenError(
                f"{where} has no prompt: it has {', '.join(map(str, record))}. Name its column (prompt=...), or give "
                "both replies as lists of messages that begin with the same prompt."
            )
        return prompt, chosen, rejected


def reply(record: Mapping[str, Any], column: str, where: str) -> tuple[Any, str]:
    """The messages before a reply (none where it is a text), and its text. Raises `SharpenError`."""
    value = record.get(column)
    if isinstance(value, str) and value.strip():
        return (), value
    if isinstance(value, (list, tuple)) and value:
        with suppress(SharpenError):  # which would call it a prompt; what is wrong is said below
            *before, last = prompt_of(value, where, column)
            if last["role"] == "assistant" and last["content"].strip():
                return tuple(before), last["content"]
    raise SharpenError(
        f"{where} has no reply in the column {column!r}: every row needs a text there, or a list of messages that "
        "ends with the assistant's. Mend the row, or name another column (chosen=..., rejected=...)."
    )
