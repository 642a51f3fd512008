"""Sums in whole numbers above 0: a parser of its own (no eval), and one spelling for those that are alike."""

from __future__ import annotations

import re
from dataclasses import dataclass

LONGEST = 256
"""Characters after which a text is no expression; bounds the work and the size of numbers."""

NUMBER = r"[1-9][0-9]{0,11}"
TOKEN = re.compile(rf"{NUMBER}|[-+*/()]")
RANK = {"+": 1, "-": 1, "*": 2, "/": 2}


Operation = tuple[int, str, int, int]
"""Two operands, the operator between them, and the result."""


def operation(a: int, op: str, b: int, result: int) -> Operation:
    """An operation, the smaller operand of `+` and `*` first, so that those which differ only in order are equal."""
    return (b, op, a, result) if op in "+*" and b < a else (a, op, b, result)


def combine(a: int, op: str, b: int) -> int | None:
    """`a op b`; None where that is not a whole number above 0."""
    if op == "+":
        return a + b
    if op == "-":
        return a - b if a > b else None
    if op == "*":
        return a * b
    return a // b if b and a % b == 0 else None


@dataclass(frozen=True)
class Expression:
    """A parsed sum: its value (None where some part of it is not whole and above 0), and the numbers and operators in
    it.

    `nodes` are its operations, as `operation` gives them (complete where there is a value). `spelling` is the same
    for sums that differ in brackets that change nothing and in the order of the operands of one `+` or `*`: equal
    spellings have equal values at every node.
    """

    value: int | None
    numbers: tuple[int, ...]
    ops: frozenset[str]
    nodes: tuple[Operation, ...]
    spelling: str

    @property
    def inner(self) -> str:
        """The spelling as an operand: in brackets unless it is a number."""
        return f"({self.spelling})" if self.ops else self.spelling


def number(n: int) -> Expression:
    """The sum that is one number."""
    return Expression(n, (n,), frozenset(), (), str(n))


def join(a: Expression, op: str, b: Expression) -> Expression:
    """The sum `a op b`."""
    value, nodes = None, a.nodes + b.nodes
    if a.value is not None and b.value is not None:
        value = combine(a.value, op, b.value)
        nodes += () if value is None else (operation(a.value, op, b.value, value),)
    left, right = a.inner, b.inner
    if op in "+*" and right < left:
        left, right = right, left
    return Expression(value, a.numbers + b.numbers, a.ops | b.ops | {op}, nodes, f"{left}{op}{right}")


def parse(text: str) -> Expression | None:
    """The sum a text spells, by the usual precedence, from left to right; None for anything else.

    Numbers have no sign and no leading zero, and at most 12 digits; there are no blanks. Operators wait on a stack
    until one of lower rank comes (E. W. Dijkstra's shunting yard), so brackets may nest as deep as the text is long.
    """
    tokens = TOKEN.findall(text) if len(text) <= LONGEST else []
    if not tokens or "".join(tokens) != text:
        return None
    values: list[Expression] = []
    waiting: list[str] = []

    def reduce(rank: int) -> None:
        while waiting and waiting[-1] != "(" and RANK[waiting[-1]] >= rank:
            right, left = values.pop(), values.pop()
            values.append(join(left, waiting.pop(), right))

    operand = True  # whether a number or an opening bracket must come next
    for token in tokens:
        starts = token == "(" or token[0].isdigit()
        if starts != operand:
            return None
        if token == "(":
            waiting.append(token)
        elif token == ")":
            reduce(0)
            if not waiting:
                return None
            waiting.pop()
        elif token in RANK:
            reduce(RANK[token])
            waiting.append(token)
            operand = True
        else:
            values.append(number(int(token)))
            operand = False
    if operand:
        return None
    reduce(0)
    return None if waiting else values[0]


def spell(a: str, op: str, b: str) -> str:
    """A text of `a op b` for the texts `a` and `b` of sums, with brackets only where parsing it would regroup it."""
    left = f"({a})" if lowest(a) < RANK[op] else a
    return f"{left}{op}({b})" if lowest(b) <= RANK[op] else f"{left}{op}{b}"


def lowest(text: str) -> int:
    """The rank of the operation a text does last; 3 for a single number."""
    depth, found = 0, 3
    for char in text:
        depth += (char == "(") - (char == ")")
        if depth == 0 and char in RANK:
            found = min(found, RANK[char])
    return found
