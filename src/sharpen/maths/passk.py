"""What k attempts are worth: one right among them, or their vote."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import TypeVar

import torch

A = TypeVar("A", bound=Hashable)


def pass_at_k(n: int, c: int, k: int) -> float:
    """Chance that k attempts, drawn without replacement from n of which c are right, hold a right one; in [0, 1].

    `1 - C(n - c, k) / C(n, k)`: unbiased for the success of k fresh attempts (2107.03374). Computed in whole numbers
    and divided once, so it is exact to the last bit for any n. Raises ValueError unless `0 <= c <= n` and `1 <= k <=
    n`.
    """
    if not 0 <= c <= n or not 1 <= k <= n:
        raise ValueError(f"pass@k needs 0 <= c <= n and 1 <= k <= n, not n={n}, c={c}, k={k}")
    every = math.comb(n, k)
    return (every - math.comb(n - c, k)) / every


def best_of_k(scores: Sequence[float], values: Sequence[float], k: int) -> float:
    """Mean value of the attempt that scores highest among k, drawn without replacement from all n.

    With scores in ascending order the i-th (from 1) is the best of `C(i - 1, k - 1)` of the `C(n, k)` subsets; equal
    scores share theirs, as if a coin decided. Unbiased for the best of k fresh attempts (2310.02743, appendix; for
    right and wrong answers with a score that is right itself, this is `pass_at_k`). Raises ValueError unless there are
    as many values as scores, all finite, and `1 <= k <= n`.
    """
    n = len(scores)
    if len(values) != n or not 1 <= k <= n:
        raise ValueError(f"best of k needs as many values as scores and 1 <= k <= n, not {len(values)}, n={n}, k={k}")
    if not all(map(math.isfinite, (*scores, *values))):
        raise ValueError("scores and values must be finite")
    tied: dict[float, list[float]] = {}
    for score, value in zip(scores, values, strict=True):
        tied.setdefault(score, []).append(value)
    every, below, total = math.comb(n, k), 0, 0.0
    for score in sorted(tied):
        same = tied[score]
        won = math.comb(below + len(same), k) - math.comb(below, k)
        total += won / every * (math.fsum(same) / len(same))
        below += len(same)
    return total


def majority(answers: Sequence[A | None], weights: Sequence[float] | None = None) -> A | None:
    """The answer with most votes (or most weight); the one seen first wins a tie (2203.11171).

    None is "no answer": it wins only if there is nothing else. Raises ValueError for no answers at all, for weights of
    another length, and for a weight that is negative or not finite.
    """
    if not answers:
        raise ValueError("a vote needs at least one answer")
    if weights is None:
        weights = [1.0] * len(answers)
    if len(weights) != len(answers) or not all(0 <= w < math.inf for w in weights):
        raise ValueError(f"weights must be {len(answers)} finite numbers >= 0, one per answer: {list(weights)}")
    votes: dict[A, list[float]] = {}
    for answer, weight in zip(answers, weights, strict=True):
        if answer is not None:
            votes.setdefault(answer, []).append(weight)
    # a dict keeps first-seen order and max keeps the first of equals; fsum makes the order of equal weights irrelevant
    return max(votes, key=lambda a: math.fsum(votes[a])) if votes else None


def maj_at_k(
    answers: Sequence[Hashable | None], correct: Sequence[bool], k: int, rng: torch.Generator, samples: int = 1000
) -> float:
    """Share of votes among k of the n answers, drawn without replacement, whose winner is right; in [0, 1].

    `correct[i]` says whether answer i is right. Exact for k = n (the vote in the given order) and for k = 1 (the
    share of right answers), which draw nothing from `rng`; otherwise the mean over `samples` random subsets, each
    voting in the order drawn, so that ties fall to either side alike.

    Raises ValueError unless `1 <= k <= n`, `samples >= 1`, there is one verdict per answer, equal answers have equal
    verdicts, and None is wrong.
    """
    n = len(answers)
    if len(correct) != n:
        raise ValueError(f"{n} answers need {n} verdicts, not {len(correct)}")
    if not 1 <= k <= n or samples < 1:
        raise ValueError(f"maj@k needs 1 <= k <= n and samples >= 1, not n={n}, k={k}, samples={samples}")
    right: dict[Hashable | None, bool] = {None: False}
    for answer, verdict in zip(answers, correct, strict=True):
        if right.setdefault(answer, bool(verdict)) != bool(verdict):
            raise ValueError(f"the answer {answer!r} is called both right and wrong (None must be wrong)")
    if k == n:
        return float(right[majority(answers)])
    if k == 1:
        return sum(map(bool, correct)) / n
    won = 0
    for _ in range(samples):
        chosen = torch.randperm(n, generator=rng, device=rng.device)[:k].tolist()
        won += right[majority([answers[i] for i in chosen])]
    return won / samples
