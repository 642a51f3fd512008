"""The tree that the traces of a group make where they share segments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from sharpen.visible import one_line

TEXT_WIDTH = 400
"""Characters of a step in the tree; the traces through it hold the whole."""

NOTES = ("visits", "q", "value")
"""What a search leaves on a step: how often it went there, what it found it worth, what was thought of it at first."""


def tree(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Nodes of the tree of some traces, parents before children.

    Two segments are one node where they are one segment in the run (equal `id`), or where both were given and hold the
    same text after the same beginning; in files without ids, where they hold the same tokens after the same beginning.
    A node tells how many traces go through it (`of`) and how many of those judged are solved, which traces end there,
    and what a search noted on it. `shared` says whether traces share anything that a model drew.
    """
    often = Counter(s["id"] for row in rows for s in row["segments"] if s["id"] is not None)
    nodes: list[dict[str, Any]] = []
    known: dict[Hashable, int] = {}
    for row in rows:
        at: int | None = None
        for k, segment in enumerate(row["segments"]):
            key = (at, _key(segment, often, (row["trace"], k)))
            if key not in known:
                known[key] = len(nodes)
                nodes.append(_node(len(nodes), at, segment))
            at = known[key]
            _count(nodes[at], row)
        if at is not None:
            nodes[at]["ends"].append({k: row[k] for k in ("trace", "solved", "reward", "end", "notes")})
    drawn = [n for n in nodes if n["trainable"]]
    return {
        "nodes": nodes,
        "shared": any(n["of"] > 1 for n in drawn),
        "searched": any(n["visits"] is not None for n in drawn),
        "traces": len(rows),
    }


def _key(segment: Mapping[str, Any], often: Mapping[int, int], own: Hashable) -> Hashable:
    number, tokens = segment["id"], segment["tokens"]
    if number is not None and (often[number] > 1 or segment["trainable"]):
        return ("id", number)
    if tokens is None and segment["text"] is None:
        return ("own", own)
    return ("same", segment["role"], segment["text"], None if tokens is None else tuple(tokens))


def _node(number: int, parent: int | None, segment: Mapping[str, Any]) -> dict[str, Any]:
    logp = segment["logp"]
    target = segment["cols"].get("target")
    return {
        "id": number,
        "parent": parent,
        "role": segment["role"],
        "by": segment["by"],
        "trainable": segment["trainable"],
        "text": one_line(segment["text"] or "", TEXT_WIDTH),
        "atoms": segment["atoms"],
        "logp": sum(logp) if logp and segment["trainable"] else None,
        "target": target[-1] if target else None,
        **{name: segment["notes"].get(name) for name in NOTES},
        "of": 0,
        "judged": 0,
        "solved": 0,
        "ends": [],
    }


def _count(node: dict[str, Any], row: Mapping[str, Any]) -> None:
    node["of"] += 1
    node["judged"] += row["solved"] is not None
    node["solved"] += bool(row["solved"])
