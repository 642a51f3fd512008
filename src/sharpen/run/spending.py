"""What a run spent: tokens by kind, and seconds by what they went into."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sharpen.evaluation import percent
from sharpen.run.trends import Entry

KINDS = ("generated_tokens", "prompt_tokens", "scored_tokens", "trained_tokens")
"""Tokens by what was done with them, as a cost counts them."""


def last_cost(history: Sequence[Entry]) -> Mapping[str, Any]:
    """What everything cost since the start."""
    return next((e["cost"] for e in reversed(history) if e.get("cost")), {})


def seconds(timing: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Seconds of all iterations (`all`), and those spent waiting, collecting and learning as far as they are known.

    `collecting` is drawing, scoring and judging samples; where samples are drawn ahead, `waiting` is what the updates
    waited for them, and is not counted as collecting. `learning` is the rest.
    """

    def known(name: str) -> list[float]:
        found = [t.get(name) for t in timing]
        return [float(x) for x in found if isinstance(x, (int, float)) and math.isfinite(x)]

    total = known("seconds")
    if not total:
        return {}
    out = {"all": sum(total)}
    if len(parts := known("collecting")) == len(total):
        waiting = sum(known("waited"))
        out |= {"waiting": waiting} if any("waited" in t for t in timing) else {}
        out |= {"collecting": max(0.0, sum(parts) - waiting), "learning": max(0.0, sum(total) - sum(parts))}
    elif len(waits := known("waited")) == len(total):
        out["waiting"] = sum(waits)
    return out


def spent(history: Sequence[Entry], timing: Sequence[Mapping[str, Any]] = ()) -> str:
    """Tokens by kind and seconds by what they went into, in a sentence or two; empty where nothing is known."""
    cost, time, parts = last_cost(history), seconds(timing), []
    tokens = [f"{spaced(cost[k])} {k.removesuffix('_tokens')}" for k in KINDS if cost.get(k)]
    if tokens:
        parts.append(f"Tokens: {', '.join(tokens)}, in {len(history)} iteration{'s' * (len(history) != 1)}.")
    if time:
        shares = [f"{percent(v / time['all'])} {k}" for k, v in time.items() if k != "all" and time["all"] > 0]
        parts.append(f"Training took {clock(time['all'])}{': ' * bool(shares)}{', '.join(shares)}.")
    return " ".join(parts)


def spaced(x: float) -> str:
    """A whole number with spaces between thousands."""
    return f"{x:,.0f}".replace(",", " ")


def clock(s: float) -> str:
    """Seconds as `8.5 s`, `3 min 20 s` or `2 h 5 min`."""
    if s < 60:
        return f"{s:.1f} s"
    minutes, rest = divmod(round(s), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
