"""Drawing on a worker of a Ray cluster, before an update and while updates are made, next to drawing in the trainer.

`python benchmarks/ahead.py [--threads N]`. GRPO on the chain task from its base model, 32 problems x 16, the same seed:
the local engine, one worker, and one worker that is 1, 2 and 4 iterations ahead. Trainer and worker have one thread
each, so that they can use two cores at once and the local engine one.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

import common
import torch

import sharpen

ITERATIONS, LAST = 30, 10
SIDES: dict[str, dict[str, Any]] = {
    "local": {},
    **{f"a worker, {n} ahead" if n else "a worker": {"engine": "ray", "workers": 1, "ahead": n} for n in (0, 1, 2, 4)},
}


def side(folder: Path, **options: Any) -> dict[str, float]:
    """What a run of ours was like after its first iterations, and what it ended with."""
    run = sharpen.train(
        "grpo",
        out=folder,
        set=[f"Loop.iterations={ITERATIONS}"],
        eval_problems=128,
        eval_samples=8,
        checkpoint_every=ITERATIONS,
        **options,
    )
    told = [json.loads(line) for line in (folder / "timing.jsonl").read_text().splitlines()][5:]
    metrics = [entry["metrics"] for entry in run.history]
    return {
        "seconds": statistics.median(t["seconds"] for t in told),
        "waited": statistics.median(t.get("waited", 0.0) for t in told),
        "held out": run.evaluation["test"]["after"].accuracy.mean,
        "reward": statistics.mean(m["reward/total"] for m in metrics[-LAST:]),
        "gap": max(m.get("engine/gap", 0.0) for m in metrics),
        "truncated": max(m.get("engine/truncated", 0.0) for m in metrics),
    }


def main() -> None:
    """The table."""
    common.asked(__doc__, 1)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        found = {name: side(Path(folder) / str(i), **how) for i, (name, how) in enumerate(SIDES.items())}
    alone = found["local"]["seconds"]
    rows = [
        [
            name,
            common.shown(f["seconds"]),
            f"{f['seconds'] / alone:.2f}",
            common.shown(f["waited"]) if "ahead" in name else "",
            f"{f['reward']:.3f}",
            f"{f['held out']:.3f}",
            f"{f['gap']:.4f}" if "worker" in name else "",
            f"{100 * f['truncated']:.2f} %" if "worker" in name else "",
        ]
        for name, f in found.items()
    ]
    head = ["", "an iteration", "over local", "waited", f"reward, last {LAST}", "held out", "gap, most", "weights at 2"]
    text = (
        f"{ITERATIONS} iterations, medians from the sixth on; one seed, so that differences of accuracy of a few "
        "hundredths mean nothing. The gap is the mean difference of log-probs between the weights that learn and those "
        "that drew.\n\n" + common.table(head, rows)
    )
    common.keep("ahead", "Drawing ahead of the updates", text, found)


if __name__ == "__main__":
    main()
