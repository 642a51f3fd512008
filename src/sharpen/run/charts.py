"""Curves as inline SVG: axes, a faint line of raw values, a bold running mean, and figures on hover."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from sharpen.evaluation import Interval, percent, shown
from sharpen.run.html import Html, tag

WIDTH, HEIGHT = 340.0, 190.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 8.0, 8.0, 34.0

POINTS_MOST = 300
"""More points than this cannot be told apart at the width of a chart."""

STRIPS_MOST = 60
"""Hover targets across a chart; narrower ones cannot be hit."""


@dataclass(frozen=True)
class Series:
    """A named curve of `(step, value)`, steps rising."""

    name: str
    points: Sequence[tuple[int, float]]


@dataclass(frozen=True)
class Axis:
    """A linear scale from data to pixels, with its ticks."""

    low: float
    high: float
    start: float
    stop: float
    ticks: tuple[float, ...]

    def at(self, value: float) -> float:
        """The pixel of a value."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.stop - self.start)


def ticks(low: float, high: float, most: int = 5) -> tuple[float, ...]:
    """At most about `most` round numbers (1, 2 or 5 times a power of ten apart) that cover `low` to `high`."""
    if not high > low:
        low, high = low - (abs(low) or 1.0) / 2, high + (abs(high) or 1.0) / 2
    rough = (high - low) / max(1, most - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return tuple(float(f"{k * step:.12g}") for k in range(first, last + 1))


def number(x: float) -> str:
    """A number short enough for an axis: three digits, thousands as k, millions as M."""
    size = abs(x)
    if size >= 1e9 or 0 < size < 1e-3:
        return f"{x:.1e}".replace(".0e", "e")
    if size >= 1e6:
        return f"{x / 1e6:.3g}M"
    return f"{x / 1e3:.3g}k" if size >= 1e4 else f"{x:.3g}" if size < 1e3 else f"{x:.0f}"


def thin(points: Sequence[tuple[int, float]], most: int) -> list[tuple[float, float]]:
    """At most `most` points: means of equal stretches."""
    size = math.ceil(len(points) / most) if points else 1
    out = []
    for k in range(0, len(points), size):
        part = points[k : k + size]
        out.append((fmean(p[0] for p in part), fmean(p[1] for p in part)))
    return out


def smooth(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Centred running mean over about a tenth of the points; shorter at both ends, so that they keep their level."""
    half = len(points) // 20
    out = []
    for k, (x, _) in enumerate(points):
        reach = min(half, k, len(points) - 1 - k)
        out.append((x, fmean(p[1] for p in points[k - reach : k + reach + 1])))
    return out


def chart(title: str, series: Sequence[Series], share: bool = False, about: str = "") -> Html:
    """A figure of the series that have points; nothing if none has. `share` fixes the axis to 0 - 100 %."""
    drawn = [s for s in series if s.points]
    if not drawn:
        return Html("")
    steps = [p[0] for s in drawn for p in s.points]
    values = [p[1] for s in drawn for p in s.points]
    x = _axis(min(steps), max(steps), LEFT, WIDTH - RIGHT, tight=True)
    y = (
        Axis(0.0, 1.0, HEIGHT - BOTTOM, TOP, (0.0, 0.25, 0.5, 0.75, 1.0))
        if share
        else _axis(min(0.0, *values), max(0.0, *values), HEIGHT - BOTTOM, TOP)
    )
    write: Callable[[float], str] = (lambda v: f"{100 * v:.0f}%") if share else number
    ends = ", ".join(f"{s.name} from {write(s.points[0][1])} to {write(s.points[-1][1])}" for s in drawn)
    label = f"{title}: {ends} over steps {min(steps)} to {max(steps)}"
    body = [*_frame(x, y, write)]
    for k, s in enumerate(drawn):
        body += _curve(s, k, x, y)
    body += _strips(drawn, x, percent if share else number)
    svg = tag("svg", body, viewBox=f"0 0 {WIDTH:.0f} {HEIGHT:.0f}", role="img", aria_label=label)
    keys = (
        [tag("span", tag("i", class_=f"s{k % 6}"), s.name, class_="key") for k, s in enumerate(drawn)]
        if len(drawn) > 1
        else []
    )
    note = tag("span", about, class_="about") if about else Html("")
    return tag(
        "figure", tag("figcaption", tag("b", title), note), svg, tag("div", keys, class_="keys") if keys else Html("")
    )


def _axis(low: float, high: float, start: float, stop: float, tight: bool = False) -> Axis:
    marks = ticks(low, high)
    if tight and high > low:
        return Axis(low, high, start, stop, tuple(t for t in marks if low <= t <= high and t == int(t)))
    return Axis(marks[0], marks[-1], start, stop, marks)


def _frame(x: Axis, y: Axis, write: Callable[[float], str]) -> list[Html]:
    out = []
    for t in y.ticks:
        out.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y.at(t), y2=y.at(t), class_="grid"))
        out.append(tag("text", write(t), x=LEFT - 6, y=y.at(t) + 4, text_anchor="end"))
    for t in x.ticks:
        out.append(tag("line", x1=x.at(t), x2=x.at(t), y1=HEIGHT - BOTTOM, y2=HEIGHT - BOTTOM + 4, class_="axis"))
        out.append(tag("text", number(t), x=x.at(t), y=HEIGHT - BOTTOM + 16, text_anchor="middle"))
    out.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=HEIGHT - BOTTOM, y2=HEIGHT - BOTTOM, class_="axis"))
    out.append(tag("text", "step", x=(LEFT + WIDTH - RIGHT) / 2, y=HEIGHT - 4, text_anchor="middle", class_="unit"))
    return out


def _curve(s: Series, k: int, x: Axis, y: Axis) -> list[Html]:
    raw = thin(s.points, POINTS_MOST)
    if len(raw) == 1:
        return [tag("circle", cx=x.at(raw[0][0]), cy=y.at(raw[0][1]), r=3.0, class_=f"dot s{k % 6}")]
    out = []
    mean = smooth(raw)
    if mean != raw:
        out.append(_line(raw, x, y, f"raw s{k % 6}"))
    return [*out, _line(mean, x, y, f"mean s{k % 6}")]


def _line(points: Sequence[tuple[float, float]], x: Axis, y: Axis, kind: str) -> Html:
    # a value beyond a fixed axis is drawn at its edge: the hover text gives the figure
    dots = ((x.at(px), min(max(y.at(py), TOP), HEIGHT - BOTTOM)) for px, py in points)
    return tag("polyline", points=" ".join(f"{px:.1f},{py:.1f}" for px, py in dots), class_=kind)


def _strips(drawn: Sequence[Series], x: Axis, write: Callable[[float], str]) -> list[Html]:
    """Invisible columns over the chart whose hover text gives the figures of the step in them."""
    steps = sorted({p[0] for s in drawn for p in s.points})
    size = math.ceil(len(steps) / STRIPS_MOST)
    chosen = steps[::size]
    known = [(s.name, dict(s.points)) for s in drawn]
    out = []
    for k, step in enumerate(chosen):
        left = LEFT if k == 0 else (x.at(chosen[k - 1]) + x.at(step)) / 2
        right = WIDTH - RIGHT if k == len(chosen) - 1 else (x.at(step) + x.at(chosen[k + 1])) / 2
        lines = [f"step {step}"] + [f"{name}: {write(at[step])}" for name, at in known if step in at]
        box = tag("title", "\n".join(lines))
        out.append(tag("rect", box, x=left, y=TOP, width=right - left, height=HEIGHT - TOP - BOTTOM, class_="hit"))
    return out


def intervals(before: Interval | None, after: Interval | None) -> Html:
    """Two shares with their intervals on one scale from 0 to 100 %: before above, after below."""
    body = [tag("line", x1=v, x2=v, y1=1.0, y2=25.0, class_="grid") for v in (4.0, 79.0, 154.0)]
    for name, x, at in (("before", before, 8.0), ("after", after, 18.0)):
        if x is not None:
            px = [4 + 150 * v for v in x]
            bar = tag("line", x1=px[0], x2=px[2], y1=at, y2=at, class_=f"bar {name}")
            dot = tag("circle", cx=px[1], cy=at, r=3.0, class_=f"mark {name}")
            body.append(tag("g", tag("title", f"{name} {shown(x)}"), bar, dot))
    words = ", ".join(f"{n} {shown(x)}" for n, x in (("before", before), ("after", after)) if x is not None)
    return tag("svg", body, viewBox="0 0 158 26", class_="intervals", role="img", aria_label=words)
