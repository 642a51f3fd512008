"""Which rollouts a page of them shows: filters, an order, and a stretch of it, all on the index."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sharpen.view.columns import Coded, Index
from sharpen.visible import one_line

SORTS = ("step", "reward", "length", "solved", "problem", "end", "agent")
"""What rollouts can be put in order of."""

PROMPT_WIDTH = 160
"""Characters of a prompt in a list."""


@dataclass(frozen=True)
class Wanted:
    """What to show. Bounds are included; an empty text and None filter nothing.

    `text` is looked for in prompts and keys of problems, without regard to case. `sort` orders by a column, rows
    without a value last; rows that are equal there by iteration, group and trace.
    """

    text: str = ""
    first: int | None = None
    last: int | None = None
    low: float | None = None
    high: float | None = None
    solved: bool | None = None
    end: str = ""
    agent: str = ""
    sort: str = "step"
    down: bool = False
    offset: int = 0
    limit: int = 50


def chosen(index: Index, wanted: Wanted) -> NDArray[np.intp]:
    """The rows that fit, in order."""
    c = index.columns
    keep = np.ones(len(c), bool)
    if wanted.text:
        keep &= _holding(c.prompt, wanted.text) | _holding(c.problem, wanted.text)
    for values, low, high in ((c.step, wanted.first, wanted.last), (c.reward, wanted.low, wanted.high)):
        if low is not None:
            keep &= values >= low
        if high is not None:
            keep &= values <= high
    if wanted.solved is not None:
        keep &= c.solved == int(wanted.solved)
    for coded, name in ((c.end, wanted.end), (c.agent, wanted.agent)):
        if name:
            keep &= _those(coded, [t == name for t in coded.texts])
    rows = np.flatnonzero(keep)
    values = getattr(c, wanted.sort)
    key = _ranked(values)[rows] if isinstance(values, Coded) else values[rows].astype(np.float64)
    if wanted.sort == "solved":
        key[key < 0] = math.nan
    missing = np.isnan(key)
    key = np.where(missing, 0.0, -key if wanted.down else key)
    order: NDArray[np.intp] = np.lexsort((c.trace[rows], c.group[rows], c.step[rows], key, missing))
    return rows[order]


def _those(coded: Coded, right: list[bool]) -> NDArray[np.bool_]:
    return np.array([*right, False], bool)[coded.codes]


def _holding(coded: Coded, text: str) -> NDArray[np.bool_]:
    sought = text.casefold()
    return _those(coded, [sought in t.casefold() for t in coded.texts])


def _ranked(coded: Coded) -> NDArray[np.float64]:
    """The place of each text in order of the alphabet; NaN for null."""
    place = np.empty(len(coded.texts) + 1)
    place[sorted(range(len(coded.texts)), key=lambda i: coded.texts[i])] = np.arange(len(coded.texts))
    place[-1] = math.nan
    return place[coded.codes]


def page(index: Index, wanted: Wanted) -> dict[str, Any]:
    """The rows of a page, how many fit in all, what can be chosen from, and what could not be read."""
    c = index.columns
    rows = chosen(index, wanted)
    steps = (int(c.step.min()), int(c.step.max())) if len(c) else None
    rewards = c.reward[~np.isnan(c.reward)]
    return {
        "total": len(c),
        "fit": len(rows),
        "offset": wanted.offset,
        "rows": [row(index, int(i)) for i in rows[wanted.offset : wanted.offset + wanted.limit]],
        "steps": steps,
        "rewards": (float(rewards.min()), float(rewards.max())) if len(rewards) else None,
        "ends": sorted(c.end.texts),
        "agents": sorted(c.agent.texts),
        "broken": list(index.broken),
    }


def row(index: Index, i: int) -> dict[str, Any]:
    """A trace in a list."""
    c = index.columns
    reward, solved = float(c.reward[i]), int(c.solved[i])
    return {
        "step": int(c.step[i]),
        "group": int(c.group[i]),
        "trace": int(c.trace[i]),
        "problem": c.problem[i],
        "prompt": one_line(c.prompt[i] or "", PROMPT_WIDTH),
        "reward": None if math.isnan(reward) else reward,
        "solved": None if solved < 0 else bool(solved),
        "end": c.end[i],
        "agent": c.agent[i],
        "length": int(c.length[i]),
    }
