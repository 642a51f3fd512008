"""Curves of a study as inline SVG: for each recipe the mean over seeds, in a band from the lowest to the highest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sharpen.evaluation import percent
from sharpen.run.charts import Axis, number, ticks
from sharpen.run.html import Html, tag

WIDTH, HEIGHT = 640.0, 330.0
LEFT, RIGHT, TOP, BOTTOM = 52.0, 10.0, 10.0, 40.0

COLOURS = 6
"""Colours of the style sheet; further recipes take them again, dashed."""

STYLE = """
.band { stroke: none; opacity: .16; }
polygon.s0 { fill: var(--s0); } polygon.s1 { fill: var(--s1); } polygon.s2 { fill: var(--s2); }
polygon.s3 { fill: var(--s3); } polygon.s4 { fill: var(--s4); } polygon.s5 { fill: var(--s5); }
.again { stroke-dasharray: 6 4; } .target { stroke: var(--soft); stroke-dasharray: 3 3; }
figure.wide { max-width: 46rem; }
"""
"""What the page's style sheet lacks."""


def curves(task: str, of: Mapping[str, Any]) -> Html:
    """The figure of one task, `of` being its part of results.json; nothing where no recipe has runs."""
    known: Mapping[str, Any] = of["curves"]
    if not known:
        return Html("")
    end = max(b["at"][-1] for b in known.values())
    top = max(x for b in known.values() for x in b["high"])
    x_marks = [t for t in ticks(0.0, end or 1.0) if t <= (end or 1.0)]
    y_marks = ticks(0.0, max(top, 0.05))
    x = Axis(0.0, end or 1.0, LEFT, WIDTH - RIGHT, tuple(x_marks))
    y = Axis(y_marks[0], y_marks[-1], HEIGHT - BOTTOM, TOP, y_marks)
    body = _frame(x, y)
    for k, b in enumerate(known.values()):
        body.append(_band(b, k, x, y))
    if of["target"] is not None and of["target"] <= y.high:
        at = y.at(of["target"])
        body.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=at, y2=at, class_="target"))
    for k, (name, b) in enumerate(known.items()):
        line = " ".join(f"{x.at(px):.1f},{y.at(py):.1f}" for px, py in zip(b["at"], b["mean"], strict=True))
        words = f"{name}: {percent(b['mean'][0])} to {percent(b['mean'][-1])}"
        kind = f"mean s{k % COLOURS}{' again' if k >= COLOURS else ''}"
        body.append(tag("g", tag("title", words), tag("polyline", points=line, class_=kind)))
    ends = ", ".join(f"{name} ends at {percent(b['mean'][-1])}" for name, b in known.items())
    label = f"Accuracy on held-out problems of {task} against generated tokens: {ends}"
    svg = tag("svg", body, viewBox=f"0 0 {WIDTH:.0f} {HEIGHT:.0f}", role="img", aria_label=label)
    keys = [tag("span", tag("i", class_=f"s{k % COLOURS}"), name, class_="key") for k, name in enumerate(known)]
    return tag("figure", tag("figcaption", tag("b", task)), svg, tag("div", keys, class_="keys"), class_="wide")


def _frame(x: Axis, y: Axis) -> list[Html]:
    out = []
    for t in y.ticks:
        out.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y.at(t), y2=y.at(t), class_="grid"))
        out.append(tag("text", f"{100 * t:.0f}%", x=LEFT - 6, y=y.at(t) + 4, text_anchor="end"))
    for t in x.ticks:
        out.append(tag("text", number(t), x=x.at(t), y=HEIGHT - BOTTOM + 16, text_anchor="middle"))
    foot = HEIGHT - BOTTOM
    out.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=foot, y2=foot, class_="axis"))
    out.append(tag("text", "generated tokens", x=(LEFT + WIDTH - RIGHT) / 2, y=HEIGHT - 6, text_anchor="middle"))
    return out


def _band(b: Mapping[str, Sequence[float]], k: int, x: Axis, y: Axis) -> Html:
    there = list(zip(b["at"], b["low"], strict=True))
    back = list(zip(b["at"], b["high"], strict=True))[::-1]
    points = " ".join(f"{x.at(px):.1f},{y.at(py):.1f}" for px, py in [*there, *back])
    return tag("polygon", points=points, class_=f"band s{k % COLOURS}")
