"""The scorers of all data sets of reasoning-gym, whatever the answer: a score in range, or a text that is unjudged."""

from __future__ import annotations

import contextlib
import hashlib
import random
from collections.abc import Iterator

import pytest
from hypothesis import Phase, example, given, settings

from fuzzing import LONG, MANY, fuzz, texts
from sharpen.task.gym import Gym, _pool
from sharpen.task.pool import Failure, Pool

WITHOUT = {"composite"}
"""Data sets that are made of others."""

ANSWERS = ["nan", "True", "0", "4*6*1*1"]
MANY_ANSWERS = [*ANSWERS, "inf", "1e999", "[[]]", "{}", "null", "False", "Yes", "No", "2", "A", "()", "0/0", "-1",
                "1,2", "None", "9" * LONG, "(" * 5000 + ")" * 5000]  # fmt: skip


@pytest.fixture(scope="module")
def server() -> Iterator[Pool]:
    pool = _pool(timeout=20.0)
    yield pool
    pool.close()


@pytest.fixture(scope="module")
def entries(server: Pool) -> dict[str, list[tuple[dict[str, object], str]]]:
    """Three problems of each data set, and their own answers."""
    (names,) = server.run([[["names", {}]]])
    out: dict[str, list[tuple[dict[str, object], str]]] = {}
    for name in sorted(set(names[0]) - WITHOUT):  # type: ignore[index]
        config = {"seed": 0, "size": 20}
        calls = [["make", {"name": name, "config": config, "level": None, "index": i}] for i in range(3)]
        (made,) = server.run([calls])
        assert not isinstance(made, Failure), (name, made)
        out[name] = [
            (
                {**call[1], "digest": hashlib.sha256(found["question"].encode()).hexdigest()},  # type: ignore[dict-item]
                str(found["answer"]),
            )
            for call, found in zip(calls, made, strict=True)
        ]
    assert len(out) >= 100
    return out


def judged(server: Pool, asked: list[tuple[str, dict[str, object], str]]) -> list[dict[str, float]]:
    """What the task makes of these answers."""
    found = server.run([[["score", {**arg, "answer": text}]] for _, arg, text in asked])
    task = Gym("leg_counting")
    return [task._judged(f, _Named(name), text) for f, (name, _, text) in zip(found, asked, strict=True)]  # type: ignore[arg-type]


class _Named:
    def __init__(self, key: str) -> None:
        self.key = key


@settings(fuzz(3, share=0.02), phases=[Phase.explicit, Phase.generate])  # a shrunk text would take minutes
@given(texts())
@example("[" * LONG)
@example('{"a": [1, null, 1e999]}')
def test_any_text_is_scored_in_range_or_unjudged(server, entries, text) -> None:
    found = judged(server, [(name, some[0][0], text) for name, some in entries.items()])
    for name, rewards in zip(entries, found, strict=True):
        assert set(rewards) == {"correct", "score", "unjudged"}, name
        assert 0.0 <= rewards["score"] <= 1.0, name
        assert rewards["correct"] == float(rewards["score"] == 1.0), name
        assert not (rewards["unjudged"] and rewards["score"]), name


@pytest.mark.parametrize("text", MANY_ANSWERS if MANY else ANSWERS, ids=lambda t: t[:12])
def test_no_one_answer_is_right_for_every_problem(server, entries, text) -> None:
    """Of a data set whose problems have different answers."""
    asked = [(name, arg, text) for name, some in entries.items() if len({a for _, a in some}) == 3 for arg, _ in some]
    right: dict[str, float] = {}
    for (name, *_), rewards in zip(asked, judged(server, asked), strict=True):
        right[name] = right.get(name, 0.0) + rewards["correct"]
    assert [name for name, n in right.items() if n == 3] == []


def test_a_worked_answer_with_a_change_is_in_range(server, entries) -> None:
    """The data set's own answer, cut or changed at a place."""
    rng = random.Random(0)
    asked = []
    for name, some in entries.items():
        arg, gold = some[0]
        at, change = rng.randrange(len(gold) + 1), rng.choice("09-. [](),\nxé\x00")
        asked.append((name, arg, gold[:at] + change + (gold[at + 1 :] if rng.random() < 0.5 else "")))
    assert all(0.0 <= r["score"] <= 1.0 for r in judged(server, asked))


def test_problems_are_the_same_in_any_order() -> None:
    """A process that takes the place of another makes them in another order."""
    arg = {"name": "list_functions", "config": {"seed": 0, "size": 20}, "level": None}
    made = []
    for order in ((0, 1, 2), (2, 1, 0)):
        with contextlib.closing(_pool(timeout=20.0)) as pool:
            (found,) = pool.run([[["make", {**arg, "index": i}] for i in order]])
        made.append(dict(zip(order, found, strict=True)))  # type: ignore[arg-type]
    assert made[0] == made[1]
