"""How time and memory of a step of GRPO grow with the samples, the length of answers and the model, next to TRL's.

`python benchmarks/growth.py [--threads N] [--repeats N]`. Groups of 16, 64 samples of 64 tokens unless said otherwise,
float32 without recomputing on both sides, answers that never end. Memory is the most that a process has had at once,
less what it had when everything was imported and the model made; so each side of each row is a process of its own, and
a row's sides run one after the other. `--repeats` steps are timed after one to warm up.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

import common
import grpo
import peers
import torch

MEDIUM = common.Size("25 M", 512, 8, 1536, 8, 4)
SIZES = {s.name: s for s in (common.NANO, common.SMALL, MEDIUM)}


@dataclass(frozen=True)
class Point:
    """What a step is made of."""

    samples: int = 64
    length: int = 64
    size: str = common.NANO.name

    @property
    def text(self) -> list[str]:
        """Its first columns."""
        return [str(self.samples), str(self.length), self.size]


POINTS = (
    Point(),
    *(Point(samples=n) for n in (128, 256, 512)),
    *(Point(length=n) for n in (32, 128, 256)),
    *(Point(size=n) for n in (common.SMALL.name, MEDIUM.name)),
)


def work(side: str, point: Point, repeats: int) -> dict[str, Any]:
    """What a process tells of its side: seconds of each step, and MiB."""
    size, prompts = SIZES[point.size], point.samples // 16
    model = size.model()
    if side == "TRL":
        from trl import GRPOConfig, GRPOTrainer  # noqa: F401

        peers.quiet()
    before = common.peak_memory()
    if side == "TRL":
        shape = (prompts, 16, point.length, repeats + 1)
        seconds: tuple[float, ...] = grpo.theirs(model, *shape, **peers.WHOLE).seconds
    else:
        trainer = grpo.ours(size, grpo.PLAIN, prompts, 16, point.length, torch.float32, model)
        trainer.step()
        seconds = tuple(timed(trainer.step) for _ in range(repeats))
    return {"seconds": seconds, "memory": common.peak_memory() - before}


def timed(step: Any) -> float:
    """Seconds of a call."""
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def elsewhere(side: str, point: Point, repeats: int) -> dict[str, Any]:
    """`work` in a process of its own. What it inherits of our own peak is less than what its imports take."""
    words = ["--side", side, "--samples", point.samples, "--length", point.length, "--size", point.size]
    words += ["--repeats", repeats, "--threads", torch.get_num_threads()]
    done = subprocess.run([sys.executable, __file__, *map(str, words)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """A row a point, or, with `--side`, the work of one side."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--side", choices=("sharpen", "TRL"))
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--length", type=int, default=64)
    parser.add_argument("--size", default=common.NANO.name)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.side:
        print(json.dumps(work(args.side, Point(args.samples, args.length, args.size), args.repeats)))
        return
    sides = ("sharpen", "TRL") if peers.HERE else ("sharpen",)
    rows, figures = [], {}
    for point in POINTS:
        found = {side: elsewhere(side, point, args.repeats) for side in sides}
        times = {side: common.Times(tuple(x["seconds"])) for side, x in found.items()}
        memory = {side: x["memory"] for side, x in found.items()}
        row = [*point.text, *(t.text() for t in times.values())]
        if "TRL" in found:
            row.append(common.ratio(times["TRL"], times["sharpen"]))
        row += [f"{m:.0f} MiB" for m in memory.values()]
        if "TRL" in found:
            row.append(f"{memory['TRL'] / memory['sharpen']:.2f}")
        rows.append(row)
        print(" | ".join(row), flush=True)
        figures[" x ".join(point.text)] = found
    over = ["TRL over ours"] * (len(sides) - 1)
    memory_head = [f"{side}, memory" for side in sides]
    head = ["samples", "tokens each", "parameters", *(f"{s}, a step" for s in sides), *over, *memory_head, *over]
    text = "Groups of 16, prompts of 24 tokens, float32 without recomputing on both sides. Each side of a row ran in a "
    text += "process of its own; memory is its peak less what it had with everything imported and the model made.\n\n"
    common.keep("growth", "How a step of GRPO grows", text + common.table(head, rows), figures)


if __name__ == "__main__":
    main()
