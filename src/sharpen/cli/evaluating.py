"""`sharpen eval` and `sharpen export`: measuring and taking away what was trained."""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from sharpen.actor.base import Actor
from sharpen.actor.text import TextActor
from sharpen.actor.value import ValueActor
from sharpen.cli.judging import kind_of, show_judged
from sharpen.cli.options import add_engine, add_model, add_task, model_setup, reward_options, task_options
from sharpen.cli.screen import Screen
from sharpen.cli.tables import show_results
from sharpen.errors import SharpenError, near
from sharpen.evaluate import evaluate
from sharpen.judging import judge_report
from sharpen.overrides import override
from sharpen.run.directory import RunDir
from sharpen.run.files import TEMPORARY
from sharpen.run.manifest import rebuild
from sharpen.run.opening import open_policy, open_task, serving
from sharpen.run.setup import Setup, setup_to_measure
from sharpen.run.watching import Silent, Watcher
from sharpen.search import SEARCHES, BestOfN, Search
from sharpen.task.base import Task


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
        "--k", default="", help="the k of pass@k, by commas; the largest is the number of samples (default: 1,4,16)"
    )
    p.add_argument("--problems", type=int, default=256, metavar="N", help="problems of each split")
    p.add_argument("--temperature", type=float, default=1.0, metavar="T", help="of the samples")
    p.add_argument("--seed", type=int, default=0, metavar="N", help="of the samples and the intervals")
    p.add_argument(
        "--with",
        dest="search",
        default="",
        metavar="SEARCH",
        help=f"answer by search: {', '.join(SEARCHES)} (one answer a problem unless --k is given)",
    )
    p.add_argument(
        "--budget", type=int, default=0, metavar="N", help="generated tokens a search may spend on a problem"
    )
    p.add_argument(
        "--set", action="append", default=[], metavar="PART.FIELD=VALUE", help="a field of the search, repeatable"
    )
    p.add_argument(
        "--judge",
        default="",
        metavar="NAME",
        help="measure a model the run trained as a judge: a reward model's pairs and best-of-n, a process model's "
        "step-error F1, a critic's calibration",
    )
    p.add_argument(
        "--value",
        default="",
        metavar="NAME_OR_DIR",
        help="the model that judges: one the run trained, or a folder (default: the one the run trained)",
    )
    add_engine(p)
    add_model(p)


def run_eval(args: argparse.Namespace) -> int:
    """Measure."""
    args.k = args.k or ("1" if args.search else "1,2,4,8,16" if args.judge else "1,4,16")
    search = search_of(args)
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
    stack = contextlib.ExitStack()
    try:
        actor = open_policy(setup, task, watcher)
        stack.enter_context(serving(actor, setup, watcher=watcher))
        judges = {search.value: open_judge(args, actor)} if search and search.judges else {}
        splits = args.split or [s for s in task.splits if s != "train"] or list(task.splits)
        if args.judge:
            return _judge(args, setup, task, actor, splits, ks)
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
                program=search,
                actors=judges,
                greedy=search is None,
                seed=args.seed,
            )
            watcher.update(i + 1, {"accuracy": found[split].accuracy.mean})
    finally:
        stack.close()
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


def _judge(
    args: argparse.Namespace, setup: Setup, task: Task, policy: Actor, splits: Sequence[str], ks: Sequence[int]
) -> int:
    """Measure a model of a run as a judge of its policy's answers."""
    args.value = args.judge
    judge = open_judge(args, policy)
    kind = kind_of(rebuild(RunDir.open(Path(args.model)).manifest()["recipe"]), args.judge)
    found = {
        split: judge_report(
            judge,
            policy,
            task,
            kind=kind,
            split=split,
            problems=args.problems,
            samples=ks[-1],
            ns=ks,
            temperature=args.temperature,
            seed=args.seed,
        )
        for split in splits
    }
    show_judged(args.judge, found, args.json)
    return 0


def search_of(args: argparse.Namespace) -> Search | None:
    """The search that was asked for, with its fields set."""
    if not args.search:
        if args.budget or args.set or args.value:
            raise SharpenError("`--budget`, `--set` and `--value` are of a search: name one with `--with`.")
        return None
    if args.search not in SEARCHES:
        raise SharpenError(f"There is no search {args.search!r}. {near(args.search, SEARCHES)}")
    search = override(SEARCHES[args.search], args.set)
    if args.budget < 0:
        raise SharpenError(f"`--budget {args.budget}` is no number of tokens; give 1 or more.")
    # with a budget it alone decides how many answers are drawn
    free = {"n": 0} if args.budget and isinstance(search, BestOfN) and not any("n=" in x for x in args.set) else {}
    return replace(search, budget=args.budget or search.budget, **free)  # type: ignore[arg-type]


def open_judge(args: argparse.Namespace, policy: Actor) -> ValueActor:
    """The value or reward model that a search asks: a folder, or one that the run trained."""
    if not isinstance(policy, TextActor):
        raise SharpenError("A value model judges texts, and this policy draws none: measure it without a search.")
    if args.value and (Path(args.value) / "head.safetensors").exists():
        return ValueActor.load(Path(args.value), policy)
    found = {p.parent.name: p.parent for p in sorted(Path(args.model).glob("actors/*/head.safetensors"))}
    if not args.value and len(found) == 1:
        return ValueActor.load(next(iter(found.values())), policy)
    if args.value in found:
        return ValueActor.load(found[args.value], policy)
    there = f"it has trained {', '.join(found)}" if found else "it has trained none"
    if args.judge:
        raise SharpenError(
            f"{args.model} holds no value or reward model {args.judge!r}: {there}. `--judge` measures one that a run "
            "trained; `sharpen recipes` says which recipes train some."
        )
    raise SharpenError(
        f"`--with {args.search}` asks a value model, and {args.model} names none for it ({there}). Name one that the "
        "run trained or a folder with `--value`, measure a run of a recipe that trains one (`sharpen recipes`), or "
        "search without: `--with majority`, `--with beam`."
    )


def _setup(args: argparse.Namespace) -> Setup:
    """The setup to measure with: a run brings its own task and limits."""
    limits, options, reward = model_setup(args), task_options(args), reward_options(args)
    return setup_to_measure(args.model, limits, args.task, options, reward, args.engine, args.workers)


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
    links = [p for p in (run.policy, *run.policy.rglob("*")) if p.is_symlink() or not (p.is_file() or p.is_dir())]
    if links:
        raise SharpenError(
            f"{links[0]} is a link or no file, and a model is taken out only where all of it lies in the run: else a "
            "file of yours could go out with it. Put a copy in its place."
        )
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
