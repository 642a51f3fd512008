"""Results as tables: rows for the terminal, plain data for `--json`, and the page of all claims."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sharpen.claims import store
from sharpen.claims.base import Claim
from sharpen.claims.stats import Outcome, outcomes, verdict
from sharpen.claims.store import Result
from sharpen.run.lines import valid

EVEN = 0.05
"""Two arms that spent shares of the budget further apart than this are said to be unequal."""

METHOD = (
    "Every claim is tested by small models on small tasks, so what is shown here is whether the effect appears at this "
    "scale, on this task and from this base, and nothing about the sizes of the papers. All arms of a claim start from "
    "the same base and may spend the same budget; each arm runs once per seed, and arms are compared by the difference "
    "at equal seeds. The interval is Student's, 95 %, over those differences: it speaks of other seeds. (A percentile "
    "bootstrap of five differences would cover about 84 times in a hundred.) A claim *holds* when the interval lies "
    "wholly on the claimed side, is *reversed* when it lies wholly on the other, and is *not shown* otherwise. "
    "Comparisons are not corrected for their number. Tasks and bases were chosen by what the base can do, learning "
    "rates by what is solved in training at a seed that no claim uses; where a setting was changed after an arm had "
    "run, the claim's notes say so."
)


def number(x: float) -> str:
    """A figure with three digits after the point, fewer for large ones."""
    return "-" if not math.isfinite(x) else f"{x:.3f}" if abs(x) < 10 else f"{x:,.1f}" if abs(x) < 1000 else f"{x:,.0f}"


def arm_rows(claim: Claim, results: Sequence[Result]) -> list[tuple[str, ...]]:
    """Heads, then a row an arm: seeds, each metric as mean [lowest, highest], and in the mean tokens, share of the
    budget and seconds of CPU. With an arm `base`: in how many seeds the metric ends up worse than the base's.
    """
    base = {r.seed: r for r in results if r.arm == "base" and not r.error}
    heads = ["arm", "seeds", *claim.metrics, "generated tokens", "budget spent", "CPU seconds"]
    out = [(*heads, *(["worse than base"] if base else []))]
    for arm in claim.arms:
        mine = [r for r in results if r.arm == arm.name and not r.error]
        cells = [arm.name, str(len(mine)), *(spread([r.numbers.get(m) for r in mine]) for m in claim.metrics)]
        cells += [
            _mean([r.cost["generated_tokens"] for r in mine], "{:,.0f}"),
            _mean([100 * r.spent / claim.budget.amount for r in mine], "{:.0f} %"),
            _mean([r.seconds for r in mine], "{:.0f}"),
        ]
        if base:
            sign = 1 if claim.direction == "higher" else -1
            both = [(r.numbers.get(claim.metric), base[r.seed].numbers[claim.metric]) for r in mine if r.seed in base]
            worse = sum(x is not None and sign * (x - y) < 0 for x, y in both)
            cells.append("" if arm.name == "base" or not both else f"{worse} of {len(both)}")
        out.append(tuple(cells))
    return out


def spread(values: Sequence[float | None]) -> str:
    """Mean [lowest, highest] of the values there are."""
    known = [x for x in values if x is not None]
    if not known:
        return "-"
    return f"{number(sum(known) / len(known))} [{number(min(known))}, {number(max(known))}]"


def _mean(values: Sequence[float], form: str) -> str:
    return form.format(sum(values) / len(values)) if values else "-"


def outcome_rows(found: Sequence[Outcome]) -> list[tuple[str, ...]]:
    """Heads, then a row a comparison: what is compared, over how many seeds, the difference, and the verdict."""
    out: list[tuple[str, ...]] = [("comparison", "seeds", "difference (95 % interval)", "verdict")]
    for o in found:
        x = o.difference
        gap = f"{x.mean:+.3f} ({x.low:+.3f} to {x.high:+.3f})" if o.seeds else "-"
        out.append((o.comparison.text(), str(o.seeds), gap, o.verdict))
    return out


def remarks(claim: Claim, results: Sequence[Result], found: Sequence[Outcome]) -> list[str]:
    """What a reader must know of the results: arms that failed, and budgets that were not equal."""
    out = [f"{r.arm} at seed {r.seed} failed: {r.error}" for r in results if r.error]
    for o in found:
        a, b = o.shares
        if o.seeds and abs(a - b) > EVEN and "base" not in (o.comparison.better, o.comparison.worse):
            out.append(
                f"Unequal budgets: {o.comparison.better} spent {100 * a:.0f} % of it, {o.comparison.worse} "
                f"{100 * b:.0f} %."
            )
    return list(dict.fromkeys(out))


def plain(claim: Claim, results: Sequence[Result], seeds: int = 0) -> dict[str, Any]:
    """Everything as JSON: the claim, the results without their curves, the outcomes and the verdict."""
    found = outcomes(claim, results, seeds)
    kept = [{k: v for k, v in asdict(r).items() if k != "curve"} for r in results]
    said: dict[str, Any] = {
        "claim": claim.name,
        "statement": claim.statement,
        "source": claim.source,
        "published": claim.published,
        "budget": asdict(claim.budget),
        "verdict": verdict(found),
        "outcomes": [
            {
                **asdict(o.comparison),
                "seeds": o.seeds,
                "means": list(o.means),
                "difference": o.difference.mean,
                "interval": [o.difference.low, o.difference.high],
                "verdict": o.verdict,
            }
            for o in found
        ],
        "results": kept,
        "remarks": remarks(claim, results, found),
    }
    out: dict[str, Any] = valid(said)
    return out


# ------------------------------------------------------------------ the page


def page(claims: Sequence[Claim], folder: Path) -> str:
    """All claims as Markdown, from the results in a folder; those without results are listed at the end."""
    known = {c.name: store.load(folder, c) for c in claims}
    ran = [c for c in claims if known[c.name]]
    out = ["# Claims", "", METHOD, ""]
    if ran:
        out += ["| claim | source | verdict |", "|---|---|---|"]
        out += [f"| [{c.name}](#{c.name}) | {cell(c.source)} | {_verdict(c, known[c.name])} |" for c in ran] + [""]
    for claim in ran:
        out += section(claim, known[claim.name], store.head(folder, claim))
    waiting = [c for c in claims if not known[c.name]]
    if waiting:
        out += ["## Not run yet", ""]
        out += [f"- `{c.name}`: {c.statement} ({c.source}) {c.notes}".rstrip() for c in waiting] + [""]
    return "\n".join(out)


def _verdict(claim: Claim, results: Sequence[Result]) -> str:
    return verdict(outcomes(claim, results))


def section(claim: Claim, results: Sequence[Result], head: Mapping[str, Any]) -> list[str]:
    """One claim: what it says, how it was tested, what came out."""
    found = outcomes(claim, results)
    task = claim.open_task()
    nano, taught = claim.base.nano, claim.base.task or task
    size = f"{nano.layers} layers of width {nano.width}, {nano.steps} steps on {taught.name}"
    out = [f"## {claim.name}", "", claim.statement, ""]
    out += [f"- Source: {claim.source}", f"- Published: {claim.published}", f"- Verdict: **{verdict(found)}**"]
    out += [f"- Task: {described(task.identity())}, judged by `{task.main}`; base: {size}"]
    out += [f"- Budget of each arm and seed: {claim.budget.text()}", ""]
    out += [*markdown(outcome_rows(found)), "", *markdown(arm_rows(claim, results)), ""]
    out += [f"- {text}" for text in remarks(claim, results, found)]
    out += [""] if out[-1].startswith("- ") else []
    out += [claim.notes, ""] if claim.notes else []
    out += [
        f"Made by `{head['command']}`: {head['seconds']:,.0f} seconds of CPU, {head['cpus']} CPUs, one thread a job; "
        f"Python {head['python']}, torch {head['torch']}.",
        "",
    ]
    return out


def described(identity: Mapping[str, Any]) -> str:
    """A task in a line: its name and its plain fields."""
    short = {k: v for k, v in identity.items() if k != "name" and len(str(v)) <= 12}
    fields = ", ".join(f"{k}={v}" for k, v in short.items())
    return f"`{identity['name']}` ({fields})" if fields else f"`{identity['name']}`"


def markdown(rows: Sequence[Sequence[str]]) -> list[str]:
    """A table, the first row being its heads."""
    lines = [f"| {' | '.join(cell(c) for c in row)} |" for row in rows]
    return [lines[0], "|" + "---|" * len(rows[0]), *lines[1:]]


def cell(text: str) -> str:
    """Text that stays inside its cell."""
    return text.replace("|", "\\|")


def as_json(claim: Claim, results: Sequence[Result], seeds: int = 0) -> str:
    """`plain` as one JSON document."""
    return json.dumps(plain(claim, results, seeds), allow_nan=False)
