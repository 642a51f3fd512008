"""Who does what: pure functions that every process computes alike."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise


def spans(n: int, parts: int) -> list[range]:
    """`n` items in order as `parts` stretches whose lengths differ by at most 1, the longer ones first.

    Neighbours stay together, so requests of one prompt are drawn (and the prompt read) in one process, except where a
    stretch ends.
    """
    size, more = divmod(n, parts)
    starts = [size * i + min(i, more) for i in range(parts + 1)]
    return [range(a, b) for a, b in pairwise(starts)]


def deal(sizes: Sequence[int], parts: int) -> list[list[int]]:
    """Indices of items dealt to `parts` hands of nearly equal total size: the largest first, each to the least hand.

    No hand is larger than 4/3 of the best possible largest one (Graham's bound for this rule). Hands are in order of
    index; with one hand it is all items in order.
    """
    hands: list[list[int]] = [[] for _ in range(parts)]
    loads = [0] * parts
    for i in sorted(range(len(sizes)), key=lambda i: (-sizes[i], i)):
        least = loads.index(min(loads))
        hands[least].append(i)
        loads[least] += sizes[i]
    return [sorted(h) for h in hands]
