"""What an evaluation found, as plain data, and what two of them say when they are compared."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import torch

from sharpen.errors import SharpenError
from sharpen.maths.intervals import paired_t
from sharpen.outcomes import Outcomes

Change = Literal["up", "down", "unclear"]
"""How a measure moved: up or down when chance does not explain it, else unclear."""

CEILING = 0.95
"""From this share on there is too little room left above for a change to say anything."""

MOVED_LEAST = 6
"""Problems that must have changed before a direction is called: the exact sign test gives 2 / 2^5 = 6 % to five that
all changed one way, and 2 / 2^6 = 3 % to six."""

NAMES = {"test": "new problems of the training kind", "harder": "harder problems", "train": "training problems"}


class Interval(NamedTuple):
    """A mean and its 95 % interval, `low <= mean <= high`."""

    low: float
    mean: float
    high: float


@dataclass(frozen=True)
class Evaluation:
    """One model on one split.

    `accuracy` is the mean share of `samples` drawn answers that are right, over `problems` problems; `greedy` that of
    the single answer at temperature 0. `pass_at[k]` is the chance that at least one of k samples is right (2107.03374),
    `maj_at[k]` that the most frequent answer of k is (2203.11171). All are shares with 95 % intervals. `length` is the
    mean number of tokens of an answer, `tokens` that of all that were generated for one by a search, `rewards` the
    means of named rewards over all drawn answers (not of the one that decides what is right, unless it knows no upper
    bound). `outcomes` tells what became of each problem (None in runs of earlier versions).
    """

    problems: int
    samples: int
    accuracy: Interval
    greedy: Interval | None = None
    pass_at: Mapping[int, Interval] = field(default_factory=dict)
    maj_at: Mapping[int, Interval] = field(default_factory=dict)
    length: float | None = None
    tokens: float | None = None
    rewards: Mapping[str, float] = field(default_factory=dict)
    outcomes: Outcomes | None = None

    def __post_init__(self) -> None:
        for name, x in self.measures().items():
            if not (all(map(math.isfinite, x)) and -1e-9 <= x.low <= x.mean + 1e-9 <= x.high + 2e-9 <= 1 + 3e-9):
                raise SharpenError(
                    f"Evaluation: {name} is {list(x)}; write [low, mean, high], finite shares from 0 to 1 in this "
                    f"order."
                )
        right = self.outcomes.right if self.outcomes else None
        if right is not None and (len(right) != self.problems or not all(0 <= c <= self.samples for c in right)):
            raise SharpenError(
                f"Evaluation: the outcomes must say of each of {self.problems} problems how many of {self.samples} "
                f"answers were right."
            )

    def measures(self) -> dict[str, Interval]:
        """Every measure with an interval, by its plain name (`accuracy`, `greedy`, `pass@4`, `maj@16`), in order."""
        out = {"accuracy": self.accuracy}
        if self.greedy is not None:
            out["greedy"] = self.greedy
        out |= {f"pass@{k}": self.pass_at[k] for k in sorted(self.pass_at)}
        out |= {f"maj@{k}": self.maj_at[k] for k in sorted(self.maj_at)}
        return out

    def to_plain(self) -> dict[str, Any]:
        """As JSON knows it: intervals are lists `[low, mean, high]`, keyed as in `measures`."""
        out: dict[str, Any] = {name: list(x) for name, x in self.measures().items()}
        out |= {"problems": self.problems, "samples": self.samples}
        out |= {} if self.length is None else {"length": self.length}
        out |= {} if self.tokens is None else {"tokens": self.tokens}
        out |= {"rewards": dict(self.rewards)} if self.rewards else {}
        return out | ({"outcomes": self.outcomes.to_plain()} if self.outcomes else {})

    def to_pandas(self) -> Any:
        """One row a measure: `low`, `mean`, `high`. SharpenError without pandas."""
        from sharpen.run.frames import evaluation_frame

        return evaluation_frame(self)

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> Evaluation:
        """The inverse of `to_plain`. Raises SharpenError for a missing, unknown or malformed entry."""
        missing = [n for n in ("accuracy", "problems", "samples") if n not in data]
        if missing:
            raise SharpenError(f"Evaluation data lack {', '.join(missing)}; they hold {', '.join(data) or 'nothing'}.")
        at: dict[str, dict[int, Interval]] = {"pass": {}, "maj": {}}
        for key, value in data.items():
            kind, _, k = key.partition("@")
            if kind in at and k.isdigit():
                at[kind][int(k)] = _interval(key, value)
            elif key not in ("accuracy", "greedy", "length", "outcomes", "problems", "rewards", "samples", "tokens"):
                raise SharpenError(
                    f"Evaluation data hold {key!r}, which is no measure; known are accuracy, greedy, pass@K, maj@K, "
                    f"length, tokens, problems, rewards, samples and outcomes."
                )
        return cls(
            problems=int(data["problems"]),
            samples=int(data["samples"]),
            accuracy=_interval("accuracy", data["accuracy"]),
            greedy=None if data.get("greedy") is None else _interval("greedy", data["greedy"]),
            pass_at=at["pass"],
            maj_at=at["maj"],
            length=None if data.get("length") is None else float(data["length"]),
            tokens=None if data.get("tokens") is None else float(data["tokens"]),
            rewards={str(name): float(x) for name, x in data.get("rewards", {}).items()},
            outcomes=Outcomes.from_plain(data["outcomes"]) if data.get("outcomes") else None,
        )


def _interval(name: str, value: Sequence[float]) -> Interval:
    if len(value) != 3:
        raise SharpenError(f"Evaluation: {name} is {list(value)}; write [low, mean, high].")
    return Interval(*(float(x) for x in value))


@dataclass(frozen=True)
class Comparison:
    """One split before and after training; either may be missing."""

    split: str
    before: Evaluation | None
    after: Evaluation | None

    def moved(self, measure: str) -> Move | None:
        """How the measure changed: see `moved`. None where a side, or the measure on it, is missing."""
        return moved(self.before, self.after, measure) if self.before and self.after else None

    def rows(self) -> list[tuple[str, Interval | None, Interval | None]]:
        """`(measure, before, after)` of every measure of either side; pass@1 only where it differs from accuracy."""
        a = self.before.measures() if self.before else {}
        b = self.after.measures() if self.after else {}
        rows = [(name, a.get(name), b.get(name)) for name in dict.fromkeys([*a, *b])]

        def same(x: Interval | None, y: Interval | None) -> bool:
            return x is y if x is None or y is None else abs(x.mean - y.mean) < 1e-9

        # pass@1 is the accuracy under another name unless somebody estimated it otherwise
        return [r for r in rows if r[0] != "pass@1" or not all(map(same, r[1:], rows[0][1:]))]

    def means(self) -> list[tuple[str, float | None, float | None]]:
        """`(name, before, after)` of every named reward of either side."""
        a = self.before.rewards if self.before else {}
        b = self.after.rewards if self.after else {}
        return [(f"reward {name}", a.get(name), b.get(name)) for name in dict.fromkeys([*a, *b])]


def comparisons(data: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> list[Comparison]:
    """Read `{split: {"before": plain, "after": plain}}`, splits in the given order; either side may be left out."""

    def side(parts: Mapping[str, Mapping[str, Any]], name: str) -> Evaluation | None:
        return Evaluation.from_plain(parts[name]) if parts.get(name) else None

    return [Comparison(split, side(parts, "before"), side(parts, "after")) for split, parts in data.items()]


def deciding(splits: Sequence[str]) -> str:
    """The split whose accuracy decides what is said: `test`, or the first."""
    return "test" if "test" in splits else splits[0]


def change(before: Interval, after: Interval) -> Change:
    """Up or down when the two 95 % intervals do not overlap (touching is overlapping), else unclear.

    This is stricter than a paired test: two means can differ for sure while their intervals still overlap a little.
    """
    if after.low > before.high:
        return "up"
    return "down" if after.high < before.low else "unclear"


class Move(NamedTuple):
    """How a measure changed on the same problems: `by` is the mean difference with its 95 % interval (None where only
    the two means are known), `problems` how many changed."""

    change: Change
    by: Interval | None = None
    problems: int = 0


def moved(before: Evaluation, after: Evaluation, measure: str) -> Move | None:
    """How a measure (a name of `Evaluation.measures`, or `pass@K` with any K up to the samples) changed.

    Where both know what became of each problem, by the differences problem by problem: up when Student's interval of
    their mean lies above 0 and `MOVED_LEAST` problems changed. Else by `change`. None where a side lacks the measure.
    """
    a, b = (None if e.outcomes is None else e.outcomes.values(measure, e.samples) for e in (before, after))
    if a is None or b is None or len(a) != len(b):
        x, y = before.measures().get(measure), after.measures().get(measure)
        return None if x is None or y is None else Move(change(x, y))
    return paired(a, b)


def paired(before: Sequence[float], after: Sequence[float]) -> Move:
    """How figures of the same problems changed: see `moved`."""
    new, old = (torch.tensor(x, dtype=torch.float64) for x in (after, before))
    count = int((new != old).sum())
    if len(new) < 2:  # one problem has no interval
        return Move("unclear", None, count)
    by, sure = Interval(*paired_t(new, old)), count >= MOVED_LEAST
    return Move("up" if sure and by.low > 0 else "down" if sure and by.high < 0 else "unclear", by, count)


def by_problem(pairs: Sequence[Comparison]) -> bool:
    """Whether all that was measured before and after is compared problem by problem."""
    both = [e for p in pairs if p.before and p.after for e in (p.before, p.after)]
    return bool(both) and all(e.outcomes is not None for e in both)


def percent(share: float) -> str:
    """A share as text: `12.3 %`."""
    return f"{100 * share:.1f} %"


def shown(x: Interval) -> str:
    """An interval as text: `61.5 % (57.2 to 65.7)`."""
    return f"{percent(x.mean)} ({100 * x.low:.1f} to {100 * x.high:.1f})"


def widest(before: Evaluation, after: Evaluation) -> int | None:
    """The largest k > 1 for which both have pass@k."""
    both = [k for k in before.pass_at if k > 1 and k in after.pass_at]
    return max(both, default=None)


def points(x: Interval) -> str:
    """A difference of shares as text: `+12.3 points (9.0 to 15.6)`."""
    return f"{100 * x.mean:+.1f} points ({100 * x.low:.1f} to {100 * x.high:.1f})"
