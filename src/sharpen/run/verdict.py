"""What measures before and after training say, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from sharpen.evaluation import (
    CEILING,
    MOVED_LEAST,
    NAMES,
    Comparison,
    Evaluation,
    Move,
    deciding,
    moved,
    percent,
    points,
    shown,
    widest,
)


def verdict(pairs: Sequence[Comparison]) -> str:
    """One paragraph: did the model learn, did it only sharpen, and did it carry over to harder problems.

    The split `test` decides (without it, the first that was evaluated before and after).
    """
    whole = [(p.split, p.before, p.after) for p in pairs if p.before is not None and p.after is not None]
    if not whole:
        return "There is no evaluation before and after training, so this report cannot say whether the model learned."
    main = deciding([split for split, _, _ in whole])
    split, before, after = next(w for w in whole if w[0] == main)
    parts = [learned(split, before, after), widened(before, after)]
    parts += [_carried(a, b) for other, a, b in whole if other == "harder" and other != split]
    return " ".join(p for p in parts if p)


def learned(split: str, a: Evaluation, b: Evaluation) -> str:
    """Whether the share of right answers rose, in a sentence."""
    where = NAMES.get(split, f"the split {split}")
    figures = f"from {shown(a.accuracy)} to {shown(b.accuracy)}"
    move = _move(a, b, "accuracy")
    by = f"problem by problem {points(move.by)}" if move.by else "the 95 % intervals lie apart"
    if move.change == "up":
        return f"The model learned: on {where}, the share of right answers rose {figures}; {by}."
    if move.change == "down":
        return f"The model got worse: on {where}, the share of right answers fell {figures}{f'; {by}' * bool(move.by)}."
    few = f", and only {move.problems} problems changed" if move.by and move.problems < MOVED_LEAST else ""
    overlap = f"{by}{few}" if move.by else "and the 95 % intervals overlap"
    return (
        f"No change that {b.problems} problems can tell from chance: on {where}, the share of right answers went "
        f"{figures}{';' if move.by else ','} {overlap}."
    )


def room(a: Evaluation, k: int) -> bool:
    """Whether enough problems were left unsolved by k tries that solving them all would show."""
    values = a.outcomes.values(f"pass@{k}", a.samples) if a.outcomes else None
    return a.pass_at[k].mean < CEILING if values is None else sum(v < 1 for v in values) >= MOVED_LEAST


def widened(a: Evaluation, b: Evaluation) -> str:
    """Whether more is solved with the most tries that were measured, in a sentence; empty without such a measure."""
    k = widest(a, b)
    if k is None:
        return ""
    x, y = a.pass_at[k], b.pass_at[k]
    move = _move(a, b, f"pass@{k}")
    figures = f"pass@{k} went from {shown(x)} to {shown(y)}" + (f", {points(move.by)}" if move.by else "")
    if not room(a, k) and move.change == "unclear":
        return f"With {k} tries the model solved {percent(x.mean)} already before, so pass@{k} cannot show new skill."
    if move.change == "up":
        return f"It did not only sharpen: with {k} tries it solves more than before, {figures}."
    if move.change == "down":
        return f"It lost breadth: with {k} tries it solves less than before, {figures}."
    if _move(a, b, "accuracy").change == "up":
        return (
            f"It mostly sharpened: it finds more often what it could find before in {k} tries; {figures}, within error."
        )
    return f"With {k} tries it is the same within error; {figures}."


def _move(a: Evaluation, b: Evaluation, measure: str) -> Move:
    return moved(a, b, measure) or Move("unclear")


def _carried(a: Evaluation, b: Evaluation) -> str:
    move = _move(a, b, "accuracy")
    figures = f"from {shown(a.accuracy)} to {shown(b.accuracy)}" + (f", {points(move.by)}" if move.by else "")
    return {
        "up": f"It carries over to harder problems: {figures}.",
        "down": f"On harder problems it got worse: {figures}.",
        "unclear": f"On harder problems nothing changed for sure: {figures}.",
    }[move.change]
