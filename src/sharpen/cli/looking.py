"""`sharpen recipes`, `show`, `tasks` and `check`: what there is."""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sharpen.cli.options import add_task_options, find_recipe, reward_options, task_options
from sharpen.errors import SharpenError, near
from sharpen.overrides import override
from sharpen.recipe import Method
from sharpen.recipes import FAMILIES, all_recipes
from sharpen.run.compose import compose, difference
from sharpen.run.manifest import describe
from sharpen.run.opening import open_task
from sharpen.run.setup import Setup
from sharpen.visible import visible


def add_recipes(p: argparse.ArgumentParser) -> None:
    """Options of `recipes`."""
    p.add_argument("--family", help="only this family")


def run_recipes(args: argparse.Namespace) -> int:
    """List the recipes."""
    found = [r for r in all_recipes().values() if args.family in (None, r.family)]
    if not found:
        families = {r.family for r in all_recipes().values()}
        raise SharpenError(f"There is no family {args.family!r} of recipes. {near(args.family, families)}")
    if args.json:
        print(
            json.dumps([{"name": r.name, "family": r.family, "about": r.about, "source": r.source_of} for r in found])
        )
        return 0
    if not Console().is_terminal:
        table((), [(r.name, r.family, r.about, r.source_of) for r in found])
        return 0
    for family in dict.fromkeys(r.family for r in found):
        print(f"{family}: {FAMILIES[family]}")
        mine = [(r.name, r.about, r.source_of) for r in found if r.family == family]
        table(("recipe", "what it does", "source"), mine)
        print()
    return 0


def add_show(p: argparse.ArgumentParser) -> None:
    """Options of `show`."""
    p.add_argument("recipe", metavar="RECIPE")
    p.add_argument("--set", action="append", default=[], metavar="PART.FIELD=VALUE", help="show it with a change")
    p.add_argument(
        "--all", action="store_true", help="every value, not only those that differ from a part's own default"
    )


def run_show(args: argparse.Namespace) -> int:
    """Print one recipe."""
    r = override(find_recipe(args.recipe), args.set)
    parent = all_recipes().get(r.parent)
    changes = difference(parent, r) if parent else []
    if args.json:
        print(
            json.dumps({"recipe": describe(r), "origins": dict(r.origins), "parent": r.parent, "difference": changes})
        )
        return 0
    print("\n".join(shown(r, changes, args.all)))
    return 0


def shown(r: Method, changes: list[str], everything: bool) -> list[str]:
    """The lines of one recipe: composition, sources of its values, and what makes it differ from its parent."""
    # what it is for and where it is from stand around the composition, not in it
    bare = replace(r, about="", source_of="", family="", parent="", origins={})
    out = [f"{r.name}: {r.about}", f"source: {r.source_of}", "", compose(bare, defaults=everything), ""]
    if r.origins:
        out.append("where the values come from:")
        width = max(map(len, r.origins))
        out += [f"  {name:<{width}}  {text}" for name, text in r.origins.items()]
    if r.parent:
        out += ["", f"difference from {r.parent}:", *(f"  {line}" for line in changes)]
    return out


def add_tasks(p: argparse.ArgumentParser) -> None:
    """`tasks` has no options of its own."""


def run_tasks(args: argparse.Namespace) -> int:
    """List the built-in tasks and the adapters."""
    from sharpen.task import builtin
    from sharpen.task.resolve import ADAPTERS

    rows: list[dict[str, Any]] = []
    for name, t in builtin().items():  # not made: a task that needs a sandbox refuses where there is none
        about = (t.__doc__ or "").strip().splitlines()[0]
        rows.append({"name": name, "gives": sorted(t.gives), "rewards": [r.name for r in t.rewards], "about": about})
    rows += [{"name": name, "gives": [], "rewards": [], "about": about} for name, about in ADAPTERS.items()]
    if args.json:
        print(json.dumps(rows))
        return 0
    table(
        ("task", "what it is", "gives", "rewards"),
        [(r["name"], r["about"], ", ".join(r["gives"]), ", ".join(r["rewards"])) for r in rows],
    )
    return 0


def add_check(p: argparse.ArgumentParser) -> None:
    """Options of `check`."""
    p.add_argument("task", metavar="TASK")
    p.add_argument("--problems", type=int, default=200, metavar="N", help="how many problems are tried")
    add_task_options(p)


def run_check(args: argparse.Namespace) -> int:
    """Validate a task; the status is 1 if a check failed."""
    from sharpen.task.validate import validate

    if args.problems < 1:
        raise SharpenError(f"`--problems {args.problems}` must be 1 or more.")
    task = open_task(Setup(task=args.task, task_options=task_options(args), **reward_options(args)))
    report = validate(task, args.problems, rng=random.Random(0))
    if args.json:
        print(json.dumps(asdict(report) | {"passed": report.passed}))
    else:
        print(visible(report.text()))
    return 0 if report.passed else 1


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on a terminal, tab-separated lines elsewhere."""
    console = Console()
    if not console.is_terminal:
        for row in rows:
            print("\t".join(row))
        return
    shown = Table(show_lines=False)
    for k, head in enumerate(heads):
        shown.add_column(head, no_wrap=k == 0)
    for row in rows:
        shown.add_row(*(Text(cell) for cell in row))
    console.print(shown)
