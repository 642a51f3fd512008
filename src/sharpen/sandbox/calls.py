"""Calling a function that a model wrote, and comparing what it returned: outside, and strictly."""

from __future__ import annotations

import json
import marshal
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from sharpen.sandbox.base import Job, Limits, Sandbox, Status, run_many

HARNESS = Path(__file__).with_name("harness.py").read_bytes()

DEPTH = 32
"""The deepest nesting of values that can be equal."""


class Odd(NamedTuple):
    """What a call has in the place of a value: the name of the error, or how the program ended."""

    why: str


class Called(NamedTuple):
    """How a program ended, and for each call its value as JSON has it, or `Odd`."""

    status: Status
    values: tuple[Any, ...]

    @property
    def clean(self) -> bool:
        """Whether the program ended well and every call returned a value."""
        return self.status == "ok" and not any(isinstance(v, Odd) for v in self.values)


class Question(NamedTuple):
    """A program's text, the name of a function in it, and the arguments of each call (plain data)."""

    source: str
    name: str
    calls: Sequence[Sequence[Any]]


def call(sandbox: Sandbox, question: Question, limits: Limits) -> Called:
    """Run a program in a sandbox and call its function."""
    return call_many(sandbox, [question], limits, 1)[0]


def call_many(sandbox: Sandbox, questions: Sequence[Question], limits: Limits, workers: int) -> list[Called]:
    """`call` of several, `workers` at a time. Order is kept.

    Values come back from a program that may have written the message itself: nothing but JSON is read, one message of
    the right length, and anything after it makes all values odd.
    """
    jobs = [
        Job(HARNESS, marshal.dumps((q.source.encode("utf-8", "surrogatepass"), q.name, [tuple(c) for c in q.calls])))
        for q in questions
    ]
    ran = run_many(sandbox, jobs, limits, workers)
    return [
        Called(r.status, _values(r.out, len(q.calls)) if r.status == "ok" else (Odd(r.status),) * len(q.calls))
        for q, r in zip(questions, ran, strict=True)
    ]


def _values(out: bytes, n: int) -> tuple[Any, ...]:
    try:
        text = out.decode("ascii")
        said = json.loads(text, parse_constant=_no_number, parse_float=_finite, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        return (Odd("no message"),) * n
    if not out.endswith(b"]\n") or type(said) is not list or len(said) != n:
        return (Odd("no message"),) * n
    return tuple(_value(one) for one in said)


def _value(one: Any) -> Any:
    if type(one) is list and len(one) == 2 and type(one[0]) is int and one[0] == 0:
        return one[1]
    return Odd(str(one[1])[:60] if type(one) is list and len(one) == 2 else "no message")


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _finite(text: str) -> float:
    if not math.isfinite(float(text)):
        _no_number(text[:60])
    return float(text)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) < len(pairs):
        raise ValueError("a name occurs twice")
    return dict(pairs)


def same(a: Any, b: Any, depth: int = 0) -> bool:
    """Whether two JSON values are one: types are told apart (`True` is not 1, `1.0` is not 1), NaN equals nothing."""
    if type(a) is not type(b) or depth > DEPTH:
        return False
    if type(a) is list:
        return len(a) == len(b) and all(same(x, y, depth + 1) for x, y in zip(a, b, strict=True))
    if type(a) is dict:
        return a.keys() == b.keys() and all(same(a[k], b[k], depth + 1) for k in a)
    return a is None or (type(a) in (bool, int, float, str) and bool(a == b))
