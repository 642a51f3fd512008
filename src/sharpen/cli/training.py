"""`sharpen train`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from sharpen.cli.options import add_model, add_run, add_task, find_recipe, setup_of
from sharpen.cli.progress import Bar, Display, Progress
from sharpen.cli.tables import show_results
from sharpen.errors import SharpenError
from sharpen.loop import Trainer
from sharpen.overrides import override
from sharpen.run.directory import RunDir
from sharpen.run.manifest import rebuild
from sharpen.run.plan import plan
from sharpen.run.session import train
from sharpen.run.setup import Silent, Watcher, default_out, open_policy, open_task, setup_from


def add_train(p: argparse.ArgumentParser) -> None:
    """Options of `train`."""
    p.add_argument("recipe", nargs="?", metavar="RECIPE", help="a name `sharpen recipes` lists, or FILE.py:NAME")
    add_task(p)
    p.add_argument("--model", default="nano", metavar="M", help="a model folder or hub id; `nano` is made on the spot")
    p.add_argument("--out", type=Path, metavar="DIR", help="the run directory (default: a new one under runs/)")
    p.add_argument(
        "--set", action="append", default=[], metavar="PART.FIELD=VALUE", help="change the recipe, repeatable"
    )
    p.add_argument("--resume", action="store_true", help="go on with the run in --out exactly where it was stopped")
    p.add_argument(
        "--dry-run", action="store_true", help="build everything, explain the arithmetic of a batch, and stop"
    )
    add_run(p)
    add_model(p)


class Screen:
    """The watcher of the command line: one display after another, messages above them."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._shown: Display | None = None

    def close(self) -> None:
        """End the display there is."""
        if self._shown is not None:
            self._shown.__exit__(None, None, None)
            self._shown = None

    def message(self, text: str) -> None:
        """A paragraph above the display."""
        if self._shown is not None:
            self._shown.message(text)
        else:
            self.console.print(text, markup=False, highlight=False)

    def phase(self, title: str, total: int, start: int = 0) -> None:
        """A new display."""
        self.close()
        kind = Progress if title.startswith("training with") else Bar
        self._shown = kind(total, title, start=start, console=self.console)
        self._shown.__enter__()

    def update(self, step: int, metrics: Mapping[str, float], tokens_per_second: float = 0.0) -> None:
        """One more step."""
        if isinstance(self._shown, Progress):
            self._shown.update(step, metrics, tokens_per_second)
        elif isinstance(self._shown, Bar):
            self._shown.update(step, metrics.get("loss"))


def run_train(args: argparse.Namespace) -> int:
    """Train, or explain what training would do."""
    console = Console()
    if args.resume:
        return _resume(args, console)
    if not args.recipe:
        raise SharpenError("`sharpen train` needs a recipe, like `sharpen train grpo`. `sharpen recipes` lists them.")
    recipe = override(find_recipe(args.recipe), args.set)
    setup = setup_of(args)
    if args.dry_run:
        task = open_task(setup)
        screen = Screen(console)
        actor = open_policy(setup, task, Silent() if args.json else screen)
        screen.close()
        trainer = Trainer(recipe, task, actor, seed=setup.seed, micro_tokens=setup.micro_tokens)
        lines = plan(trainer).lines()
        print(json.dumps({"recipe": recipe.name, "task": task.name, "plan": lines}) if args.json else "\n".join(lines))
        return 0
    out = args.out or default_out(recipe, setup)
    return _finish(args, console, lambda watcher: train(recipe, setup, out, watcher=watcher, origin=_origin(args)))


def _origin(args: argparse.Namespace) -> dict[str, Any]:
    """Where the recipe was taken from, for resuming."""
    return {"recipe": args.recipe, "set": list(args.set)}


def _resume(args: argparse.Namespace, console: Console) -> int:
    if args.out is None:
        raise SharpenError("`--resume` needs `--out DIR`, the directory of the run to go on with.")
    manifest = RunDir.open(args.out).manifest()
    origin = manifest["origin"]
    name = origin["recipe"] or manifest["name"]
    if args.recipe and args.recipe != name:
        raise SharpenError(
            f"The run in {args.out} was started with the recipe {name!r}, not {args.recipe!r}. Leave the recipe out, "
            "or give another --out to start a new run."
        )
    # a run started from Python with a recipe of its own has no name to find it by, but every value
    known = find_recipe(origin["recipe"]) if origin["recipe"] else rebuild(manifest["recipe"])
    recipe = override(known, origin["set"])
    setup = setup_from(manifest["setup"])
    return _finish(args, console, lambda watcher: train(recipe, setup, args.out, resume=True, watcher=watcher))


def _finish(args: argparse.Namespace, console: Console, start: Any) -> int:
    screen = Screen(console)
    watcher: Watcher = Silent() if args.json else screen
    try:
        run = start(watcher)
    finally:
        screen.close()
    evaluation = {s: {w: e.to_plain() for w, e in times.items()} for s, times in run.evaluation.items()}
    if args.json:
        cost = run.history[-1]["cost"] if run.history else {}
        json.dump({"run": str(run.path), "recipe": run.recipe, "evaluation": evaluation, "cost": cost}, sys.stdout)
        print()
        return 0
    for finding in run.findings:
        screen.message(f"{finding.severity}: {finding.text}")
    show_results(console, evaluation, run.samples, where=str(run.path))
    return 0
