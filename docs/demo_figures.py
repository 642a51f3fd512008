"""Measure the demo over several seeds and write docs/demo_figures.md and .json.

    python docs/demo_figures.py --seeds 5

Every seed trains the same base model anew with `sharpen train grpo` and 256 held-out problems a split; the table gives
the mean over seeds and, in brackets, the lowest and highest seed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent
MEASURES = ("accuracy", "greedy", "pass@4", "pass@16", "maj@16")
COMMAND = ["train", "grpo", "--eval-problems", "256", "--json"]


def run(seed: int, folder: Path) -> dict[str, object]:
    """One seed's evaluation, before and after."""
    out = folder / f"seed{seed}"
    words = [sys.executable, "-m", "sharpen", *COMMAND, "--seed", str(seed), "--out", str(out)]
    one = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, capture_output=True, text=True, check=True, env=one)
    found = json.loads(done.stdout)
    seconds = [json.loads(line)["seconds"] for line in (out / "timing.jsonl").read_text().splitlines()]
    return {"seed": seed, "evaluation": found["evaluation"], "cost": found["cost"], "training_seconds": sum(seconds)}


def page(results: list[dict[str, object]]) -> str:
    """The table as Markdown."""
    lines = [
        f"`sharpen {' '.join(COMMAND[:-1])} --seed 0` ... `--seed {len(results) - 1}`; mean over seeds and, in",
        "brackets, the lowest and highest seed.",
        "",
        "| split | measure | before | after |",
        "|---|---|---|---|",
    ]
    for split in results[0]["evaluation"]:  # type: ignore[attr-defined]
        for measure in MEASURES:
            cells = []
            for when in ("before", "after"):
                xs = [100 * r["evaluation"][split][when][measure][1] for r in results]  # type: ignore[index]
                cells.append(f"{sum(xs) / len(xs):.1f} % [{min(xs):.1f}, {max(xs):.1f}]")
            lines.append(f"| {split} | {measure} | {cells[0]} | {cells[1]} |")
    apart = sum(
        r["evaluation"][s]["after"]["greedy"][0] > r["evaluation"][s]["before"]["greedy"][2]  # type: ignore[index]
        for r in results
        for s in ("test", "harder")
    )
    lines += [
        "",
        f"The 95 % intervals of greedy accuracy before and after do not overlap in {apart} of {2 * len(results)} cases "
        "(every seed on both splits).",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2, help="runs at once, of one thread each")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(args.jobs) as pool:
        results = list(pool.map(lambda seed: run(seed, Path(folder)), range(args.seeds)))
    (HERE / "demo_figures.json").write_text(json.dumps(results, indent=1) + "\n")
    (HERE / "demo_figures.md").write_text(page(results))
    print(page(results))


if __name__ == "__main__":
    main()
