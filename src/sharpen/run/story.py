"""What a run came to, told to someone who was not there: questions and answers, all from what its folder holds.

Directions come from intervals (`sharpen.evaluation.moved`), never from a size that somebody thought large.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sharpen.evaluation import (
    NAMES,
    Change,
    Comparison,
    Evaluation,
    Interval,
    moved,
    percent,
    widest,
)
from sharpen.run.calibrated import Calibration, agreed, brier_change, stated
from sharpen.run.diagnose import Finding
from sharpen.run.spending import spent
from sharpen.run.trends import Entry, Trends
from sharpen.run.verdict import learned, room, widened

Kind = Literal["widened", "sharpened", "narrowed", "learned", "worse", "broadened", "lost", "same"]
"""What training did on a split: right more often and more in reach (`widened`), no more (`sharpened`) or less in reach
(`narrowed`), or that cannot be told (`learned`); right less often (`worse`); right as often with more (`broadened`) or
less (`lost`) in reach; nothing that can be told from chance (`same`)."""

TOLD: Mapping[Kind, str] = {
    "widened": "it learned and widened",
    "sharpened": "it only sharpened",
    "narrowed": "it sharpened and lost breadth",
    "learned": "it learned",
    "worse": "it got worse",
    "broadened": "it widened without being right more often",
    "lost": "it lost breadth",
    "same": "nothing changed that can be told from chance",
}

TONES: Mapping[Kind, Change] = {
    "widened": "up",
    "sharpened": "up",
    "narrowed": "up",
    "learned": "up",
    "broadened": "up",
    "worse": "down",
    "lost": "down",
    "same": "unclear",
}


@dataclass(frozen=True)
class Answer:
    """One question a reader has, answered in words, a line a split; `tone` is the way things went."""

    question: str
    text: str
    tone: Change = "unclear"


@dataclass(frozen=True)
class Story:
    """The headline of a run, and the answers below it (a question that cannot be answered is left out)."""

    headline: str
    answers: tuple[Answer, ...]

    def about(self, *questions: str) -> list[str]:
        """The texts of some answers, in the order of the story."""
        return [a.text for a in self.answers if a.question in questions]


UNIT = re.compile(r"(?<=\d) (?=(?:%|s|min|h|\d{3})(?!\w))")
"""The space between a figure and its unit, or between thousands."""

LEARNED, WIDENED, CHANGED = "Did it learn?", "Did it widen, or only sharpen?", "Which answers changed?"
CALIBRATED, COST, WRONG = "Is it as right as it is sure?", "What did it cost?", "What went wrong?"


def kind_of(before: Evaluation, after: Evaluation) -> Kind:
    """What training did on a split: see `Kind`."""
    k, move = widest(before, after), moved(before, after, "accuracy")
    wide = None if k is None else moved(before, after, f"pass@{k}")
    reach: Change | None = None if wide is None else wide.change
    right: Change = "unclear" if move is None else move.change
    if right == "down":
        return "worse"
    if right == "unclear":
        return "broadened" if reach == "up" else "lost" if reach == "down" else "same"
    if reach is None or k is None or (reach == "unclear" and not room(before, k)):
        return "learned"
    return "widened" if reach == "up" else "narrowed" if reach == "down" else "sharpened"


def story(
    pairs: Sequence[Comparison],
    history: Sequence[Entry] = (),
    timing: Sequence[Mapping[str, Any]] = (),
    findings: Sequence[Finding] = (),
) -> Story:
    """The story of a run from its measures, its history with costs, its seconds, and what was found."""
    whole = [(p.split, p.before, p.after) for p in pairs if p.before is not None and p.after is not None]
    # the training kind first: it decides
    whole = sorted(whole, key=lambda w: (w[0] != "test", w[0] != "harder"))
    kinds = [(split, kind_of(a, b)) for split, a, b in whole]
    tones = {TONES[k] for _, k in kinds}
    tone: Change = next(iter(tones)) if len(tones) == 1 else "unclear"
    answers = [
        Answer(LEARNED, "\n".join(learned(*w) for w in whole), tone),
        Answer(WIDENED, "\n".join(_wide(*w) for w in whole if widest(w[1], w[2]))),
        Answer(CHANGED, "\n".join(x for w in whole if (x := turned(*w)))),
        Answer(CALIBRATED, "\n".join(x for w in whole if (x := calibration(*w)))),
        Answer(COST, spent(history, timing)),
        Answer(WRONG, trouble(history, findings)),
    ]
    return Story(headline(kinds), tuple(a for a in answers if a.text))


def headline(kinds: Sequence[tuple[str, Kind]]) -> str:
    """One sentence over all splits; those of one kind are named together."""
    if not kinds:
        return "Nothing was measured before and after training, so nobody can say whether the model learned."
    by: dict[Kind, list[str]] = {}
    for split, kind in kinds:
        by.setdefault(kind, []).append(named(split))
    parts = [f"on {' and '.join(where)} {TOLD[kind]}" for kind, where in by.items()]
    text = "; ".join(parts) + "."
    mixed = {"up", "down"} <= {TONES[kind] for kind in by}
    return f"Mixed: {text}" if mixed else text[0].upper() + text[1:]


def named(split: str) -> str:
    """A split in words."""
    return NAMES.get(split, f"the split {split}")


def _wide(split: str, a: Evaluation, b: Evaluation) -> str:
    text = widened(a, b)
    return f"On {named(split)}: {text[0].lower()}{text[1:]}"


def turned(split: str, a: Evaluation, b: Evaluation) -> str:
    """How many greedy answers turned right and how many turned wrong; empty where that is not known."""
    counts = turns(a, b)
    if counts is None:
        return ""
    n, (gained, lost, right, wrong) = sum(counts), counts
    sure = moved(a, b, "greedy")
    word = {"up": "more right than before", "down": "fewer right than before"}.get(sure.change if sure else "", "")
    end = f": {word}" if word else "; chance alone could do that" if gained or lost else ""
    return (
        f"Of {n} greedy answer{'s' * (n != 1)} to {named(split)}, {gained} went from wrong to right and {lost} from "
        f"right to wrong ({right} were right both times, {wrong} wrong both times){end}."
    )


def turns(a: Evaluation, b: Evaluation) -> tuple[int, int, int, int] | None:
    """Greedy answers that went wrong to right, right to wrong, were right twice, wrong twice; None if not known."""
    x, y = (e.outcomes.greedy if e.outcomes else () for e in (a, b))
    if not x or len(x) != len(y):
        return None
    both = list(zip(x, y, strict=True))
    return (*(both.count(pair) for pair in ((False, True), (True, False), (True, True), (False, False))),)  # type: ignore[return-value]


def calibration(split: str, a: Evaluation, b: Evaluation) -> str:
    """Stated confidences before and after, or, where answers state none, agreement; empty where neither is known."""
    for kind, measure in (("stated", stated), ("agreed", agreed)):
        x, y = measure(a), measure(b)
        if x is None or y is None:
            continue
        who = "stated confidence" if kind == "stated" else f"agreement of {b.samples} answers"
        move = brier_change(a, b, kind)
        word = {"down": "a better score", "up": "a worse score"}.get(
            move.change if move else "", "the same within error"
        )
        by = f", {_signed(move.by)}" if move and move.by else ""
        return (
            f"On {named(split)} the {who} was {_level(x)} before and {_level(y)} after. ECE {x.ece:.3f} became "
            f"{y.ece:.3f}{_ranks(x, y)}, Brier score {x.brier:.3f} became {y.brier:.3f}{by}: {word}."
        )
    return ""


def _ranks(x: Calibration, y: Calibration) -> str:
    known = x.auroc is not None and y.auroc is not None
    return f", AUROC {x.auroc:.3f} became {y.auroc:.3f}" if known else ""


def _level(c: Calibration) -> str:
    return f"{percent(c.confidence)} on average with {percent(c.right)} right"


def _signed(x: Interval) -> str:
    return f"{x.mean:+.3f} ({x.low:.3f} to {x.high:.3f})"


def tight(text: str) -> str:
    """The text with figures held together with their units, and thousands with each other, where lines are broken."""
    return UNIT.sub("\u00a0", text)


def trouble(history: Sequence[Entry], findings: Sequence[Finding]) -> str:
    """What was found, how many answers were cut off at the end, and how far engine and trainer are apart."""
    grave = [f for f in findings if f.severity != "note"]
    notes = len(findings) - len(grave)
    parts = []
    if grave:
        parts.append(f"{'; '.join(f.title for f in grave)} (see the findings).")
    elif history:
        parts.append("None of the usual failures was seen." + (f" Notes: {notes}." if notes else ""))
    trends = Trends(history)
    cut, gap = trends.now("truncated"), trends.now("engine/gap")
    if cut is not None:
        parts.append(f"At the end {percent(cut)} of the answers were cut off at the token limit.")
    if gap is not None:
        parts.append(f"Engine and trainer differ by {gap:.4f} nats a token.")
    return " ".join(parts)
