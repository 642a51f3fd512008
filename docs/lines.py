"""How many lines of code a method is: its recipe, and the parts, losses and functions that no other recipe uses.

Counted are lines of statements: no docstrings, comments or blank lines, and of a recipe no citations (`about`,
`source_of`, `origins`), which say where it is from and do nothing.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from sharpen.recipe import Method, Recipe
from sharpen.recipes import FAMILIES, all_recipes
from sharpen.run.compose import CITATIONS


def pieces(x: Any) -> Iterator[Any]:
    """The classes of the parts and the functions that a value is made of."""
    if dataclasses.is_dataclass(x) and not isinstance(x, type):
        yield type(x)
        for f in dataclasses.fields(x):
            yield from pieces(getattr(x, f.name))
    elif isinstance(x, (tuple, list)):
        for y in x:
            yield from pieces(y)
    elif inspect.isfunction(x):
        yield x


def code(node: ast.AST) -> set[int]:
    """Numbers of the lines on which code of a node stands."""
    skipped: set[int] = set()
    for inner in ast.walk(node):
        body = getattr(inner, "body", None)
        if (
            isinstance(body, list)
            and body
            and isinstance(body[0], ast.Expr)
            and isinstance(body[0].value, ast.Constant)
        ):
            skipped |= set(range(body[0].lineno, (body[0].end_lineno or 0) + 1))
        if isinstance(inner, ast.keyword) and inner.arg in CITATIONS and inner.arg not in ("name", "family", "parent"):
            skipped |= set(range(inner.lineno, (inner.end_lineno or 0) + 1))
    ends = [n for n in ast.walk(node) if hasattr(n, "lineno")]
    return {n for x in ends for n in (x.lineno, x.end_lineno)} - skipped


def source_lines(piece: Any) -> int:
    """Lines of code of a class or a function."""
    tree = ast.parse(inspect.cleandoc("\n" + inspect.getsource(piece)))
    return len(code(tree.body[0]))


def recipe_lines() -> dict[str, int]:
    """Lines of code of the statement that makes each recipe."""
    out: dict[str, int] = {}
    for family in FAMILIES:
        module = importlib.import_module(f"sharpen.recipes.{family}")
        statements = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8")).body
        made = {
            s.targets[0].id: s for s in statements if isinstance(s, ast.Assign) and isinstance(s.targets[0], ast.Name)
        }
        for name, statement in made.items():
            value = vars(module).get(name)
            if isinstance(value, Method) and value.family:
                out[value.name] = len(code(statement))
    return out


def method_lines() -> dict[str, tuple[int, list[str]]]:
    """For each recipe the lines that are its own, and the names of the parts and functions among them."""
    found = {r.name: set(pieces(r)) for r in all_recipes().values()}
    users = Counter(piece for used in found.values() for piece in used)
    own = recipe_lines()
    out = {}
    for name, used in found.items():
        alone = [p for p in used if users[p] == 1 and p is not Recipe]
        out[name] = (own[name] + sum(map(source_lines, alone)), sorted(p.__name__ for p in alone))
    return out


def catalogue_page(note: str) -> str:
    """Methods by family, where each is from, and how many lines it is."""
    lines = method_lines()
    known = all_recipes()
    out = [note, "", "# Methods", ""]
    out += [
        f"{len(known)} methods in {len(FAMILIES)} families. The last column is a method's length in lines of code: its "
        f"recipe and the parts that it alone uses; the median is {median(n for n, _ in lines.values()):g}. Docstrings, "
        "comments and citations are not counted. `sharpen show NAME` prints a method, `sharpen train NAME` starts it.",
        "",
    ]
    for family, about in FAMILIES.items():
        out += [f"## {family}", "", f"{about[0].upper()}{about[1:]}.", ""]
        out += ["| method | what it does | source | lines |", "|---|---|---|---|"]
        for r in (r for r in known.values() if r.family == family):
            n, alone = lines[r.name]
            parts = f" ({', '.join(f'`{p}`' for p in alone)})" if alone else ""
            out.append(f"| [`{r.name}`](recipes.md#{r.name}) | {r.about} | {r.source_of} | {n}{parts} |")
        out += [""]
    return "\n".join(out)
