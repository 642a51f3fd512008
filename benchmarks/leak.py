"""Whether the memory of a long run stays flat: resident memory and live tensors, iteration by iteration.

`python benchmarks/leak.py [--iterations 500] [--only NAME]`. Each row is a process of its own that makes a whole run
(records, rollouts, checkpoints, held-out measures) of a tiny model. The first 50 iterations fill what is meant to fill;
after them the slope of resident memory, by least squares over all iterations, must stay below 20 kB an iteration, and
that of the number of live tensors (as the garbage collector knows them, every fifth iteration) below a fifth of one:
who keeps a single tensor an iteration has a slope of 1. Exits with 1 where one of them does not.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch

BOUND = 20.0
"""kB an iteration."""

WARM = 50
"""Iterations that are not looked at."""

EVERY = 5
"""Iterations between counts of tensors."""

KEPT = 0.2
"""Tensors an iteration."""

RUNS: dict[str, tuple[str, tuple[str, ...]]] = {
    "grpo": ("chain", ("Loop.problems=2", "Sample.n=4")),
    "rest-mcts": ("chain", ("Loop.problems=1",)),
    "archer": ("grid", ("Loop.problems=4", "Store.size=100", "Replay.n=4", "Redraw.n=4", "Update.2.start=10")),
}
"""Method by method its task and what makes it small: plain sampling, a search with a value model, and one with a store
of episodes (full before the iterations that count) from which it replays."""


class Watch:
    """Notes memory and tensors after each iteration."""

    def __init__(self) -> None:
        self.training = False
        self.resident: list[float] = []
        self.tensors: list[int] = []

    def message(self, text: str) -> None:
        """Nothing."""

    def phase(self, title: str, total: int, start: int = 0, shows: str = "loss") -> None:
        """Only training counts."""
        self.training = title.startswith("training with")

    def update(self, step: int, metrics: Mapping[str, float], tokens_per_second: float = 0.0) -> None:
        """One iteration."""
        if not self.training:
            return
        self.resident.append(resident())
        if len(self.resident) % EVERY == 0:
            gc.collect()
            self.tensors.append(sum(issubclass(type(x), torch.Tensor) for x in gc.get_objects()))


def resident() -> float:
    """kB of this process that are in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024


def slope(values: list[float]) -> float:
    """By least squares, a step."""
    n = len(values)
    middle, mean = (n - 1) / 2, sum(values) / n
    return sum((i - middle) * (y - mean) for i, y in enumerate(values)) / sum((i - middle) ** 2 for i in range(n))


def work(name: str, iterations: int) -> dict[str, float]:
    """One run in this process."""
    from sharpen.actor import text
    from sharpen.actor.load import ModelSetup, wrap
    from sharpen.actor.nano import Nano, character_tokenizer, nano_model
    from sharpen.api import train

    torch.set_num_threads(1)
    text.PROMPTS = 16  # what is kept of prompts is full before the iterations that count
    task, changes = RUNS[name]
    watch = Watch()
    with tempfile.TemporaryDirectory() as folder:
        model = nano_model(Nano(width=16, layers=1, heads=2, context=512))
        wrap(model, character_tokenizer(), ModelSetup(device="cpu")).export(Path(folder) / "model")
        train(
            name,
            task,
            Path(folder) / "model",
            Path(folder) / "run",
            set=[*changes, f"Loop.iterations={iterations}"],
            watcher=watch,
            max_tokens=12,
            eval_problems=0,
            checkpoint_every=25,
            rollouts_every=5,
            measure_every=50,
            measure_problems=4,
            measure_samples=2,
        )
    after = watch.resident[WARM:]
    counts = watch.tensors[WARM // EVERY :]
    return {
        "slope": slope(after),
        "first": after[0],
        "last": after[-1],
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        "tensors": sum(counts) / len(counts),
        "kept": slope([float(n) for n in counts]) / EVERY,
    }


def main() -> int:
    """A process for each row, and the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--iterations", type=int, default=500)
    parser.add_argument("--only", default="")
    parser.add_argument("--child", default="", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.iterations < 2 * WARM:
        parser.error(f"--iterations must be {2 * WARM} or more: the first {WARM} are not looked at")
    if args.child:
        print(json.dumps(work(args.child, args.iterations)))
        return 0
    print(
        f"| method | MB after {WARM} | after {args.iterations} | kB an iteration | live tensors | more an iteration |"
    )
    print("|---|---|---|---|---|---|")
    bad = False
    for name in args.only.split(",") if args.only else RUNS:
        command = [sys.executable, __file__, "--child", name, "--iterations", str(args.iterations)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        x = json.loads(done.stdout.splitlines()[-1])
        bad |= x["slope"] >= BOUND or x["kept"] >= KEPT
        print(
            f"| {name} | {x['first'] / 1024:.1f} | {x['last'] / 1024:.1f} | {x['slope']:.2f} | "
            f"{x['tensors']:.0f} | {x['kept']:.3f} |",
            flush=True,
        )
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
