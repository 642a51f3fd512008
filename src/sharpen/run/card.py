"""What a notebook shows of a run or of measures: the headline, tables, small curves. No script, its own style."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sharpen.evaluation import Comparison
from sharpen.run.charts import Series, chart
from sharpen.run.evaluation_html import named, split_table
from sharpen.run.html import Html, join, tag
from sharpen.run.story import Story
from sharpen.run.trends import Entry, series

CURVES = (("Reward", "reward/total"), ("Solved", "solved"), ("Length", "length"), ("Entropy", "entropy"))
"""The curves of a card: title and metric."""

SHARES = frozenset({"solved", "truncated", "clipped", "groups/signal", "group/all_failed", "group/all_solved"})
"""Metrics that are drawn from 0 to 100 %."""

STYLE = """
.sharpen-card { --box: #fff; --ink: #1d1f22; --soft: #5c6470; --edge: #dcdfe4; --grid: #e8eaee; --s0: #2563c9;
  --s1: #c2410c; --s2: #8b3fb8; --good: #15803d; --bad: #b42318;
  background: var(--box); color: var(--ink); border: 1px solid var(--edge);
  border-radius: 6px; padding: .7rem 1rem; font: 14px/1.5 system-ui, sans-serif; max-width: 62rem; }
@media (prefers-color-scheme: dark) { .sharpen-card { --box: #1c1f25; --ink: #e6e8eb; --soft: #9aa4b2; --edge: #343a44;
  --grid: #2a2f38; --s0: #7cb0ff;
  --s1: #ff9d6b; --s2: #cf9cf2; --good: #6fd08c; --bad: #ff8f85; } }
.sharpen-card p, .sharpen-card h3 { margin: .3rem 0; font-size: 1em; }
.sharpen-card .headline { font-size: 1.1em; font-weight: 600; }
.sharpen-card .soft, .sharpen-card .about, .sharpen-card .unclear { color: var(--soft); font-size: .92em; }
.sharpen-card .up { color: var(--good); font-weight: 600; } .sharpen-card .down { color: var(--bad); font-weight: 600; }
.sharpen-card .scroll { overflow-x: auto; }
.sharpen-card table { border-collapse: collapse; margin: .2rem 0 .6rem; font-variant-numeric: tabular-nums;
  color: inherit; background: none; font-size: 1em; }
.sharpen-card tr, .sharpen-card tr:nth-child(even) { background: none; }
.sharpen-card th, .sharpen-card td { padding: .2rem .7rem; text-align: right; border: 0;
  border-top: 1px solid var(--grid); white-space: nowrap; }
.sharpen-card th:first-child { text-align: left; padding-left: 0; }
.sharpen-card svg { display: block; width: 100%; height: auto; }
.sharpen-card svg text { font-size: 10.5px; fill: var(--soft); }
.sharpen-card .intervals { width: 158px; min-width: 158px; }
.sharpen-card .grid { stroke: var(--grid); } .sharpen-card .axis { stroke: var(--soft); }
.sharpen-card .bar { stroke-width: 3; stroke-linecap: round; }
.sharpen-card .bar.before { stroke: var(--soft); } .sharpen-card .bar.after { stroke: var(--s0); }
.sharpen-card .mark.before { fill: var(--box); stroke: var(--soft); stroke-width: 2; }
.sharpen-card .mark.after { fill: var(--s0); }
.sharpen-card .raw, .sharpen-card .mean { fill: none; stroke-width: 2; }
.sharpen-card .raw { stroke-width: 1; opacity: .35; } .sharpen-card .dot { fill: var(--box); }
.sharpen-card .s0 { stroke: var(--s0); } .sharpen-card .s1 { stroke: var(--s1); }
.sharpen-card .s2 { stroke: var(--s2); }
.sharpen-card i.s0 { background: var(--s0); } .sharpen-card i.s1 { background: var(--s1); }
.sharpen-card i.s2 { background: var(--s2); } .sharpen-card .key { margin-right: .9rem; }
.sharpen-card .key i { display: inline-block; width: .8rem; height: .2rem; margin-right: .35rem; }
.sharpen-card .hit { fill: transparent; } .sharpen-card .hit:hover { fill: var(--soft); opacity: .15; }
.sharpen-card .charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr)); gap: .7rem; }
.sharpen-card figure { margin: 0; }
"""
"""Every rule is bound to the card, so that nothing else on the notebook's page changes."""


def run_card(title: str, told: Story, pairs: Sequence[Comparison], history: Sequence[Entry], where: str) -> str:
    """A finished run."""
    curves = [chart(name, [Series(name, series(history, metric))], share=metric in SHARES) for name, metric in CURVES]
    drawn = [c for c in curves if c.text]
    return _card(
        tag("p", title, class_="soft"),
        tag("p", told.headline, class_="headline"),
        _tables(pairs),
        tag("div", drawn, class_="charts") if drawn else Html(""),
        tag("p", f"The whole report is {where}", class_="soft"),
    )


def measures_card(pairs: Sequence[Comparison]) -> str:
    """Measures by split, without anything to compare them with."""
    return _card(_tables(pairs))


@dataclass(frozen=True)
class Card:
    """Something a notebook shows."""

    html: str

    def _repr_html_(self) -> str:
        return self.html


def curves(histories: Mapping[str, Sequence[Entry]], *metrics: str) -> Card:
    """Metrics of several runs over their iterations, a chart a metric and a line a run (`run.history` by a name)."""
    drawn = [chart(m, [Series(name, series(h, m)) for name, h in histories.items()], m in SHARES) for m in metrics]
    return Card(_card(tag("div", [c for c in drawn if c.text], class_="charts")))


def _tables(pairs: Sequence[Comparison]) -> Html:
    return join([join(tag("h3", named(p.split)), split_table(p)) for p in pairs])


def _card(*parts: Html) -> str:
    return tag("div", tag("style", Html(STYLE)), *parts, class_="sharpen-card").text
