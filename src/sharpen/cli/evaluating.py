"""`sharpen eval` and `sharpen export`: measuring and taking away what was trained."""

from __future__ import annotations

import argparse
import json
import math
import shutil
from pathlib import Path

from rich.console import Console

from sharpen.cli.options import add_model, add_task, model_setup, reward_options, task_options
from sharpen.cli.screen import Screen
from sharpen.cli.tables import show_results
from sharpen.errors import SharpenError, near
from sharpen.evaluate import evaluate
from sharpen.run.directory import RunDir
from sharpen.run.files import TEMPORARY
from sharpen.run.setup import Setup, Silent, Watcher, open_policy, open_task, setup_to_measure


def add_eval(p: argparse.ArgumentParser) -> None:
    """Options of `eval`."""
    p.add_argument("model", metavar="MODEL_OR_RUN", help="a model folder or hub id, `nano`, or a run directory")
    add_task(p, default=None)
    p.add_argument(
        "--split",
        action="append",
        default=[],
        metavar="S",
        help="a split of the task, repeatable (default: all but train)",
    )
    p.add_argument(
        "--k", default="1,4,16", help="the k of pass@k, separated by commas; the largest is the number of samples"
    )
    p.add_argument("--problems", type=int, default=256, metavar="N", help="problems of each split")
    p.add_argument("--temperature", type=float, default=1.0, metavar="T", help="of the samples")
    p.add_argument("--seed", type=int, default=0, metavar="N", help="of the samples and the intervals")
    add_model(p)


def run_eval(args: argparse.Namespace) -> int:
    """Measure."""
    try:
        ks = sorted({int(k) for k in args.k.split(",")})
    except ValueError:
        ks = []
    if not ks or ks[0] < 1 or args.problems < 1 or not 0 <= args.temperature < math.inf:
        raise SharpenError(
            f"`--k {args.k} --problems {args.problems} --temperature {args.temperature}` cannot be measured: k are "
            "whole numbers from 1 "
            "on, separated by commas; problems 1 or more; temperature 0 or more."
        )
    setup = _setup(args)
    task = open_task(setup)
    for split in args.split:
        if split not in task.splits:
            raise SharpenError(f"Task {task.name!r} has no split {split!r}. {near(split, task.splits)}")
    screen = Screen(Console())
    watcher: Watcher = Silent() if args.json else screen
    found = {}
    try:
        actor = open_policy(setup, task, watcher)
        splits = args.split or [s for s in task.splits if s != "train"] or list(task.splits)
        watcher.phase("measuring the model", len(splits), 0, "accuracy")
        for i, split in enumerate(splits):
            found[split], _ = evaluate(
                actor,
                task,
                split,
                problems=args.problems,
                samples=ks[-1],
                ks=ks,
                temperature=args.temperature,
                seed=args.seed,
            )
            watcher.update(i + 1, {"accuracy": found[split].accuracy.mean})
    finally:
        screen.close()
    if args.json:
        print(
            json.dumps(
                {"model": setup.model, "task": task.name, "evaluation": {s: e.to_plain() for s, e in found.items()}}
            )
        )
    else:
        show_results(Console(), {s: {"after": e.to_plain()} for s, e in found.items()})
    return 0


def _setup(args: argparse.Namespace) -> Setup:
    """The setup to measure with: a run brings its own task and limits."""
    return setup_to_measure(args.model, model_setup(args), args.task, task_options(args), reward_options(args))


def add_export(p: argparse.ArgumentParser) -> None:
    """Options of `export`."""
    p.add_argument("source", type=Path, metavar="RUN", help="a run directory")
    p.add_argument("folder", type=Path, metavar="DIR", help="where the model folder is to be; it must not exist")


def run_export(args: argparse.Namespace) -> int:
    """Copy the policy out of a run."""
    run = RunDir.open(args.source)
    if not (run.policy / "config.json").exists():
        raise SharpenError(
            f"The run in {args.source} has no policy yet: it is not finished. Go on with `sharpen train --resume --out "
            f"{args.source}`."
        )
    if args.folder.exists():
        raise SharpenError(f"{args.folder} is there already, and export overwrites nothing. Give another folder.")
    beside = args.folder.with_name(f"{TEMPORARY}{args.folder.name}")
    try:
        args.folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(run.policy, beside)
        beside.rename(args.folder)
    except OSError as error:
        raise SharpenError(
            f"The model could not be written to {args.folder} ({error.strerror or error}). Give a folder where you may "
            "write and where there is room."
        ) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    print(json.dumps({"model": str(args.folder)}) if args.json else f"The model is in {args.folder}.")
    return 0
