"""Small functions over a list of whole numbers, made of operations one after the other: the problems of `code`.

An operation is a sign, perhaps with a digit: `even`, `>3`, `*2`, `rev`, `sum`. Filters and changes take a list and give
one, and so do `sort` and `rev`; `sum`, `len`, `max` and `min` end a program with a number (`max` and `min` of no
numbers are 0).
"""

from __future__ import annotations

import functools
import random
import re
from collections.abc import Callable, Sequence

from sharpen.task.procedural import digest

Value = int | list[int]

KEEP: dict[str, tuple[str, Callable[[int, int], bool]]] = {
    "even": ("v%2==0", lambda v, k: v % 2 == 0),
    "odd": ("v%2==1", lambda v, k: v % 2 == 1),
    ">": ("v>{}", lambda v, k: v > k),
    "<": ("v<{}", lambda v, k: v < k),
    ">=": ("v>={}", lambda v, k: v >= k),
    "<=": ("v<={}", lambda v, k: v <= k),
}
"""Filters: what is written, and what it keeps. Problems ask for none of the last two, which are slips of others."""

CHANGE: dict[str, tuple[str, Callable[[int, int], int]]] = {
    "+": ("v+{}", lambda v, k: v + k),
    "-": ("v-{}", lambda v, k: v - k),
    "*": ("v*{}", lambda v, k: v * k),
}
WHOLE: dict[str, tuple[str, Callable[[list[int]], Value]]] = {
    "sort": ("sorted(x)", sorted),
    "rev": ("x[::-1]", lambda x: x[::-1]),
}
FOLD: dict[str, tuple[str, Callable[[list[int]], Value]]] = {
    "sum": ("sum(x)", sum),
    "len": ("len(x)", len),
    "max": ("max(x,default=0)", lambda x: max(x, default=0)),
    "min": ("min(x,default=0)", lambda x: min(x, default=0)),
}
SIGNS = (*KEEP, *CHANGE, *WHOLE, *FOLD)
ASKED = tuple(s for s in SIGNS if s not in (">=", "<="))
DIGITS = {">": "0123456789", "<": "0123456789", "+": "123456789", "-": "123456789", "*": "23456789"}
"""The digits of operations that have one, in problems."""

OPERATION = re.compile(r"(even|odd|sort|rev|sum|len|max|min|[<>]=?|[-+*])([0-9]?)")

PROBES = ((), (3, -4, 8, 1, -1), (7, -2, 12, 0, 5, -5, 9, 2, -6, 4, 11, -3, 10, 6))
"""Inputs by which most of the programs that will not do are seen at once."""

HIDDEN = 8
"""How many inputs a program is tried on."""


@functools.cache
def parts(operation: str) -> tuple[str, int]:
    """The sign and the digit of an operation; the digit is 0 where it has none."""
    found = OPERATION.fullmatch(operation)
    assert found is not None
    return found[1], int(found[2] or 0)


def expression(operation: str) -> str:
    """What an operation makes of `x`, in Python."""
    sign, k = parts(operation)
    if sign in KEEP:
        return f"[v for v in x if {KEEP[sign][0].format(k)}]"
    if sign in CHANGE:
        return f"[{CHANGE[sign][0].format(k)} for v in x]"
    return (WHOLE | FOLD)[sign][0]


def written(operations: Sequence[str]) -> tuple[str, ...]:
    """The lines of a function's body: an operation a line, the last one returned."""
    return (*(f"x={expression(o)}" for o in operations[:-1]), f"return {expression(operations[-1])}")


def value(operations: Sequence[str], x: Sequence[int]) -> Value:
    """What a program makes of a list. Reckoned here, by no code that anybody wrote."""
    now: Value = list(x)
    for operation in operations:
        assert isinstance(now, list)
        sign, k = parts(operation)
        if sign in KEEP:
            now = [v for v in now if KEEP[sign][1](v, k)]
        elif sign in CHANGE:
            now = [CHANGE[sign][1](v, k) for v in now]
        else:
            now = (WHOLE | FOLD)[sign][1](now)
    return now


def hidden(key: str) -> list[list[int]]:
    """The inputs that a problem is judged by, which depend on its key alone: no numbers, then five to eight each."""
    rng = random.Random(digest(f"inputs/{key}"))
    return [[], *([rng.randint(-6, 12) for _ in range(rng.randint(5, 8))] for _ in range(HIDDEN - 1))]


def drawn(size: int, rng: random.Random) -> list[str]:
    """Operations at random, more filters than others; half of the programs end with a number, which has no order."""
    fold = rng.random() < 0.5
    keep = [s for s in ASKED if s in KEEP]
    lists = [*keep, *keep, *CHANGE, *([] if fold else WHOLE)]
    signs = [rng.choice(lists) for _ in range(size - 1)]
    signs.append(rng.choice(list(FOLD) if fold else lists))
    return [s + (rng.choice(DIGITS[s]) if s in DIGITS else "") for s in signs]


def counts(operations: Sequence[str], inputs: Sequence[Sequence[int]]) -> bool:
    """Whether every operation matters, by these inputs.

    The results are not all one and not what the program is given; and without any one of the operations, or with a
    bound that is let in, some result is another.
    """
    wanted = [value(operations, x) for x in inputs]
    if all(y == wanted[-1] for y in wanted):
        return False
    others: list[list[str]] = [[]]
    for i, operation in enumerate(operations):
        others.append([*operations[:i], *operations[i + 1 :]])
        if operation[0] in "<>":
            others.append([*operations[:i], f"{operation[0]}={operation[1:]}", *operations[i + 1 :]])
    pairs = list(zip(inputs, wanted, strict=True))[::-1]  # the first input has no numbers and tells little
    return all(any(value(other, x) != y for x, y in pairs) for other in others)
