"""Writes RESULTS.md from what the benchmarks left in results/: `python benchmarks/results.py`."""

from __future__ import annotations

import json

import common

ORDER = ("grpo", "real", "growth", "updates", "curves", "sampling", "search", "ahead", "view", "checks")

HEAD = """# Results

Each section was made by the command in it. The sides take turns, times are medians over the turns with their range, and
a ratio is the median of the ratios within a turn with its range. `make bench` makes them all anew.
"""


def main() -> None:
    """The page."""
    parts = [HEAD]
    for name in ORDER:
        file = common.RESULTS / f"{name}.json"
        if not file.exists():
            continue
        found = json.loads(file.read_text())
        where = ", ".join(f"{k} {v}" for k, v in found["machine"].items() if v is not None)
        parts.append(f"## {found['title']}\n\n{found['text']}\n\nMade by `{found['command']}` on: {where}.\n")
    (common.RESULTS.parent / "RESULTS.md").write_text("\n".join(parts))


if __name__ == "__main__":
    main()
