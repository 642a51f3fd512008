"""One method of every kind, each as the words of a command line that makes a run of seconds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from sweep import prepare

from sharpen.actor.flowbase import FlowNano, flow_base
from sharpen.actor.nano import Nano, nano_base
from sharpen.task import Latent, task

REWARD = """def score(text, problem):
    return {"score": float(str(problem.answer) in text), "long": len(text) / 100}
"""

SMALL = (
    *("--eval-problems", "4", "--eval-samples", "2", "--measure-every", "2", "--measure-problems", "3"),
    *("--measure-samples", "2", "--rollouts-every", "1", "--rollout-groups", "2", "--checkpoint-every", "2"),
)
"""What every one is given: held-out problems before, while and after, rollouts of each iteration, few checkpoints."""


def sets(*changes: str) -> tuple[str, ...]:
    return tuple(word for change in changes for word in ("--set", change))


KINDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "grpo": ("reinforcement", sets("Loop.iterations=6", "Loop.problems=8", "Sample.n=8")),
    "ppo": ("a critic", sets("Loop.iterations=6", "Loop.problems=8")),
    "rest-mcts": ("search with a value model", sets("Loop.iterations=4", "Loop.problems=4")),
    "irpo": ("preferences", sets("Loop.iterations=6", "Loop.problems=4", "Sample.n=4")),
    "sec": ("a curriculum that remembers", sets("Loop.iterations=6", "Loop.problems=4", "Sample.n=4")),
    "tango": (
        "two trained players",
        sets(
            *("Loop.0.iterations=2", "Loop.0.problems=4", "Loop.1.iterations=2", "Loop.1.problems=4"),
            *("Loop.2.iterations=3", "Loop.2.problems=4"),
        ),
    ),
    "gigpo": ("episodes of turns", ("--task", "grid", *sets("Loop.iterations=4", "Loop.problems=2", "Sample.n=3"))),
    "flow-grpo": ("a flow policy", ("--task", "points", *sets("Loop.iterations=6", "Loop.problems=4", "Sample.n=4"))),
    "reft": (
        "a program of two methods",
        sets("Loop.0.iterations=3", "Loop.0.problems=4", "Loop.1.iterations=4", "Loop.1.problems=4"),
    ),
    "b-star": ("one that searches its own settings", sets("Loop.iterations=4", "Loop.problems=4", "Sample.0.n=4")),
}
"""Method by method: of what kind it is, and what makes it small."""


def words(name: str, folder: Path) -> tuple[str, ...]:
    """The words of its command line after `train`, without `--out`; what it needs is made in the folder or beside."""
    if name == "grpo":  # one of files of the user's, with a reward computed by processes of its own
        (folder / "reward.py").write_text(REWARD)
        more = (*prepare(folder), "--reward", str(folder / "reward.py:score"), "--reward-workers", "2")
    else:
        more = ("--model", str(base(name, folder.parent)))
    return (name, *SMALL, *KINDS[name][1], *more)


def base(name: str, folder: Path) -> Path:
    """The folder of a small model that was brought up on the method's task for a moment, made once a folder."""
    os.environ["SHARPEN_CACHE"] = str(folder / "cache")
    given = KINDS[name][1]
    made = task(given[1] if given[0] == "--task" else "chain")
    if isinstance(made, Latent):
        return flow_base(made, FlowNano(width=16, layers=1, batches=50, batch=32))
    return nano_base(made, Nano(width=32, layers=2, heads=2, steps=80, batch=48))


def taken(count: int, names: tuple[str, ...]) -> Iterator[tuple[str, int]]:
    """So many kills shared out among methods."""
    for i, name in enumerate(names):
        yield name, count // len(names) + (i < count % len(names))
