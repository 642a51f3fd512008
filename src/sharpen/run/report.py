"""The report of a run: one HTML file that needs no network, no script and no other file.

Whatever a model or a data set wrote is escaped where the page is built (`sharpen.run.html`), and the page forbids
scripts and loading anything (a content security policy), so that nothing in a rollout can act.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sharpen.evaluation import Comparison, comparisons
from sharpen.run.charts import Series, chart, number
from sharpen.run.diagnose import Finding
from sharpen.run.evaluation_html import calibration, counts, evaluation
from sharpen.run.files import replace, writing
from sharpen.run.html import Child, Html, fold, join, table, tag
from sharpen.run.rollouts_html import rollout, sample
from sharpen.run.samples import kind, shown
from sharpen.run.spending import last_cost, seconds, spaced
from sharpen.run.story import Story, story, tight
from sharpen.run.style import STYLE
from sharpen.run.trends import Entry, names, series

SAMPLES_MOST = 12
"""Pairs of solutions on the page; more are not read."""

ROLLOUTS_MOST = 12
"""Groups of rollouts on the page; the run directory holds the rest."""

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""What a browser may do with the page: show it."""

CHARTS = (
    (
        "Groups",
        "share",
        (("groups/signal", "with signal"), ("group/all_failed", "all failed"), ("group/all_solved", "all solved")),
    ),
    ("Length", "tokens", (("length", "length"),)),
    ("Truncated", "share", (("truncated", "truncated"),)),
    ("Entropy", "nats a token", (("entropy", "entropy"),)),
    ("KL to reference", "nats a token", (("kl", "kl"),)),
    ("Gradient norm", "", (("grad_norm", "gradient norm"),)),
    ("Engine against trainer", "nats a token", (("engine/gap", "mean difference of log-probs"),)),
)
"""Curves after those of the rewards: title, unit, and metrics with the names they go by."""


@dataclass(frozen=True)
class ReportData:
    """What a report is made of, all of it plain data.

    `history` holds `{"step", "metrics", "cost"}` per iteration, costs counted from the start of the run. `evaluation`
    is `{split: {"before": E, "after": E}}` with E as `Evaluation.to_plain` writes it. `timing` holds the seconds of
    iterations as `timing.jsonl` does. A sample is `{"problem",
    "answer"?, "split"?, "before": {"text", "solved"}, "after": {...}}`. A rollout group is `{"step", "problem",
    "answer"?, "traces": [{"segments": [{"role", "text", "trainable"?, "by"?, "credit"?, "tokens"?: [{"text",
    "credit"}]}], "rewards": {name: value}, "reward"?, "solved"?, "end"?}]}`. `commands` are shell lines by what they do
    (`{"Reproduce": ..., "Resume": ...}`).
    """

    title: str
    manifest: Mapping[str, Any]
    composition: str
    history: Sequence[Entry]
    evaluation: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)
    findings: Sequence[Finding] = ()
    samples: Sequence[Mapping[str, Any]] = ()
    rollouts: Sequence[Mapping[str, Any]] = ()
    commands: Mapping[str, str] = field(default_factory=dict)
    timing: Sequence[Mapping[str, Any]] = ()


def write_report(path: Path, data: ReportData) -> None:
    """Write the report beside `path` and rename it there, so that a reader never meets half of one."""
    with writing("the report", path.parent):
        replace(path, page(data).encode())


def page(data: ReportData) -> str:
    """The report as one HTML document."""
    pairs = comparisons(data.evaluation)
    sections = [s for s in _sections(data, pairs) if s[2].text]
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("title", data.title),
        tag("style", Html(STYLE)),
    )
    nav = tag("nav", [tag("a", name, href=f"#{anchor}") for anchor, name, _ in sections], aria_label="Sections")
    body = [tag("section", tag("h2", name), content, id=anchor) for anchor, name, content in sections]
    told = story(pairs, data.history, data.timing, data.findings)
    top = tag("header", tag("h1", data.title), tag("p", told.headline, class_="verdict"), _story(told), nav)
    return "<!doctype html>\n" + tag("html", head, tag("body", tag("main", top, body)), lang="en").text + "\n"


def _story(told: Story) -> Html:
    rows = [
        join(tag("dt", a.question, class_=a.tone), tag("dd", [tag("p", tight(line)) for line in a.text.split("\n")]))
        for a in told.answers
    ]
    return tag("dl", rows, class_="story") if rows else Html("")


def _sections(data: ReportData, pairs: Sequence[Comparison]) -> list[tuple[str, str, Html]]:
    kept = shown(data.samples, SAMPLES_MOST)
    first = {kind(s): i for i, s in reversed([*enumerate(kept)])}
    samples = [sample(s, open_=i in first.values()) for i, s in enumerate(kept)]
    rollouts = [rollout(r, open_=k == 0) for k, r in enumerate(data.rollouts[-ROLLOUTS_MOST:])]
    return [
        ("evaluation", "Evaluation", evaluation(pairs)),
        ("calibration", "Calibration", calibration(pairs)),
        ("solutions", "Solutions before and after", join(counts(pairs), samples) if samples else Html("")),
        ("findings", "Findings", join([_finding(f) for f in data.findings]) if data.findings else _healthy(data)),
        ("curves", "Curves", _curves(data.history)),
        ("cost", "Cost", _cost(data.history, data.timing)),
        ("rollouts", "Rollouts", join(_legend(), rollouts) if rollouts else Html("")),
        ("recipe", "Recipe", tag("pre", data.composition) if data.composition else Html("")),
        ("run", "How to repeat it", join([join(tag("h3", k), tag("pre", v)) for k, v in data.commands.items()])),
        ("manifest", "Manifest and versions", _manifest(data.manifest)),
    ]


def _coded(text: str) -> Html:
    """Text whose parts between backticks are code."""
    return join([tag("code", part) if k % 2 else join(part) for k, part in enumerate(text.split("`"))])


def _finding(f: Finding) -> Html:
    return tag(
        "div",
        tag("h3", tag("span", f.severity, class_="word"), f.title),
        tag("p", _coded(f.text)),
        class_=f"finding {f.severity}",
    )


def _healthy(data: ReportData) -> Html:
    return tag("p", "None of the usual failures was seen in this run.") if data.history else Html("")


def _curves(history: Sequence[Entry]) -> Html:
    if not history:
        return Html("")
    known = names(history)
    rewards = [n for n in known if n.startswith("reward/") and n != "reward/total"]
    lead = [("reward/total", "total")] if "reward/total" in known else []
    named = [(n, n.removeprefix("reward/")) for n in rewards]
    plan = [("Reward", "", (*lead, *named)[:6]), ("Solved", "share", (("solved", "solved"),)), *CHARTS]
    used = {metric for _, _, metrics in plan for metric, _ in metrics}
    main = [_chart(history, *entry) for entry in plan]
    rest = [_chart(history, n, "", ((n, n),)) for n in known if n not in used]
    out: list[Child] = [tag("div", main, class_="charts")]
    if rest:
        out.append(fold(f"{len(rest)} more metrics", tag("div", rest, class_="charts")))
    note = "Faint lines are the values, bold ones a running mean. Point at a chart for the figures of a step."
    return join(*out, tag("p", note, class_="soft"))


def _chart(history: Sequence[Entry], title: str, unit: str, metrics: Sequence[tuple[str, str]]) -> Html:
    return chart(
        title, [Series(name, series(history, metric)) for metric, name in metrics], share=unit == "share", about=unit
    )


def _legend() -> Html:
    roles = [tag("span", role, class_=f"badge key-{role}") for role in ("system", "user", "assistant", "tool")]
    note = "Segments are coloured by role; tokens with credit of their own are tinted green (more) or red (less)."
    return join(tag("p", note, class_="soft"), tag("p", roles))


def _cost(history: Sequence[Entry], timing: Sequence[Mapping[str, Any]]) -> Html:
    rows = [
        (name.replace("_", " "), spaced(value), number(value / len(history)))
        for name, value in last_cost(history).items()
        if isinstance(value, (int, float))
    ]
    rows += [
        ("seconds" if name == "all" else f"seconds {name}", f"{value:.1f}", number(value / len(timing)))
        for name, value in seconds(timing).items()
    ]
    return table(("spent", "in all", "an iteration"), rows, "Cost") if rows else Html("")


def _manifest(manifest: Mapping[str, Any]) -> Html:
    versions = manifest.get("versions")
    rest = {k: v for k, v in manifest.items() if k != "versions" or not isinstance(v, Mapping)}
    out: list[Child] = []
    if isinstance(versions, Mapping) and versions:
        out.append(
            table(("package", "version"), [(str(k), str(v)) for k, v in versions.items()], "Versions", numbers=False)
        )
    plain = [(str(k), str(v)) for k, v in rest.items() if not isinstance(v, (Mapping, list, tuple))]
    if plain:
        out.append(table(("name", "value"), plain, "Manifest", numbers=False))
    if rest:
        out.append(
            fold("The whole manifest", tag("pre", json.dumps(dict(rest), indent=2, ensure_ascii=False, default=str)))
        )
    return join(*out)
