"""`sharpen eval RUN --judge NAME`: what a reward model, a process model or a critic is worth as a judge."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sharpen.errors import SharpenError
from sharpen.judging import Kind
from sharpen.loss.value import ValueFit
from sharpen.recipe import Method, recipes_of, updates_of


def kind_of(method: Method, name: str) -> Kind:
    """What a recipe trained an actor to say, read from its loss: a critic's values, the worth of steps, of answers."""
    for term in (t for r in recipes_of(method) for u in updates_of(r) if u.actor == name for t in u.terms):
        if isinstance(term.loss, ValueFit) and term.loss.want == "value":
            return "value"
        return "process" if term.where == "last:segment" else "reward"
    raise SharpenError(f"The recipe {method.name!r} trains no actor {name!r}.")


def show_judged(name: str, found: Mapping[str, Mapping[str, Any]], as_json: bool) -> None:
    """Print a report a split (`sharpen.judging.judge_report`)."""
    if as_json:
        print(json.dumps({"judge": name, "evaluation": found}))
        return
    console = Console()
    for split, report in found.items():
        title = f"{report['kind']} model {name} on {split}, {report['problems']} problems x {report['samples']} samples"
        print(title)
        table = Table(show_header=False)
        table.add_column()
        table.add_column()
        for label, text in lines(report):
            table.add_row(Text(label), Text(text))
        console.print(table)


def lines(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """A report as pairs of a label and a text."""
    if report["kind"] == "process":
        s = report["steps"]
        return [
            ("first wrong step named", _share(s["wrong"])),
            ("solutions without one passed", _share(s["right"])),
            ("step-error F1", _share(s["f1"])),
            ("solutions with an error", f"{s['with_error']} of {s['solutions']}"),
        ]
    if report["kind"] == "value":
        return [
            (f"{place} token", ", ".join(f"{k} {_number(x)}" for k, x in report[place].items()))
            for place in ("first", "middle", "last")
        ]
    pairs = report.get("pairs", {"n": 0})
    out = (
        [("held-out pairs ranked as labelled", f"{_interval(pairs['accuracy'])} of {pairs['n']}")] if pairs["n"] else []
    )
    out += [(f"answers ranked as by {reward}", _interval(x)) for reward, x in report["ranking"].items()]
    for reward, curve in report["best_of"].items():
        out.append((f"{reward} of the best of n", ", ".join(f"{n}: {x[1]:.3f}" for n, x in curve.items())))
    return out


def _share(x: float | None) -> str:
    return "-" if x is None else f"{100 * x:.1f} %"


def _number(x: float | None) -> str:
    return "-" if x is None else f"{x:.3f}"


def _interval(x: Sequence[float]) -> str:
    return f"{100 * x[1]:.1f} % ({100 * x[0]:.1f} to {100 * x[2]:.1f})"
