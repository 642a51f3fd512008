"""Which rows share a forward pass."""

from __future__ import annotations

from collections.abc import Sequence


def connected(n: int, members: Sequence[tuple[int, ...]]) -> list[list[int]]:
    """Rows joined by sets that share a row, in order of first appearance; rows in no set are left out."""
    root = list(range(n))

    def find(i: int) -> int:
        while root[i] != i:
            root[i] = root[root[i]]
            i = root[i]
        return i

    for m in members:
        for a in m[1:]:
            root[find(a)] = find(m[0])
    out: dict[int, list[int]] = {}
    for i in sorted({r for m in members for r in m}):
        out.setdefault(find(i), []).append(i)
    return list(out.values())


PASS = 512
"""Padding atoms that cost as much as one more forward and backward pass: its fixed cost, in atoms."""


def pack(bundles: Sequence[Sequence[int]], sizes: Sequence[int], tokens: int) -> list[list[int]]:
    """Bundles of rows into micro-batches of at most `tokens` padded atoms (or one bundle), longest first.

    Rows are padded to the longest of their micro-batch. One is closed as soon as its padding has cost as much as
    another pass (`PASS`), so that uneven rows cost at most about twice the least that passes and padding can cost.
    """
    order = sorted(range(len(bundles)), key=lambda b: -max(sizes[i] for i in bundles[b]))
    out: list[list[int]] = []
    width = padding = 0
    for b in order:
        widest = max(sizes[i] for i in bundles[b])
        more = sum(width - sizes[i] for i in bundles[b])
        if out and width * (len(out[-1]) + len(bundles[b])) <= tokens and padding + more <= PASS:
            out[-1] += bundles[b]
            padding += more
        else:
            out.append(list(bundles[b]))
            width, padding = widest, 0
    return [sorted(m) for m in out]
