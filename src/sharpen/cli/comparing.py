"""`sharpen compare`: methods at equal budget."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from rich.console import Console

from sharpen.cli.looking import table
from sharpen.cli.options import add_limits, add_measuring, add_model, add_task_options, setup_of
from sharpen.cli.screen import Screen
from sharpen.errors import SharpenError
from sharpen.run.watching import Silent, Watcher
from sharpen.study import Study, compared, entries
from sharpen.study.base import POINTS
from sharpen.study.compared import Compared
from sharpen.study.page import verdict
from sharpen.study.tables import NOTE, aligned, sections
from sharpen.visible import visible


def add_compare(p: argparse.ArgumentParser) -> None:
    """Options of `compare`."""
    p.add_argument("recipes", nargs="+", metavar="RECIPE", help="names `sharpen recipes` lists, or FILE.py:NAME")
    p.add_argument(
        "--task", action="append", default=[], metavar="T", help="as of `train`, repeatable (default: chain)"
    )
    add_task_options(p)
    p.add_argument("--model", default="nano", metavar="M", help="what every run starts from")
    p.add_argument("--seeds", type=int, default=5, metavar="N", help="seeds 0 to N-1 of each recipe on each task")
    p.add_argument(
        "--budget", default="100-iterations", metavar="B", help="of each run: 2M-tokens, 200-steps, 50-iterations, 300s"
    )
    p.add_argument("--out", type=Path, default=Path("compare"), metavar="DIR", help="where runs and results are kept")
    p.add_argument("--jobs", type=int, default=0, metavar="N", help="runs at once, of one thread (default: one a core)")
    p.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="[NAME:]PART.FIELD=VALUE",
        help="change all recipes, or the one called NAME, repeatable",
    )
    p.add_argument(
        "--target", type=float, default=None, metavar="X", help="accuracy whose cost is told (default: half the way up)"
    )
    add_measuring(p, 1 / POINTS)
    add_limits(p)
    add_model(p)
    p.set_defaults(seed=0, tracker=[], engine="local", workers=0, ahead=0)


def run_compare(args: argparse.Namespace) -> int:
    """Make the study, show what came out; the status is 1 if a run failed."""
    if args.jobs < 0:
        raise SharpenError(f"`--jobs {args.jobs}` must be 0 (one a core) or more.")
    tasks = tuple(args.task) or ("chain",)
    setup = setup_of(argparse.Namespace(**{**vars(args), "task": tasks[0]}))
    study = Study(entries(args.recipes, args.set), tasks, args.seeds, args.budget, setup, args.target)
    screen = Screen(Console())
    watcher: Watcher = Silent() if args.json else screen
    try:
        done = compared(study, args.out, jobs=args.jobs, watcher=watcher)
    finally:
        screen.close()
    if args.json:
        print(json.dumps(done.results))
    else:
        show(done)
    return int(bool(done.results["errors"]))


def show(done: Compared) -> None:
    """Print the tables of a study, and where everything lies."""
    told = done.results
    print(verdict(told))
    for name, (heads, *rows) in sections(told):
        print(f"\n{name}")
        if Console().is_terminal:
            table(heads, rows)
        else:
            print("\n".join(aligned([heads, *rows])))
    print(f"\n{NOTE}")
    for name, text in told["errors"].items():
        print(f"{name} failed: {visible(text)}")
    print(f"Results: {done.path / 'report.html'}, results.json and results.csv beside it")
