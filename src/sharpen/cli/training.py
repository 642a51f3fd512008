"""`sharpen train`."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from sharpen.cli.again import Repeat, repeated
from sharpen.cli.options import add_ahead, add_engine, add_model, add_run, add_task, find_recipe, setup_of
from sharpen.cli.screen import Screen
from sharpen.cli.tables import show_results
from sharpen.errors import SharpenError, option
from sharpen.loop import Trainer
from sharpen.overrides import override
from sharpen.parallel.group import joined
from sharpen.recipe import Method, recipes_of
from sharpen.run.directory import RunDir
from sharpen.run.foreign import refuse_code
from sharpen.run.manifest import rebuild
from sharpen.run.naming import default_out
from sharpen.run.opening import open_task, sketch_policy
from sharpen.run.origin import recorded, setup_of_run
from sharpen.run.plan import plan
from sharpen.run.session import Run, train
from sharpen.run.setup import HOW, SAME, Setup
from sharpen.run.watching import Silent, Watcher
from sharpen.visible import one_line

FREE = (*HOW, "trackers", "reward")
"""What may be changed when a run is resumed."""

FREE_MODEL = ("device", "checkpointing")
"""The same of the model's options."""

OPTIONS = {"task_options": "--task-set", "trackers": "--tracker"}
"""Options that are not called as their fields are."""

TRUST = "--trust-remote-code"
"""An option that a run's manifest does not give: whoever goes on with the run gives it again."""

BESIDES = frozenset(("--from", "--out", "--tracker", "--dry-run", "--json", "--traceback", TRUST))
"""Options of a run that is made again which have nothing to do with what it is; those of `SAME` are allowed too."""


def add_train(p: argparse.ArgumentParser) -> None:
    """Options of `train`."""
    p.add_argument("recipe", nargs="?", metavar="RECIPE", help="a name `sharpen recipes` lists, or FILE.py:NAME")
    add_task(p)
    p.add_argument("--model", default="nano", metavar="M", help="a model folder or hub id; `nano` is made on the spot")
    p.add_argument("--out", type=Path, metavar="DIR", help="the run directory (default: a new one under runs/)")
    p.add_argument(
        "--from", type=Path, dest="again", metavar="RUN", help="make a run again from its manifest, to the bit"
    )
    p.add_argument(
        "--set", action="append", default=[], metavar="PART.FIELD=VALUE", help="change the recipe, repeatable"
    )
    p.add_argument("--resume", action="store_true", help="go on with the run in --out exactly where it was stopped")
    p.add_argument(
        "--dry-run", action="store_true", help="build everything, explain the arithmetic of a batch, and stop"
    )
    add_run(p)
    add_engine(p)
    add_ahead(p)
    add_model(p)


def run_train(args: argparse.Namespace) -> int:
    """Train, or explain what training would do."""
    with joined() as world:
        if args.again:
            found = _repeated(args)
            recipe, setup, origin = found.recipe, found.setup, found.origin
            if world.main:
                for text in found.warnings:
                    print(f"sharpen: warning: {one_line(text)}", file=sys.stderr)
        elif args.resume:
            recipe, setup, origin = _resumed(args)
        else:
            if not args.recipe:
                raise SharpenError(
                    "`sharpen train` needs a recipe, like `sharpen train grpo`. `sharpen recipes` lists them."
                )
            recipe, setup = override(find_recipe(args.recipe), args.set), setup_of(args)
            origin = {"recipe": args.recipe, "set": list(args.set)}
        if args.dry_run:
            return _explain(args, recipe, setup) if world.main else 0
        # the main process may have made the folder before another looks for one that is not there
        out = args.out or Path(world.gather(str(default_out(recipe, setup)))[0])

        def start(watcher: Watcher) -> Run:
            return train(recipe, setup, out, resume=args.resume, watcher=watcher, origin=origin, world=world)

        return _finish(args, start) if world.main else (start(Silent()), 0)[1]


def _explain(args: argparse.Namespace, recipe: Method, setup: Setup) -> int:
    task = open_task(setup)
    budget = setup.spend()
    trainer = Trainer(
        recipe,
        task,
        sketch_policy(setup, task),
        seed=setup.seed,
        micro_tokens=setup.micro_tokens,
        ahead=setup.ahead,
        budget=budget,
    )
    plans = plan(trainer)
    if args.json:
        shown = [dataclasses.asdict(p) for p in plans]
        told = {"recipe": recipe.name, "task": task.name, "plan": shown[0] if len(shown) == 1 else shown}
        print(json.dumps(told | ({"budget": dataclasses.asdict(budget)} if budget else {})))
    else:
        for p in plans:
            print("\n".join([*([f"{p.recipe}:"] if len(plans) > 1 else []), *p.lines()]))
        if budget:
            print(f"the budget: {budget.text()}; {recipes_of(recipe)[-1].name} goes on until it is spent")
    return 0


def _resumed(args: argparse.Namespace) -> tuple[Method, Setup, dict[str, Any]]:
    """The recipe and the setup a run was started with; options that would make it another run are refused."""
    if args.out is None:
        raise SharpenError("`--resume` needs `--out DIR`, the directory of the run to go on with.")
    run = RunDir.open(args.out)
    manifest, old = recorded(run), setup_of_run(run)
    origin = manifest["origin"]
    theirs = dataclasses.replace(old, reward="") if "--reward" in args.given else old
    refuse_code(args.out, origin["recipe"], theirs, args.trust_remote_code)
    name = origin["recipe"] or manifest["name"]
    if args.recipe and args.recipe != name:
        raise SharpenError(
            f"The run in {args.out} was started with the recipe {name!r}, not {args.recipe!r}. Leave the "
            "recipe out, or give another --out to start a new run."
        )
    if args.set and list(args.set) != list(origin["set"]):
        was = " ".join(f"--set {x}" for x in origin["set"]) or "no --set"
        raise SharpenError(
            f"The run in {args.out} was started with {was}, and is resumed exactly so. Leave --set out, or give "
            f"another --out to start a new run (from this one's model by `--model {run.policy}` if it is finished)."
        )
    setup = _merged(args, old, setup_of(args))
    # a run started from Python with a recipe of its own has no name to find it by, but every value
    known = find_recipe(origin["recipe"]) if origin["recipe"] else rebuild(manifest["recipe"])
    return override(known, origin["set"]), setup, origin


def _repeated(args: argparse.Namespace) -> Repeat:
    """What makes a run again; options that would make it another run are refused."""
    same = {option(name): name for name in SAME}
    others = sorted(args.given - same.keys() - BESIDES)
    if args.recipe or others:
        what = args.recipe or others[0]
        raise SharpenError(
            f"`--from {args.again}` makes that run again as it was, and {what} might make it another. Leave {what} out "
            f"(what may be given: --out, {', '.join(same)}), or leave "
            "--from out to start a run of your own."
        )
    found = repeated(args.again, args.trust_remote_code)
    given = setup_of(args)
    changes = {name: getattr(given, name) for text, name in same.items() if text in args.given}
    return dataclasses.replace(found, setup=dataclasses.replace(found.setup, **changes, trackers=given.trackers))


def _merged(args: argparse.Namespace, old: Setup, new: Setup) -> Setup:
    """The old setup with those of the new one's options that may be changed."""
    changes = _differing(args, old, new, FREE, ("model_setup",))
    model = _differing(args, old.model_setup, new.model_setup, FREE_MODEL, ())
    return dataclasses.replace(old, **changes, model_setup=dataclasses.replace(old.model_setup, **model))


def _differing(
    args: argparse.Namespace, old: Any, new: Any, free: tuple[str, ...], skip: tuple[str, ...]
) -> dict[str, Any]:
    """Fields given on the command line that differ from the old ones; SharpenError for one that is not free."""
    out = {}
    for f in dataclasses.fields(old):
        was, given = getattr(old, f.name), getattr(new, f.name)
        called = OPTIONS.get(f.name, option(f.name))
        if f.name in skip or called not in args.given or given == was:
            continue
        if f.name not in free:
            raise SharpenError(
                f"The run in {args.out} was started with another {called} ({was!r}, now {given!r}), and is resumed "
                f"exactly as it was. Leave {called} out, or give another --out to start a new run."
            )
        out[f.name] = given
    return out


def _finish(args: argparse.Namespace, start: Callable[[Watcher], Run]) -> int:
    console = Console()
    screen = Screen(console)
    watcher: Watcher = Silent() if args.json else screen
    try:
        run = start(watcher)
    finally:
        screen.close()
    evaluation = {s: {w: e.to_plain() for w, e in times.items()} for s, times in run.evaluation.items()}
    if args.json:
        cost = run.history[-1]["cost"] if run.history else {}
        findings = [dataclasses.asdict(f) for f in run.findings]
        told = {"run": str(run.path), "recipe": run.recipe, "evaluation": evaluation, "cost": cost}
        json.dump(told | {"findings": findings}, sys.stdout)
        print()
        return 0
    for finding in run.findings:
        screen.message(f"{finding.severity}: {finding.text}")
    show_results(console, evaluation, run.samples, where=str(run.path), told=run.story)
    return 0
