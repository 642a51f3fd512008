"""The report of a study: one HTML file that needs no network, no script and no other file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sharpen.evaluation import Interval, shown
from sharpen.run.html import Child, Html, join, table, tag
from sharpen.run.report import POLICY
from sharpen.run.style import STYLE
from sharpen.study import curves
from sharpen.study.base import BASE
from sharpen.study.statistics import sign
from sharpen.study.tables import NOTE, ranked, sections


def page(told: Mapping[str, Any]) -> str:
    """The report as one HTML document; every text in it is escaped where it is built in."""
    s = told["study"]
    names = [r["name"] for r in s["recipes"]]
    title = f"{', '.join(names)} on {', '.join(s['tasks'])}"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("title", title),
        tag("style", Html(STYLE + curves.STYLE)),
    )
    parts: list[Html] = [tag("h1", title), tag("p", verdict(told), class_="verdict"), tag("p", _about(told))]
    if told["errors"]:
        failed = [tag("p", tag("b", name), f": {text}") for name, text in told["errors"].items()]
        parts.append(tag("section", tag("h2", "Runs that failed"), *failed))
    figures = [curves.curves(task, of) for task, of in told["tasks"].items()]
    note = "Mean over seeds, in a band from the lowest seed to the highest; the dotted line is the target."
    parts.append(tag("section", tag("h2", "Curves"), figures, tag("p", note, class_="soft")))
    parts.append(tag("section", tag("h2", "Results"), tables(told), tag("p", NOTE, class_="soft")))
    parts.append(tag("section", tag("h2", "Runs"), _runs(told)))
    return "<!doctype html>\n" + tag("html", head, tag("body", tag("main", parts)), lang="en").text + "\n"


def tables(told: Mapping[str, Any]) -> Html:
    """All tables of the results."""
    return join([join(tag("h3", name), grid(rows, name)) for name, rows in sections(told)])


def grid(rows: Sequence[Sequence[str]], label: str) -> Html:
    """Rows, the first being the heads, as a table."""
    body: list[list[Child]] = [list(row) for row in rows[1:]]
    return table(rows[0], body, label)


def verdict(told: Mapping[str, Any]) -> str:
    """What came out on each task: which recipe ends highest, and which others it is ahead of for sure."""
    out = []
    for task, of in told["tasks"].items():
        if not of["recipes"]:
            out.append(f"On {task} no run is finished.")
            continue
        name, best = ranked(of)[0]
        others = [p for p in of["pairs"] if p["measure"] == "accuracy" and name in (p["a"], p["b"]) and p["b"] != BASE]
        sure = [p["b"] if p["a"] == name else p["a"] for p in others if sign(p, name) > 0]
        text = f"On {task} {name} ends highest: {shown(Interval(*best['accuracy']))}"
        text += f", base {shown(Interval(*of['base']['accuracy']))}."
        if others:
            text += f" Beyond chance it is ahead of {', '.join(sure) or 'no other recipe'}."
        out.append(text)
    return " ".join(out)


def _about(told: Mapping[str, Any]) -> str:
    s = told["study"]
    return (
        f"Every run starts from the model {s['model']} and goes on until {s['budget']['words']} are spent; seeds 0 to "
        f"{s['seeds'] - 1}. Intervals speak of other seeds and other problems of the kind."
    )


def _runs(told: Mapping[str, Any]) -> Html:
    rows = told["finals"]
    heads = [k for k in rows[0] if k != "seed"]
    cells: list[list[Child]] = []
    for r in rows:
        name = r["recipe"] if r["recipe"] == "base" else f"{r['recipe']}, seed {r['seed']}"
        cells.append([name, *(_cell(r[k]) for k in heads[1:])])
    return table(heads, cells, "Runs")


def _cell(x: object) -> str:
    if isinstance(x, float):
        return f"{x:.3f}" if abs(x) < 10 else f"{x:,.0f}"
    return f"{x:,}" if isinstance(x, int) else "-" if x is None else str(x)
