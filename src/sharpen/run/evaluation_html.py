"""The measures of a run as HTML: tables with intervals, pass@k over k, calibration, and what became of answers."""

from __future__ import annotations

from collections.abc import Sequence

from sharpen.evaluation import NAMES, Comparison, Interval, by_problem, percent
from sharpen.run.calibrated import agreed, stated
from sharpen.run.charts import intervals
from sharpen.run.html import Child, Html, join, table, tag
from sharpen.run.plots import reach_plot, reliability_plot
from sharpen.run.samples import KINDS
from sharpen.run.story import turns

HEAD = ("measure", "before", "after", "change", "0 to 100 %")


def evaluation(pairs: Sequence[Comparison]) -> Html:
    """A table of each split, what its figures are, and pass@k over k."""
    if not pairs:
        return Html("")
    sizes = ", ".join(
        f"{p.split} {e.problems} problems with {e.samples} samples each"
        for p in pairs
        if (e := p.after or p.before) is not None
    )
    tables = [join(tag("h3", named(p.split)), split_table(p)) for p in pairs]
    plots = [x for p in pairs if (x := reach_plot(p, f"pass@k on {p.split}")).text]
    return join(
        tables,
        tag("p", f"Shares with 95 % intervals; {sizes}. {_rule(pairs)}", class_="soft"),
        tag("div", plots, class_="charts") if plots else Html(""),
    )


def _rule(pairs: Sequence[Comparison]) -> str:
    how = (
        "A change is that of the same problems, in points with its 95 % interval, coloured when this leaves out 0 "
        "and six problems or more changed"
        if by_problem(pairs)
        else "A change is coloured when the two intervals do not overlap"
    )
    return f"{how}. The bars show before (hollow) and after (filled) from 0 to 100 %."


def split_table(p: Comparison) -> Html:
    """The measures of one split before and after, with the change."""
    rows: list[list[Child]] = [[n, _share(a), _share(b), _change(p, n, a, b), intervals(a, b)] for n, a, b in p.rows()]
    lengths = [None if e is None else e.length for e in (p.before, p.after)]
    if any(x is not None for x in lengths):
        rows.append(["length", *("–" if x is None else f"{x:.0f}" for x in lengths), "", ""])
    for name, x, y in p.means():
        rows.append([name, *("–" if v is None else f"{v:.3f}" for v in (x, y)), "", ""])
    return table(HEAD, rows, f"Evaluation on the split {p.split}")


def named(split: str) -> str:
    """A split with what it means."""
    return f"{split}: {NAMES[split]}" if split in NAMES else split


def _share(x: Interval | None) -> Child:
    if x is None:
        return "–"
    return join(f"{percent(x.mean)} ", tag("span", f"{100 * x.low:.1f} – {100 * x.high:.1f}", class_="soft"))


def _change(p: Comparison, name: str, a: Interval | None, b: Interval | None) -> Child:
    move = p.moved(name)
    if a is None or b is None or move is None:
        return "–"
    mark = {"up": " ▲", "down": " ▼", "unclear": ""}[move.change]
    points = tag("span", f"{100 * (b.mean - a.mean):+.1f}{mark}", class_=move.change)
    if move.by is None:
        return points
    return join(points, " ", tag("span", f"{100 * move.by.low:.1f} to {100 * move.by.high:.1f}", class_="soft"))


def counts(pairs: Sequence[Comparison]) -> Html:
    """How many greedy answers of each split are of each kind; nothing where that is not known."""
    rows = []
    for p in pairs:
        found = turns(p.before, p.after) if p.before is not None and p.after is not None else None
        if found is not None:
            gained, lost, right, wrong = found
            rows.append([p.split, *map(str, (gained, lost, wrong, right, sum(found)))])
    if not rows:
        return Html("")
    note = "Greedy answers to the same problems. Below are some of those that changed, both ways, and the first others."
    return join(table(("split", *KINDS[:4], "in all"), rows, "Greedy answers"), tag("p", note, class_="soft"))


def calibration(pairs: Sequence[Comparison]) -> Html:
    """ECE, Brier score and AUROC before and after, and reliability; of stated confidences, and of agreement."""
    rows: list[list[Child]] = []
    plots: list[Html] = []
    for p in pairs:
        for kind, measure in (("stated confidence", stated), ("agreement", agreed)):
            found = ((w, None if e is None else measure(e)) for w, e in (("before", p.before), ("after", p.after)))
            sides = {when: c for when, c in found if c is not None}
            if not sides:
                continue
            for when, c in sides.items():
                rank = "–" if c.auroc is None else f"{c.auroc:.3f}"
                figures = (percent(c.confidence), percent(c.right), f"{c.ece:.3f}", f"{c.brier:.3f}", rank)
                silent = percent(c.silent) if kind == "stated confidence" else "–"
                rows.append([f"{p.split}, {kind}, {when}", *figures, str(c.answers), silent])
            about = "share right" if kind == "stated confidence" else "majority right"
            plots.append(reliability_plot(sides, f"{kind.capitalize()} on {p.split}", about))
    if not rows:
        return Html("")
    head = ("of", "sure", "right", "ECE", "Brier", "AUROC", "counted", "silent")
    note = (
        "Sure is the mean confidence, right the share that was right: they should be equal. ECE is their mean distance "
        "over ten bins, the Brier score the mean squared error of the confidence (both 0 at best), AUROC how often a "
        "right answer is the surer one. Agreement is the share of a problem's answers that are the most frequent one. "
        "In the plots a dot below the diagonal is too sure, one above it not sure enough."
    )
    return join(table(head, rows, "Calibration"), tag("p", note, class_="soft"), tag("div", plots, class_="charts"))
