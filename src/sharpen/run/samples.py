"""Solutions of the same problem before and after training: which are worth showing, and problems as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

KINDS = ("wrong → right", "right → wrong", "still wrong", "right both times", "not judged")
"""What training did to a solution, the most telling first."""


def kind(entry: Mapping[str, Any]) -> str:
    """Which of `KINDS` a sample `{"before": {"solved"}, "after": {"solved"}}` is."""
    a, b = (entry.get(side, {}).get("solved") for side in ("before", "after"))
    if a is None or b is None:
        return KINDS[4]
    return {(False, True): KINDS[0], (True, False): KINDS[1], (False, False): KINDS[2]}.get(
        (bool(a), bool(b)), KINDS[3]
    )


def sorted_samples(samples: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Samples that changed first, two gains to every loss so that both are seen; then the rest in order."""
    bins = {name: [s for s in samples if kind(s) == name] for name in KINDS}
    gains, losses = bins[KINDS[0]], bins[KINDS[1]]
    out: list[Mapping[str, Any]] = []
    while gains or losses:
        out += gains[:2] + losses[:1]
        gains, losses = gains[2:], losses[1:]
    return out + [s for name in KINDS[2:] for s in bins[name]]


def shown(samples: Sequence[Mapping[str, Any]], most: int) -> list[Mapping[str, Any]]:
    """About `most` samples, the same number of each split, as `sorted_samples` orders them.

    At least three of a split, so that a gain and a loss are among them where there are both.
    """
    splits = list(dict.fromkeys(s.get("split") for s in samples))
    each = max(3, most // max(1, len(splits)))
    return [s for split in splits for s in sorted_samples([s for s in samples if s.get("split") == split])[:each]]


def prompt(problem: Any) -> str:
    """A problem as text: a string as it is, messages one after another with their roles."""
    if isinstance(problem, str):
        return problem
    if isinstance(problem, (list, tuple)) and all(isinstance(m, Mapping) for m in problem):
        return "\n\n".join(f"{m.get('role', '')}: {m.get('content', '')}" for m in problem)
    return str(problem)
