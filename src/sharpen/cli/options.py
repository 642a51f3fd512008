"""Options that several commands share, and how they become a setup."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

from sharpen import userfile
from sharpen.actor.load import ModelSetup
from sharpen.errors import SharpenError, option
from sharpen.recipe import Method, Program, Recipe
from sharpen.run.setup import Setup


def add_task(p: argparse.ArgumentParser, default: str | None = "chain") -> None:
    """`--task` and its options."""
    p.add_argument(
        "--task",
        default=default,
        metavar="T",
        help="a built-in task, gym:NAME, a .jsonl or .parquet file, hf:ID, FILE.py:CLASS, or confident:TASK",
    )
    add_task_options(p)


def add_task_options(p: argparse.ArgumentParser) -> None:
    """What changes a task: its options, and a reward of the user's own."""
    p.add_argument(
        "--task-set", action="append", default=[], metavar="FIELD=VALUE", help="an option of the task, repeatable"
    )
    p.add_argument(
        "--reward", default="", metavar="FILE.py:FN", help="a reward function of your own, which then decides"
    )
    p.add_argument(
        "--reward-timeout", type=float, default=10.0, metavar="SECONDS", help="how long one call of it may take"
    )
    p.add_argument("--reward-workers", type=int, default=1, metavar="N", help="processes that call it")


def add_model(p: argparse.ArgumentParser) -> None:
    """How the model is loaded and run."""
    p.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    p.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"), help="type of matrix products")
    p.add_argument(
        "--lora", type=int, default=0, metavar="RANK", help="train adapters of this rank instead of all weights"
    )
    p.add_argument(
        "--checkpointing", action="store_true", help="recompute activations in the backward pass to save memory"
    )
    p.add_argument(
        "--max-tokens", type=int, default=0, metavar="N", help="limit of one drawn answer (default: the task's)"
    )
    p.add_argument(
        "--max-context", type=int, default=0, metavar="N", help="limit of prompt and answer (default: the model's)"
    )
    p.add_argument("--lr", type=float, default=None, help="the model's learning rate, which recipes scale")
    p.add_argument("--trust-remote-code", action="store_true", help="run code that comes with the model")


def add_engine(p: argparse.ArgumentParser) -> None:
    """What the policy draws on."""
    p.add_argument(
        "--engine",
        default="local",
        metavar="E",
        help="what draws samples: local, vllm, vllm-server, vllm:http://127.0.0.1:PORT, ray, or ray:vllm",
    )
    p.add_argument(
        "--workers",
        type=int,
        default=0,
        metavar="N",
        help="rollout workers of `--engine ray` (default: one a GPU that is free in the cluster, 2 without GPUs)",
    )


def add_ahead(p: argparse.ArgumentParser) -> None:
    """How far sampling may run ahead of training."""
    p.add_argument(
        "--ahead",
        type=int,
        default=0,
        metavar="N",
        help="draw samples while up to N earlier iterations are learnt from (engines with weights of their own)",
    )


def add_run(p: argparse.ArgumentParser) -> None:
    """Seed, limits, what is kept."""
    p.add_argument("--seed", type=int, default=0, metavar="N", help="equal seeds give equal runs")
    p.add_argument(
        "--budget",
        default="",
        metavar="B",
        help="go on until this is spent, whatever Loop.iterations: 2M-tokens, 200-steps, 50-iterations, 300s",
    )
    add_measuring(p, 0.0)
    add_limits(p)
    p.add_argument(
        "--tracker", action="append", default=[], metavar="NAME", help="tensorboard, wandb or trackio, repeatable"
    )


def add_limits(p: argparse.ArgumentParser) -> None:
    """How much is measured and kept."""
    fields = {f.name: f for f in dataclasses.fields(Setup)}
    for name, text in {
        "micro_tokens": "padded tokens of one forward pass in training; less saves memory and only rounds otherwise",
        "eval_problems": "held-out problems measured before and after (0: none)",
        "eval_samples": "samples of each",
        "checkpoint_every": "iterations between checkpoints",
        "rollouts_every": "iterations between kept rollouts",
        "rollout_groups": "groups kept then",
    }.items():
        p.add_argument(option(name), type=int, default=fields[name].default, metavar="N", help=text)


def add_measuring(p: argparse.ArgumentParser, every: float) -> None:
    """How often the policy is measured while it trains, and on what."""
    fields = {f.name: f for f in dataclasses.fields(Setup)}
    p.add_argument(
        "--measure-every",
        type=float,
        default=every,
        metavar="X",
        help="measure held-out problems while training: a share of the budget below 1, or iterations (0: never)",
    )
    for name, text in {
        "measure_problems": "held-out problems measured then",
        "measure_samples": "samples of each",
    }.items():
        p.add_argument(option(name), type=int, default=fields[name].default, metavar="N", help=text)


def model_setup(args: argparse.Namespace) -> ModelSetup:
    """The model options."""
    return ModelSetup(
        **{f.name: getattr(args, f.name) for f in dataclasses.fields(ModelSetup) if hasattr(args, f.name)}
    )


def task_options(args: argparse.Namespace) -> dict[str, Any]:
    """`--task-set` as a mapping of texts; the task knows their types."""
    out = {}
    for item in args.task_set:
        name, sign, value = item.partition("=")
        if not sign:
            raise SharpenError(f"`--task-set {item}` is not of the form FIELD=VALUE, like `--task-set low=3`.")
        out[name.strip().replace("-", "_")] = value.strip()
    return out


def reward_options(args: argparse.Namespace) -> dict[str, Any]:
    """The reward options, as fields of a setup."""
    return {
        "reward": args.reward,
        "reward_timeout": args.reward_timeout,
        "reward_workers": args.reward_workers,
    }


def setup_of(args: argparse.Namespace) -> Setup:
    """The whole setup of a run."""
    names = ("micro_tokens", "eval_problems", "eval_samples", "checkpoint_every", "rollouts_every", "rollout_groups")
    return Setup(
        task=args.task,
        task_options=task_options(args),
        model=args.model,
        model_setup=model_setup(args),
        seed=args.seed,
        trackers=tuple(args.tracker),
        engine=args.engine,
        workers=args.workers,
        ahead=args.ahead,
        budget=args.budget,
        measure_every=args.measure_every,
        measure_problems=args.measure_problems,
        measure_samples=args.measure_samples,
        **reward_options(args),
        **{n: getattr(args, n) for n in names},
    )


def find_recipe(name: str) -> Method:
    """A built-in recipe by name, or one of the user's by `FILE.py:NAME`."""
    from sharpen.recipes import recipe

    if not userfile.is_meant(name):
        return recipe(name)
    found = userfile.find(name, (Recipe, Program), "recipe")
    if not isinstance(found, Recipe | Program):
        raise SharpenError(f"{name} is a class of recipes; name a recipe made of it.")
    return found
