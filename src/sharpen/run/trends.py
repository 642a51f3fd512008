"""Reading a metrics history: series by name, and their level at the start and at the end of a run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

Entry = Mapping[str, Any]
"""One iteration of a history: `{"step": int, "metrics": {name: value}, "cost": {name: number}}`."""

WINDOW_SHARE = 0.2
"""The start and the end of a run are its first and last fifth: long enough against noise, short enough to differ."""

WINDOW_MOST = 20
"""More iterations than this say nothing about the end of a long run."""

TREND_LEAST = 10
"""With fewer iterations than this there is no telling a trend from noise."""


def series(history: Sequence[Entry], name: str) -> list[tuple[int, float]]:
    """`(step, value)` wherever the metric was recorded as a finite number."""
    out = []
    for entry in history:
        value = entry.get("metrics", {}).get(name)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
            out.append((int(entry["step"]), float(value)))
    return out


def names(history: Sequence[Entry]) -> list[str]:
    """Every metric that occurs, in order of name."""
    return sorted({name for entry in history for name in entry.get("metrics", {})})


def window(count: int) -> int:
    """How many of `count` iterations make up the start or the end of a run."""
    return max(1, min(WINDOW_MOST, math.ceil(WINDOW_SHARE * count)))


def start(values: Sequence[float]) -> float:
    """The mean of the first fifth."""
    return fmean(values[: window(len(values))])


def end(values: Sequence[float]) -> float:
    """The mean of the last fifth."""
    return fmean(values[-window(len(values)) :])


class Trends:
    """The metrics of a run by name, each as its level at the start, at the end, and the difference."""

    def __init__(self, history: Sequence[Entry]) -> None:
        self.history = history
        self._values: dict[str, list[float]] = {}

    def values(self, name: str) -> list[float]:
        """Every finite value of a metric in order."""
        if name not in self._values:
            self._values[name] = [v for _, v in series(self.history, name)]
        return self._values[name]

    def now(self, name: str) -> float | None:
        """Level at the end; None if the metric was never recorded."""
        values = self.values(name)
        return end(values) if values else None

    def span(self, name: str) -> tuple[float, float] | None:
        """Levels at the start and at the end; None with fewer than `TREND_LEAST` values."""
        values = self.values(name)
        return (start(values), end(values)) if len(values) >= TREND_LEAST else None

    def recent(self, name: str) -> int:
        """How many values the level at the end is the mean of."""
        values = self.values(name)
        return window(len(values)) if values else 0
