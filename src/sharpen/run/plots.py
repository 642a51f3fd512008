"""Plots of an evaluation before and after training: pass@k over k with its band, and reliability."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch

from sharpen.evaluation import Comparison, Evaluation, Interval, percent, shown
from sharpen.maths.intervals import bootstrap_mean
from sharpen.run.calibrated import Calibration
from sharpen.run.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Axis
from sharpen.run.html import Html, join, tag

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Ticks of an axis from 0 to 100 %."""

Y = Axis(0.0, 1.0, HEIGHT - BOTTOM, TOP, SHARES)
"""Shares upwards, from 0 to 100 %."""


def reach(e: Evaluation) -> dict[int, Interval]:
    """pass@k with its 95 % interval over problems, k rising.

    Where it is known what became of each problem, for k = 1, 2, 4, ... and the number of samples; else for the k that
    were measured, k = 1 being the accuracy.
    """
    out = {1: e.accuracy, **e.pass_at}
    if e.outcomes is not None:
        gen = torch.Generator().manual_seed(0)
        for k in sorted({*(2**i for i in range(e.samples.bit_length())), e.samples}):
            values = e.outcomes.values(f"pass@{k}", e.samples)
            if k not in out and values:
                out[k] = Interval(*bootstrap_mean(torch.tensor(values, dtype=torch.float64), gen))
    return {k: out[k] for k in sorted(out)}


def reach_plot(pair: Comparison, title: str) -> Html:
    """pass@k over k (in doublings) before and after, each with its band; nothing where no k beyond 1 is known."""
    sides = {w: reach(e) for w, e in (("before", pair.before), ("after", pair.after)) if e is not None}
    ks = sorted({k for curve in sides.values() for k in curve})
    if len(ks) < 2:
        return Html("")
    x = Axis(0.0, math.log2(ks[-1]), LEFT + 6, WIDTH - RIGHT - 8, tuple(math.log2(k) for k in ks))
    body = _shares()
    for k in ks:
        at = x.at(math.log2(k))
        body.append(tag("text", str(k), x=at, y=HEIGHT - BOTTOM + 16, text_anchor="middle"))
    body.append(
        tag("text", "tries (k)", x=(LEFT + WIDTH - RIGHT) / 2, y=HEIGHT - 4, text_anchor="middle", class_="unit")
    )
    for when, curve in sides.items():
        dots = [(x.at(math.log2(k)), i) for k, i in curve.items()]
        upper, lower = ([(px, Y.at(i[end])) for px, i in dots] for end in (2, 0))
        body.append(tag("path", d=_closed([*upper, *reversed(lower)]), class_=f"band {when}"))
        body.append(tag("polyline", points=_points([(px, Y.at(i.mean)) for px, i in dots]), class_=f"side {when}"))
        body += [tag("circle", cx=px, cy=Y.at(i.mean), r=2.5, class_=f"mark {when}") for px, i in dots]
    body += _hover(x, ks, sides)
    ends = ", ".join(f"{w} {shown(c[ks[-1]])}" for w, c in sides.items() if ks[-1] in c)
    return _figure(title, "share solved", body, f"{title}: with {ks[-1]} tries {ends}", sides)


def _hover(x: Axis, ks: Sequence[int], sides: Mapping[str, Mapping[int, Interval]]) -> list[Html]:
    places = [x.at(math.log2(k)) for k in ks]
    edges = [LEFT, *((a + b) / 2 for a, b in pairwise(places)), WIDTH - RIGHT]
    out = []
    for k, left, right in zip(ks, edges, edges[1:], strict=False):
        lines = [f"pass@{k}", *(f"{w}: {shown(c[k])}" for w, c in sides.items() if k in c)]
        box = tag("title", "\n".join(lines))
        out.append(tag("rect", box, x=left, y=TOP, width=right - left, height=HEIGHT - TOP - BOTTOM, class_="hit"))
    return out


def reliability_plot(sides: Mapping[str, Calibration], title: str, about: str) -> Html:
    """The share of right answers over how sure they were, before and after; on the diagonal both are the same.

    A dot is a bin; its area grows with the share of answers in it.
    """
    if not sides:
        return Html("")
    x = Axis(0.0, 1.0, LEFT + 6, WIDTH - RIGHT - 8, SHARES)
    body = _shares()
    for t in x.ticks:
        body.append(tag("text", f"{100 * t:.0f}%", x=x.at(t), y=HEIGHT - BOTTOM + 16, text_anchor="middle"))
    body.append(
        tag("text", "how sure", x=(LEFT + WIDTH - RIGHT) / 2, y=HEIGHT - 4, text_anchor="middle", class_="unit")
    )
    body.append(tag("line", x1=x.at(0.0), y1=Y.at(0.0), x2=x.at(1.0), y2=Y.at(1.0), class_="diagonal"))
    for when, c in sides.items():
        dots = [(x.at(b.confidence), Y.at(b.accuracy), b) for b in c.bars]
        body.append(tag("polyline", points=_points([(px, py) for px, py, _ in dots]), class_=f"side thin {when}"))
        for px, py, b in dots:
            said = f"{when}: {b.size} answers, {percent(b.confidence)} sure, {percent(b.accuracy)} right"
            size = 2.5 + 5 * math.sqrt(b.size / c.answers)
            body.append(tag("circle", tag("title", said), cx=px, cy=py, r=size, class_=f"mark {when}"))
    label = f"{title}: " + ", ".join(f"{w} ECE {c.ece:.3f}" for w, c in sides.items())
    return _figure(title, about, body, label, sides)


def _shares() -> list[Html]:
    body = []
    for t in Y.ticks:
        body.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=Y.at(t), y2=Y.at(t), class_="grid"))
        body.append(tag("text", f"{100 * t:.0f}%", x=LEFT - 6, y=Y.at(t) + 4, text_anchor="end"))
    body.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=Y.at(0.0), y2=Y.at(0.0), class_="axis"))
    return body


def _figure(title: str, about: str, body: Sequence[Html], label: str, sides: Mapping[str, object]) -> Html:
    svg = tag("svg", body, viewBox=f"0 0 {WIDTH:.0f} {HEIGHT:.0f}", role="img", aria_label=label)
    keys = [tag("span", tag("i", class_=w), w, class_="key") for w in sides]
    caption = tag("figcaption", join(tag("b", title), tag("span", about, class_="about")))
    return tag("figure", caption, svg, tag("div", keys, class_="keys"))


def _points(dots: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in dots)


def _closed(dots: Sequence[tuple[float, float]]) -> str:
    return "M" + " L".join(f"{x:.1f} {y:.1f}" for x, y in dots) + " Z"
