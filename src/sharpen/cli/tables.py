"""What a run prints at its end: evaluation before and after, a few solutions side by side, where the run lies."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from rich.columns import Columns
from rich.console import Console, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from sharpen.evaluation import NAMES, Change, Comparison, Interval, by_problem, comparisons, shown
from sharpen.run.samples import kind, prompt, sorted_samples
from sharpen.run.story import CALIBRATED, CHANGED, COST, LEARNED, WRONG, Story, tight
from sharpen.run.verdict import verdict
from sharpen.visible import one_line, printable, visible

HEAD = ("measure", "before", "after", "change")

SAMPLES = 3
"""Solutions shown; more push the table off the screen."""

LINES_MOST = 12
"""Lines of a solution on the terminal; the report has all of them."""

TONE: Mapping[Change, str] = {"up": "bold green", "down": "bold red", "unclear": "dim"}

NOTE = "Shares with 95 % intervals; * the intervals before and after do not overlap."

PAIRED = "Shares with 95 % intervals; * the same problems changed by more than chance explains."


def rows(pair: Comparison) -> list[tuple[str, str, str, str, Change]]:
    """Measure, before, after, change in points (`*` where it is sure), and how it moved, for one split."""
    out: list[tuple[str, str, str, str, Change]] = []
    for name, a, b in pair.rows():
        out.append((name, _cell(a), _cell(b), *_change(pair, name, a, b)))
    x, y = (None if e is None else e.length for e in (pair.before, pair.after))
    if x is not None or y is not None:
        by = "" if x is None or y is None else f"{y - x:+.0f}"
        a_text, b_text = ("-" if v is None else f"{v:.0f}" for v in (x, y))
        out.append(("length", a_text, b_text, by, "unclear"))
    x, y = (None if e is None else e.tokens for e in (pair.before, pair.after))
    if x is not None or y is not None:
        out.append(("tokens", *("-" if v is None else f"{v:.0f}" for v in (x, y)), "", "unclear"))  # type: ignore[arg-type]
    for name, p, q in pair.means():
        by = "" if p is None or q is None else f"{q - p:+.3f}"
        out.append((one_line(name, 40), *("-" if v is None else f"{v:.3f}" for v in (p, q)), by, "unclear"))  # type: ignore[arg-type]
    return out


def _cell(x: Interval | None) -> str:
    return "-" if x is None else shown(x)


def _change(pair: Comparison, name: str, a: Interval | None, b: Interval | None) -> tuple[str, Change]:
    move = pair.moved(name)
    if a is None or b is None or move is None:
        return "", "unclear"
    return f"{100 * (b.mean - a.mean):+.1f}{' ' if move.change == 'unclear' else '*'}", move.change


def heading(pair: Comparison) -> str:
    """A split with what it means and how many problems it had: `test (new problems of the training kind, 500 x 16)`."""
    last = pair.after or pair.before
    about = [NAMES[pair.split]] if pair.split in NAMES else []
    about += [f"{last.problems} problems x {last.samples} samples"] if last else []
    return f"{pair.split} ({', '.join(about)})" if about else pair.split


def note(pairs: Sequence[Comparison]) -> str:
    """What the figures of the tables are."""
    return PAIRED if by_problem(pairs) else NOTE


def plain_table(pairs: Sequence[Comparison]) -> list[str]:
    """The table as aligned lines of ASCII."""
    table = [(pair, rows(pair)) for pair in pairs]
    cells = [HEAD] + [row[:4] for _, part in table for row in part]
    wide = [max(len(c[k]) for c in cells) for k in range(4)]

    def line(c: Sequence[str]) -> str:
        return f"  {c[0]:<{wide[0]}}  {c[1]:>{wide[1]}}  {c[2]:>{wide[2]}}  {c[3]:>{wide[3]}}".rstrip()

    out = []
    for pair, part in table:
        out += [heading(pair), line(HEAD), *(line(row) for row in part), ""]
    return [*out, note(pairs)] if out else []


def rich_table(pair: Comparison) -> Table:
    """The table of one split for a terminal."""
    table = Table(title=Text(heading(pair)), title_justify="left", title_style="bold")
    for k, name in enumerate(HEAD):
        table.add_column(name, justify="left" if k == 0 else "right", no_wrap=True)
    for name, a, b, by, move in rows(pair):
        table.add_row(Text(name), Text(a), Text(b), Text(by, style=TONE[move]))
    return table


def show_results(
    console: Console,
    evaluation: Mapping[str, Mapping[str, Mapping[str, Any]]],
    samples: Sequence[Mapping[str, Any]] = (),
    where: str = "",
    told: Story | None = None,
) -> None:
    """Print verdict, what else there is to tell of the run, table, sample solutions and the place of the run.

    `evaluation` is `{split: {"before": E, "after": E}}`, a sample `{"problem", "answer"?, "before": {"text", "solved"},
    "after": {...}}`, those that changed come first. Plain aligned text where the console is no terminal.
    """
    pairs = comparisons(evaluation)
    chosen = sorted_samples(samples)[:SAMPLES]
    if console.is_terminal:
        for part in _rich(console, pairs, chosen, where, told):
            console.print(part)
    else:
        file = console.file
        for line in _plain(pairs, chosen, where, told):
            print(printable(line, getattr(file, "encoding", None)), file=file)


def _lead(pairs: Sequence[Comparison]) -> str:
    """The verdict; nothing where only one time was measured, as `sharpen eval` does."""
    return "" if pairs and all(p.before is None for p in pairs) else verdict(pairs)


def _paragraphs(pairs: Sequence[Comparison], told: Story | None) -> list[str]:
    """The headline, the verdict, and what else is told in short; the findings were printed as they were found."""
    if told is None:
        return [_lead(pairs)] if _lead(pairs) else []
    lead = [told.headline] if told.about(LEARNED) else []
    return [*lead, verdict(pairs), *told.about(CHANGED, CALIBRATED, COST, WRONG)]


def _plain(
    pairs: Sequence[Comparison], samples: Sequence[Mapping[str, Any]], where: str, told: Story | None = None
) -> list[str]:
    out = []
    for text in _paragraphs(pairs, told):
        # a figure stays on the line of its unit
        words = textwrap.wrap(tight(text), 100)
        out += [*(line.replace("\u00a0", " ") for line in words), ""]
    out += plain_table(pairs)
    for s in samples:
        out += ["", f"[{kind(s).replace('→', '->')}] {one_line(prompt(s['problem']), 90)}"]
        out += [f"  expected: {one_line(str(s['answer']), 80)}"] if s.get("answer") is not None else []
        for side in ("before", "after"):
            part = s.get(side) or {}
            out.append(f"  {side} ({_word(part.get('solved'))}):")
            out += [f"    {line}" for line in _lines(part)]
    return [*out, "", f"Run: {visible(where)}"] if where else out


def _lines(side: Mapping[str, Any]) -> list[str]:
    lines = visible(str(side.get("text", "-"))).expandtabs(4).strip("\n").split("\n")
    more = len(lines) - LINES_MOST
    return lines if more <= 0 else [*lines[:LINES_MOST], f"({more} more lines)"]


def _rich(
    console: Console,
    pairs: Sequence[Comparison],
    samples: Sequence[Mapping[str, Any]],
    where: str,
    told: Story | None = None,
) -> list[RenderableType]:
    out: list[RenderableType] = [x for t in _paragraphs(pairs, told) for x in (Text(t), Text(""))]
    out += [rich_table(pair) for pair in pairs]
    if pairs:
        out.append(Text(note(pairs), style="dim"))
    width = max(30, (console.width - 2) // 2)
    for s in samples:
        name = kind(s)
        answer = f"   expected {one_line(str(s['answer']), 40)}" if s.get("answer") is not None else ""
        out.append(
            Text(
                f"\n{name}: {one_line(prompt(s['problem']), 2 * width - len(name) - len(answer))}{answer}", style="bold"
            )
        )
        out.append(Columns([_panel(side, s.get(side) or {}, width) for side in ("before", "after")], padding=(0, 1)))
    if where:
        # paths stay on one line so that they can be copied
        out.append(Text(f"\nRun: {visible(where)}", no_wrap=True, overflow="ignore"))
    return out


def _panel(name: str, side: Mapping[str, Any], width: int) -> Panel:
    solved = side.get("solved")
    style = "dim" if solved is None else "green" if solved else "red"
    title = Text(f"{name}: {_word(solved)}")
    return Panel(Text("\n".join(_lines(side))), title=title, title_align="left", width=width, border_style=style)


def _word(solved: object) -> str:
    return "not judged" if solved is None else "right" if solved else "wrong"
