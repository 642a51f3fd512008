"""Results as rows of text: what the terminal, the notebook and the report show alike."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

from sharpen.evaluation import percent
from sharpen.study.base import BASE
from sharpen.study.statistics import sign

NOTE = (
    "Shares of held-out problems with 95 % bootstrap intervals over seeds and problems. A difference is paired by seed "
    "and problem, in points, with * where its interval leaves out 0; P(better) is the share of resamples in which the "
    "first is ahead."
)


def measures(told: Mapping[str, Any], task: str) -> list[tuple[str, ...]]:
    """Heads, then the base and a row a recipe on a task, the best first: every measure in percent with its interval."""
    of = told["tasks"][task]
    heads = ("recipe", *(f"{m}, %" for m in of["measures"]))
    rows = [(BASE, of["base"]), *ranked(of)]
    return [heads, *((name, *(_share(x[m]) for m in of["measures"])) for name, x in rows)]


def costs(told: Mapping[str, Any], task: str) -> list[tuple[str, ...]]:
    """Heads, then a row a recipe on a task in the same order: means over seeds of what a run did, and to the target."""
    of = told["tasks"][task]
    counts = ("iterations", "updates", "generated_tokens", "trained_tokens", "length")
    heads = ("recipe", "seeds", *(c.replace("_", " ") for c in counts), "tokens to target")
    return [
        heads,
        *(
            (
                name,
                str(len(x["seeds"])),
                *(f"{x[c]:,.0f}" for c in counts),
                reached(x["to_target"]) if x["to_target"] else "-",
            )
            for name, x in ranked(of)
        ),
    ]


def ranked(of: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """The recipes of a task with what is told of each, the one of the highest accuracy first."""
    return sorted(of["recipes"].items(), key=lambda item: -item[1]["accuracy"][1])


def _share(x: Sequence[float]) -> str:
    low, mean, high = (100 * y for y in x)
    return f"{mean:.1f} ({low:.1f} to {high:.1f})"


def reached(x: Mapping[str, Any]) -> str:
    """What a target cost: `12,000 (4 of 5)`."""
    median = "not reached" if x["median"] is None else f"{x['median']:,.0f}"
    return f"{median} ({x['reached']} of {x['seeds']})"


def pairs(told: Mapping[str, Any], task: str, measure: str = "accuracy") -> list[tuple[str, ...]]:
    """Heads, then a row a pair of recipes on a task: the difference in points, and how often the first is ahead."""
    rows: list[tuple[str, ...]] = [("comparison", "seeds", f"difference of {measure}", "P(better)")]
    for p in told["tasks"][task]["pairs"]:
        if p["measure"] != measure:
            continue
        name = f"{p['a']} - {p['b']}"
        if "diff" not in p:
            rows.append((name, "0", "-", "-"))
            continue
        star = "*" if sign(p, p["a"]) else " "
        gap = f"{100 * p['diff']:+.1f}{star} ({100 * p['low']:+.1f} to {100 * p['high']:+.1f})"
        rows.append((name, str(len(p["seeds"])), gap, f"{p['p_a_better']:.3f}"))
    return rows


def across(told: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Heads, then a row a recipe over all tasks."""
    rows: list[tuple[str, ...]] = [("recipe", "interquartile mean", "best on", "pairs won", "pairs lost")]
    for name, x in sorted(told["across"].items(), key=lambda item: -item[1]["iqm"][1]):
        low, mean, high = x["iqm"]
        iqm = f"{mean:.3f} ({low:.3f} to {high:.3f})"
        rows.append((name, iqm, f"{x['best']} of {len(told['tasks'])}", str(x["wins"]), str(x["losses"])))
    return rows


def heading(told: Mapping[str, Any], task: str) -> str:
    """What a task's table is of."""
    s, goal = told["study"], told["tasks"][task]["target"]
    text = f"{task} ({s['splits'][task]}, {s['problems'][task]} problems x {s['samples']} samples)"
    return text if goal is None else f"{text}, target {percent(goal)}"


def sections(told: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, ...]]]]:
    """Every table with its heading, in order."""
    out = []
    for task in told["tasks"]:
        out.append((heading(told, task), measures(told, task)))
        out.append((f"{task}: what a run did", costs(told, task)))
        out.append((f"{task}: differences", pairs(told, task)))
    if len(told["tasks"]) > 1 and told["across"]:
        out.append(("All tasks: accuracy as a share of what the base left to learn", across(told)))
    return out


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines of text, the first column to the left and figures to the right."""
    wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(f"{x:>{w}}" if k else f"{x:<{w}}" for k, (x, w) in enumerate(zip(r, wide, strict=True))) for r in rows
    ]


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of one kind as CSV, heads first."""
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow(
            {k: "" if x is None or (isinstance(x, float) and not math.isfinite(x)) else x for k, x in row.items()}
        )
    return file.getvalue()
