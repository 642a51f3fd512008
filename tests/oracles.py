"""Slow judges of the built-in tasks, written apart from the verifiers: no pattern, nothing shared but the problem."""

from __future__ import annotations

import ast
from fractions import Fraction
from itertools import permutations

from sharpen.types import Problem

DIGITS = "0123456789"


def split(text: str) -> tuple[list[str], str | None]:
    """The lines before the answer line (all, where there is none), and what the answer line says after its mark."""
    out, line = [], ""
    for c in text:
        if c == "\n":
            out.append(line)
            line = ""
        else:
            line += c
    if line or (text and not text.endswith("\n")):
        out.append(line)
    if not out or out[-1][:1] != "#":
        return out, None
    return out[:-1], out[-1][1:] if text.count("#") == 1 else None


def chain(problem: Problem, text: str) -> dict[str, float]:
    """`correct`, `format`, `steps`."""
    asked = problem.info["expression"]
    todo = [(asked[i], asked[i + 1]) for i in range(1, len(asked), 2)]
    value = int(asked[0])
    for op, d in todo:
        value = {"+": value + int(d), "-": value - int(d), "*": value * int(d)}[op] % 10
    steps, answer = split(text)

    def formed(s: str) -> bool:
        return len(s) == 5 and s[0] in DIGITS and s[1] in "+-*" and s[2] in DIGITS and s[3] == "=" and s[4] in DIGITS

    good, now, broken = 0, asked[0], False
    for s, (op, d) in zip(steps, todo, strict=False):
        right = formed(s) and s[0] == now and s[1] == op and s[2] == d
        broken = (
            broken
            or not right
            or int(s[4]) != {"+": int(now) + int(d), "-": int(now) - int(d), "*": int(now) * int(d)}[op] % 10
        )
        if broken:
            break
        good, now = good + 1, s[4]
    return {
        "correct": float(answer == str(value)),
        "format": float(answer is not None and len(answer) == 1 and answer in DIGITS and all(map(formed, steps))),
        "steps": min(1.0, good / problem.info["difficulty"]),
    }


def countdown(problem: Problem, text: str) -> float:
    """`correct`, by Python's own parser and fractions."""
    _, answer = split(text)
    if answer is None or not answer or len(answer) > 256 or set(answer) - set(DIGITS + "+-*/()"):
        return 0.0
    try:
        tree = ast.parse(answer, mode="eval").body
    except (SyntaxError, MemoryError, RecursionError):
        return 0.0
    numbers: list[int] = []
    found = _value(tree, answer, numbers)
    return float(
        found is not None and found == problem.info["target"] and sorted(numbers) == sorted(problem.info["numbers"])
    )


def _value(node: ast.AST, source: str, numbers: list[int]) -> Fraction | None:
    """A value that is whole and above 0 at every node; no division, which no task here allows."""
    if isinstance(node, ast.Constant) and type(node.value) is int:
        if not 0 < node.value < 10**12:
            return None
        numbers.append(node.value)
        return Fraction(node.value)
    if not isinstance(node, ast.BinOp) or type(node.op) not in (ast.Add, ast.Sub, ast.Mult):
        return None
    a, b = _value(node.left, source, numbers), _value(node.right, source, numbers)
    if a is None or b is None:
        return None
    c = a + b if isinstance(node.op, ast.Add) else a - b if isinstance(node.op, ast.Sub) else a * b
    return c if c > 0 and c.denominator == 1 else None


def graph(problem: Problem, text: str) -> float:
    """`correct`, by listing every way there is."""
    _, answer = split(text)
    info = problem.info
    joined = {(e[0], e[2]) for e in info["edges"]} | {(e[2], e[0]) for e in info["edges"] if e[1] == "-"}
    ways, nodes = set(), {n for e in joined for n in e}
    front = [info["start"]]
    while front:
        way = front.pop()
        if way[-1] == info["goal"]:
            ways.add(way)
        front += [way + n for n in nodes if n not in way and (way[-1], n) in joined]
    return float(answer in ways)


def deduce(problem: Problem, text: str) -> tuple[float, float]:
    """`correct` and `proof`, by trying rules until nothing changes."""
    facts, rules, asked = set(problem.info["facts"]), problem.info["rules"], problem.info["asked"]
    known = set(facts)
    for _ in rules:
        for r in rules:
            if all(p in known for p in r.split(">")[0]):
                known.add(r.split(">")[1])
    steps, answer = split(text)
    right = "yes" if asked in known else "no"
    proved, have = True, set(facts)
    for s in steps:
        proved = proved and s in rules and all(p in have for p in s.split(">")[0]) and s.split(">")[1] not in have
        have |= set(s[-1:]) if proved else set()
    shown = asked in have if right == "yes" else have == known
    return float(answer == right), float(answer == right and proved and shown)


def taste(problem: Problem, text: str) -> float:
    """`correct`: the letters in any order."""
    wish, reply = problem.info["wish"], text.strip()
    return float(len(reply) == len(wish) and (sorted(reply) == sorted(wish)))


def confidence(text: str) -> tuple[str, float | None]:
    """What stands before a last line `?d`, and d / 9."""
    body = text[:-1] if text.endswith("\n") else text
    cut = body.rfind("\n")
    last = body[cut + 1 :]
    if len(last) == 2 and last[0] == "?" and last[1] in DIGITS:
        return body[: max(cut, 0)], int(last[1]) / 9
    return text, None


def room(rows: tuple[str, ...], limit: int, turns: list[str]) -> tuple[list[float], bool]:
    """The rewards of turns in a room until it is over, and whether the goal was reached."""
    cell = {(r, c): x for r, line in enumerate(rows) for c, x in enumerate(line)}
    at = next(k for k, x in cell.items() if x == "@")
    key, door, out = False, False, []
    for n, turn in enumerate(turns):
        if n == limit or cell[at] == "G":
            break
        word = turn.strip("\n ")
        near = {(at[0] + a, at[1] + b) for a, b in ((0, 1), (1, 0), (0, -1), (-1, 0))}
        if word == "take" and cell[at] == "k":
            key = True
        elif word == "open" and key and any(cell.get(p) == "D" for p in near):
            door = True
        elif word in ("u", "d", "l", "r"):
            to = {"u": (at[0] - 1, at[1]), "d": (at[0] + 1, at[1]), "l": (at[0], at[1] - 1), "r": (at[0], at[1] + 1)}[
                word
            ]
            if cell.get(to, "x") != "x" and (cell[to] != "D" or door):
                at = to
        out.append(float(cell[at] == "G"))
    return out, cell[at] == "G"


def numerals(text: str) -> list[Fraction]:
    """Every number written in ASCII digits in a text, with decimals, thousands commas and exponents, one by one."""
    out, i = [], 0
    while i < len(text):
        if text[i] not in DIGITS and not (text[i] == "." and i + 1 < len(text) and text[i + 1] in DIGITS):
            i += 1
            continue
        j = i
        while j < len(text) and (
            text[j] in DIGITS or (text[j] == "," and text[j + 1 : j + 2].strip() and text[j + 1] in DIGITS)
        ):
            j += 1
        if j < len(text) and text[j] == ".":
            j += 1
            while j < len(text) and text[j] in DIGITS:
                j += 1
        k = j
        if k < len(text) and text[k] in "eE":
            k += 1 + (text[k + 1 : k + 2] in ("+", "-", "\u2212"))
            m = k
            while k < len(text) and text[k] in DIGITS:
                k += 1
            j = k if k > m else j
        mantissa, _, power = text[i:j].replace(",", "").replace("\u2212", "-").lower().partition("e")
        # what is so long or far from 1 that writing it out would take long is for other tests
        out.append(
            Fraction(mantissa or "0") * Fraction(10) ** int(power or 0)
            if len(power) < 5 and len(mantissa) < 400
            else Fraction(-1)
        )
        i = j
    return out


def spellings(numbers: tuple[int, ...], target: int) -> list[str]:
    """Sums from left to right that come to the target: right answers that nobody wrote down."""
    found = []
    for order in set(permutations(numbers)):
        for ops in [(a, b) for a in "+-*" for b in "+-*"][: 9 if len(order) == 3 else 3]:
            text = "".join(f"{n}{op}" for n, op in zip(order, (*ops[: len(order) - 1], ""), strict=True))
            if eval(text) == target:  # digits and operators of our own
                found.append(text)
    return found
