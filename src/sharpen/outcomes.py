"""What became of each problem of an evaluation: what two measurements of the same problems are compared by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sharpen.errors import SharpenError
from sharpen.maths.passk import pass_at_k


@dataclass(frozen=True)
class Outcomes:
    """One entry a problem, in the order of the split, which is the same at each measurement.

    `right` is how many of the drawn answers were right, `greedy` whether the answer at temperature 0 was, `votes` how
    many of the drawn answers agreed with the most frequent one, `majority` whether that one is right. Of answers that
    state a confidence, `stated` counts `(confidence, answers, right ones)` by confidence over all problems, `silent` is
    how many stated none, and `brier` each problem's mean of (confidence - right)^2 over those that did (None: none
    did). What was not measured is empty.
    """

    right: tuple[int, ...]
    greedy: tuple[bool, ...] = ()
    votes: tuple[int, ...] = ()
    majority: tuple[bool, ...] = ()
    stated: tuple[tuple[float, int, int], ...] = ()
    silent: int = 0
    brier: tuple[float | None, ...] = ()

    def __post_init__(self) -> None:
        for name in ("greedy", "votes", "majority", "brier"):
            if len(getattr(self, name)) not in (0, len(self.right)):
                raise SharpenError(
                    f"Outcomes hold {len(getattr(self, name))} entries of {name!r} for {len(self.right)} problems; "
                    f"give one a problem, or none."
                )
        if any(not (0 <= c <= 1 and 0 <= right <= n) for c, n, right in self.stated):
            raise SharpenError("Outcomes state a confidence outside 0 to 1, or more right answers than answers.")

    def values(self, measure: str, samples: int) -> list[float] | None:
        """The measure of that name (`accuracy`, `greedy`, `pass@K`, `maj@N`) on each problem; None if not known."""
        kind, _, k = measure.partition("@")
        if measure == "accuracy":
            return [c / samples for c in self.right]
        if kind == "pass" and int(k) <= samples:
            return [pass_at_k(samples, c, int(k)) for c in self.right]
        if measure == "greedy" or (kind == "maj" and int(k) == samples):
            return [float(x) for x in (self.greedy if measure == "greedy" else self.majority)] or None
        return None

    def to_plain(self) -> dict[str, Any]:
        """As JSON knows it, without what is empty; verdicts are 0 and 1."""
        out: dict[str, Any] = {"right": list(self.right)}
        out |= {n: [int(x) for x in getattr(self, n)] for n in ("greedy", "votes", "majority") if getattr(self, n)}
        if self.stated or self.silent:
            out |= {"stated": [list(x) for x in self.stated], "silent": self.silent, "brier": list(self.brier)}
        return out

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> Outcomes:
        """The inverse of `to_plain`."""
        return cls(
            right=tuple(int(x) for x in data["right"]),
            greedy=tuple(bool(x) for x in data.get("greedy", ())),
            votes=tuple(int(x) for x in data.get("votes", ())),
            majority=tuple(bool(x) for x in data.get("majority", ())),
            stated=tuple((float(c), int(n), int(right)) for c, n, right in data.get("stated", ())),
            silent=int(data.get("silent", 0)),
            brier=tuple(None if x is None else float(x) for x in data.get("brier", ())),
        )


def told(confidences: Sequence[Sequence[float | None]], right: Sequence[Sequence[bool]]) -> dict[str, Any]:
    """The fields `stated`, `silent` and `brier` of what answers state, a row a problem; nothing where none ever does.

    An answer that states no confidence is counted as silent and enters no score.
    """
    counts: dict[float, tuple[int, int]] = {}
    scores: list[float | None] = []
    for row, verdicts in zip(confidences, right, strict=True):
        said = [(c, bool(y)) for c, y in zip(row, verdicts, strict=True) if c is not None]
        for c, y in said:
            n, good = counts.get(c, (0, 0))
            counts[c] = (n + 1, good + y)
        scores.append(sum((c - y) ** 2 for c, y in said) / len(said) if said else None)
    if not counts:
        return {}
    silent = sum(len(row) for row in confidences) - sum(n for n, _ in counts.values())
    return {"stated": tuple((c, *counts[c]) for c in sorted(counts)), "silent": silent, "brier": tuple(scores)}
