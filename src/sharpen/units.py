"""Units of groups, with ids: the one place that knows what a segment, a trace, an episode or a group is.

Credit is computed on a flat vector with one entry per unit and ids that say who is whose peer, by the pure functions of
`sharpen.maths`; `Table` makes the vector and the ids, and spreads the result back onto atoms.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from sharpen.errors import SharpenError
from sharpen.types import Group, Segment, Trace, Unit


@dataclass(frozen=True)
class Entry:
    """One unit: where it sits (segment is None above the level of segments)."""

    group: Group
    trace: Trace
    segment: Segment | None

    @property
    def segments(self) -> list[Segment]:
        """The trainable segments beneath it."""
        return self.trace.actions if self.segment is None else [self.segment]


KEYS: dict[str, Callable[[Entry], Hashable]] = {
    "problem": lambda e: e.group.problem.key,
    "group": lambda e: id(e.group),
    "trace": lambda e: id(e.trace),
    "episode": lambda e: e.trace.episode or id(e.trace),
    "agent": lambda e: e.trace.agent,
    "parent": lambda e: e.group.problem.parent,
    "batch": lambda e: 0,
    "role": lambda e: e.segment.role if e.segment else None,
    "state": lambda e: e.segment.state if e.segment else None,
    "observation": lambda e: _before(e),
}
"""What units can be grouped by; any other name is looked up in the info of the trace, then of the problem.

The `state` of a turn is the world's own and may hold what is not seen (the turns left); its `observation` is the text
that it answers.
"""


class Table:
    """The units of one level in some groups, in order."""

    def __init__(self, groups: Iterable[Group], unit: Unit) -> None:
        if unit not in ("trace", "segment"):
            raise ValueError(f"a table has units 'trace' or 'segment', not {unit!r}")
        self.unit = unit
        traces = [(g, t) for g in groups for t in g.traces]
        if unit == "trace":
            self.entries = [Entry(g, t, None) for g, t in traces]
        else:
            self.entries = [Entry(g, t, s) for g, t in traces for s in t.actions]

    def __len__(self) -> int:
        return len(self.entries)

    def ids(self, *keys: str) -> Tensor:
        """`int64[n]`: units with equal values of all `keys` share an id, counted from 0 in order of appearance."""
        seen: dict[tuple[Hashable, ...], int] = {}
        out = [seen.setdefault(tuple(_key(e, k) for k in keys), len(seen)) for e in self.entries]
        return torch.tensor(out, dtype=torch.long)

    def get(self, name: str) -> Tensor:
        """`float32[n]`: a value per unit: `reward` (the total, or a segment's own), a named reward, a number in its
        info, or a column's value at its last atom.
        """
        return torch.tensor([_value(e, name) for e in self.entries], dtype=torch.float32)

    def spread(self, name: str, values: Tensor, mode: Literal["set", "add", "mul"] = "set") -> None:
        """Write one value per unit onto every trainable atom beneath it."""
        for entry, value in zip(self.entries, values.tolist(), strict=True):
            for s in entry.segments:
                if mode == "set" or name not in s.cols:
                    s.put(name, value)
                elif mode == "add":
                    s.cols[name] = s.cols[name] + value
                else:
                    s.cols[name] = s.cols[name] * value


def _before(entry: Entry) -> str | None:
    """The text of the segment before a segment."""
    text = None
    for s in entry.trace.segments:
        if s is entry.segment:
            return text
        text = s.text
    return None


def _key(entry: Entry, key: str) -> Hashable:
    if key in KEYS:
        return KEYS[key](entry)
    for info in (entry.trace.info, entry.trace.problem.info):
        if key in info:
            value: Hashable = info[key]
            return value
    raise SharpenError(
        f"Peers by {key!r}: a trace of {entry.trace.problem.key!r} has no such fact. Known: {', '.join(KEYS)}, and "
        "what the "
        f"task writes into a problem's info ({', '.join(entry.trace.problem.info) or 'nothing here'})."
    )


def _value(entry: Entry, name: str) -> float:
    where = entry.trace if entry.segment is None else entry.segment
    if name == "reward":
        if where.reward is None:
            raise SharpenError(
                f"A trace of {entry.trace.problem.key!r} has no total reward; put Total before this part."
            )
        return where.reward
    if name in where.info:
        return float(where.info[name])
    if entry.segment is None and name in entry.trace.rewards:
        return entry.trace.rewards[name]
    last = next((s for s in reversed(entry.segments) if len(s)), None)
    if last is not None and name in last.cols:
        return float(last.cols[name][-1])
    if name in entry.trace.rewards:
        return entry.trace.rewards[name]
    raise SharpenError(
        f"A {'trace' if entry.segment is None else 'segment'} of {entry.trace.problem.key!r} has no {name!r}."
    )
