"""Every data set of reasoning-gym as a task (`gym:NAME`), judged by its own `score_answer`.

Problems are made and scored in a worker process: a few data sets give other problems for another hash seed, and a
score of odd text may hang or raise.
"""

from __future__ import annotations

import hashlib
import logging
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from sharpen.errors import SharpenError, near
from sharpen.task.base import RewardSpec, Task
from sharpen.task.extract import check_rules, extract, shortest
from sharpen.task.judge import need
from sharpen.task.pool import MEMORY, Failure, Pool
from sharpen.types import Problem, Trace

log = logging.getLogger(__name__)

_TRIES = 500


@dataclass(frozen=True)
class Gym(Task):
    """A reasoning-gym data set.

    `config` are fields of the data set's own configuration. Without a `level` the rest of them has the library's
    defaults, and the splits are `train` and `test`. With one, all attributes of the data set's curriculum stand at
    that level (0 is the easiest, a field set in `config` wins) and `harder` is `harder_by` levels further, where
    there are so many. (The defaults of a data set are no level of its curriculum, often harder than its first ones,
    so there is no `harder` beyond them.)

    Splits are by the hash of the question: a quarter is `test`, a quarter `harder` where there is such a split, the
    rest `train`, so no question is in two. `size` is how many problems are numbered before that. A data set with few
    different questions has fewer.

    `rules` say where an answer stands (`sharpen.task.extract`): by default the last `<answer>...</answer>`, which is
    reasoning-gym's convention and wins, else a last line `#...`. `suffix` is put after each question, to ask for that
    form.

    Answers are read as data or formulas, never run, and what the library calls right by a mistake of its own is not
    (`sharpen.task.gymserver`). Rewards: `score` is the library's, 0..1; `correct` is 1 when it is 1;
    `unjudged` is 1 when scoring raised, ran over `timeout` seconds or gave something else (score 0, and a warning in
    the log of `sharpen.task.gym`).
    """

    dataset: str
    config: Mapping[str, Any] = field(default_factory=dict)
    level: int | None = None
    harder_by: int = 1
    size: int = 2000
    seed: int = 0
    rules: tuple[str, ...] = ("tag", "#")
    suffix: str = ""
    workers: int = 1
    timeout: float = 10.0

    def __post_init__(self) -> None:
        need("reasoning_gym", "gym", f"for the task gym:{self.dataset}")
        object.__setattr__(self, "rules", check_rules(self.rules))
        object.__setattr__(self, "name", f"gym:{self.dataset}")
        about = "the data set's own score of the final answer"
        object.__setattr__(
            self,
            "rewards",
            (
                RewardSpec("correct", about="that score is 1"),
                RewardSpec("score", about=about),
                RewardSpec(
                    "unjudged", about="scoring failed or ran out of time; the trace then counts as wrong", best="low"
                ),
            ),
        )

    @cached_property
    def pool(self) -> Pool:
        """The processes that make and score problems."""
        return _pool(self.workers, self.timeout)

    @cached_property
    def levels(self) -> dict[str, int | None]:
        """The curriculum level of each split, checked: name, fields and configuration are good.

        Raises `SharpenError`.
        """
        known = gym_names(self.pool)
        if self.dataset not in known:
            raise SharpenError(f"reasoning-gym has no data set {self.dataset!r}. {near(self.dataset, known)}")
        fields = _ask(self.pool, "fields", {"name": self.dataset}, self.name)
        for key in self.config:
            if key not in fields or key in ("seed", "size"):
                rest = sorted(set(fields) - {"seed", "size"})
                raise SharpenError(f"Task {self.name} has no option {key!r} of its own. {near(key, rest)}")
        if self.level is not None and not 0 <= self.level < known[self.dataset]:
            has = f"levels 0 to {known[self.dataset] - 1}" if known[self.dataset] else "no curriculum"
            raise SharpenError(
                f"Task {self.name} was given level {self.level}, and its data set has {has}. Choose another, or none."
            )
        out = {"train": self.level, "test": self.level}
        if self.level is not None and 0 < self.harder_by < known[self.dataset] - self.level:
            out["harder"] = self.level + self.harder_by
        for split in ("train", "harder"):
            if split in out:
                self._make(out[split], -1)
        return out

    @property
    def splits(self) -> tuple[str, ...]:  # type: ignore[override]
        """`train`, `test`, and `harder` where there is a level beyond."""
        return tuple(self.levels)

    @property
    def gives(self) -> frozenset[str]:  # type: ignore[override]
        """`answer`, unless the data set has none and only checks."""
        return frozenset({"answer"} if self._problem("train", 0)[0].answer is not None else ())

    def draw(self, split: str, rng: random.Random) -> Problem:
        """A problem of a split, its number uniform among those of the split."""
        self._known(split)
        for _ in range(_TRIES):
            problem, place = self._problem(split, rng.randrange(self.size))
            if place == split:
                return problem
        raise SharpenError(
            f"Task {self.name} found no problem for its split {split!r} in {_TRIES} tries: the data set has too few "
            f"different "
            "questions. Choose options with more variety, or a larger size."
        )

    def fixed(self, split: str, n: int) -> list[Problem]:
        """The first `n` different problems of a split, by number."""
        self._known(split)
        found: dict[str, Problem] = {}
        for index in range(self.size):
            if len(found) >= n:
                break
            problem, place = self._problem(split, index)
            if place == split:
                found.setdefault(problem.key, problem)
        return list(found.values())

    def verify(self, problem: Problem, trace: Trace) -> dict[str, float]:
        """`correct`, `score` and `unjudged` of a trace."""
        return self.verify_many([(problem, trace)])[0]

    def verify_many(self, pairs: Sequence[tuple[Problem, Trace]]) -> list[dict[str, float]]:
        """`verify` of every pair, in order, with all workers at once."""
        said = [extract(trace.text, self.rules) for _, trace in pairs]
        calls = []
        for (problem, _), answer in zip(pairs, said, strict=True):
            if answer is not None:
                arg = {"name": self.dataset, "config": self._options, "answer": answer}
                calls.append([["score", arg | {k: problem.info[k] for k in ("level", "index", "digest")}]])
        answers = iter(self.pool.run(calls))
        return [
            _rewards(0.0) if answer is None else self._judged(next(answers), problem, answer)
            for (problem, _), answer in zip(pairs, said, strict=True)
        ]

    def lesson(self, rng: random.Random) -> tuple[Problem, tuple[str, ...]]:
        """A problem to train on and the shortest text that states its answer, one time in four that of another's.

        Raises `SharpenError` for a data set whose problems have no answer to teach.
        """
        problem = self.draw("train", rng)
        shown = self.draw("train", rng) if rng.random() < 0.25 else problem
        line = None if shown.answer is None else shortest(str(shown.answer), self.rules)
        if line is None:
            raise SharpenError(
                f"Task {self.name} cannot bring up a nano model: problem {shown.key!r} has "
                + ("no answer to teach." if shown.answer is None else f"an answer no text can state, {shown.answer!r}.")
                + " Choose another data set, or give a model of your own (--model)."
            )
        return problem, (line,)

    def identity(self) -> dict[str, Any]:
        """What its problems and lessons depend on."""
        known = super().identity()
        return {k: v for k, v in known.items() if k not in ("workers", "timeout")}

    def answer_of(self, text: str) -> str | None:
        """The final answer by the task's rules."""
        return extract(text, self.rules)

    def _judged(self, answer: list[Any] | Failure, problem: Problem, said: str) -> dict[str, float]:
        if not isinstance(answer, Failure) and 0.0 <= answer[0] <= 1.0:
            return _rewards(answer[0])
        why = answer.message if isinstance(answer, Failure) else f"gave {answer[0]}, which is not in 0..1"
        if isinstance(answer, Failure) and (answer.kind == "start" or why.startswith("LookupError")):
            raise SharpenError(f"Task {self.name} cannot score: {why}. Reinstall it: pip install 'sharpen[gym]'.")
        log.warning("problem %s: score_answer of reasoning-gym: %s, on the answer %.200r", problem.key, why, said)
        return _rewards(0.0, unjudged=True)

    @property
    def _options(self) -> dict[str, Any]:
        return {**self.config, "seed": self.seed, "size": self.size}

    @cached_property
    def _made(self) -> dict[tuple[int | None, int], tuple[Problem, int]]:
        return {}

    def _problem(self, split: str, index: int) -> tuple[Problem, str]:
        """Problem `index` at the level of a split, and the split it belongs to there."""
        level = self.levels[split]
        if (level, index) not in self._made:
            entry = self._make(level, index)
            digest = hashlib.sha256(entry["question"].encode()).hexdigest()
            info = {"level": level, "index": index, "digest": digest}
            problem = Problem(
                f"{self.name}/{digest[:12]}", entry["question"] + self.suffix, entry["answer"], None, info
            )
            self._made[level, index] = problem, int(digest[:8], 16) % 4
        problem, bucket = self._made[level, index]
        if bucket == 1 and "harder" in self.levels:
            return problem, "harder"
        return problem, "test" if bucket == 0 else "train"

    def _make(self, level: int | None, index: int) -> Any:
        arg = {"name": self.dataset, "config": self._options, "level": level, "index": index}
        at = "" if level is None else f" at level {level}"
        return _ask(self.pool, "make", arg, f"{self.name} with {dict(self.config) or 'its default options'}{at}")

    def _known(self, split: str) -> None:
        if split not in self.levels:
            raise SharpenError(f"Task {self.name} has no split {split!r}. {near(split, self.levels)}")


def _rewards(score: float, unjudged: bool = False) -> dict[str, float]:
    return {"correct": float(score >= 1.0 - 1e-9), "score": float(score), "unjudged": float(unjudged)}


def _pool(workers: int = 1, timeout: float = 10.0) -> Pool:
    # some data sets make their problems from sets of strings: with a free hash seed each process would make others
    env = {"PYTHONHASHSEED": "0", "PYTHONWARNINGS": "ignore"}
    file = Path(__file__).with_name("gymserver.py")
    return Pool(file, "serve", workers=workers, timeout=timeout, memory=MEMORY, env=env)


def _ask(pool: Pool, op: str, arg: dict[str, Any], what: str) -> Any:
    answer = pool.run([[[op, arg]]])[0]
    if isinstance(answer, Failure):
        raise SharpenError(
            f"reasoning-gym cannot make {what}: {answer.message}. Change the options of the task, or its timeout if "
            f"it ran out."
        )
    return answer[0]


def gym_names(pool: Pool | None = None) -> dict[str, int]:
    """The data sets there are, each with the number of levels of its curriculum (0 without one)."""
    need("reasoning_gym", "gym", "for tasks of the form gym:NAME")
    own = pool or _pool()
    try:
        names: dict[str, int] = _ask(own, "names", {}, "its list of data sets")
        return names
    finally:
        if pool is None:
            own.close()


def gym_fields(dataset: str) -> dict[str, Any]:
    """The options of a data set's own and their defaults. Raises `SharpenError` for an unknown data set."""
    pool = _pool()
    try:
        known = gym_names(pool)
        if dataset not in known:
            raise SharpenError(f"reasoning-gym has no data set {dataset!r}. {near(dataset, known)}")
        fields: dict[str, Any] = _ask(pool, "fields", {"name": dataset}, dataset)
        return fields
    finally:
        pool.close()
