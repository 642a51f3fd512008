"""What the steps of a searched tree are worth."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

from sharpen.core import Part
from sharpen.types import Group, Segment, Trace

if TYPE_CHECKING:
    from sharpen.ctx import Ctx


@dataclass(eq=False)
class _Step:
    segment: Segment | None
    children: dict[int, _Step] = field(default_factory=dict)
    far: float = math.inf
    """Steps from here to the nearest complete right answer below (inf: there is none)."""


@dataclass(frozen=True)
class TreeTargets(Part):
    """What a value model should say at the end of each step, into the column `target`.

    `quality` (ReST-MCTS*, 2406.03816, eq. 1 and 2, and its released code): v of the root is 0, and a step after a
    prefix of value v is worth max(0, v + (1 - v) s / (m + 1)), where s is 1 if a right answer lies below it and else
    -1, and m is the number of steps to the nearest one; where there is none, m is that of the last prefix that had
    one. So a step on a shortest way to an answer k steps away gains an even share, and v = 1 at the right answer.
    `q`: the mean value that the search backed up through the step (AlphaMath, 2405.03553, section 3.3).

    Traces of a tree share segments. Those of a tree without a right answer get no `quality`; `info["tree_solved"]`
    says so on each trace.
    """

    kind: Literal["quality", "q"] = "quality"
    reads: ClassVar[tuple[str, ...]] = ("traces", "solved")
    writes: ClassVar[tuple[str, ...]] = ("target",)

    def __call__(self, groups: list[Group], ctx: Ctx) -> list[Group]:
        """Write the targets."""
        for group in groups:
            root = _tree(group.traces)
            for trace in group.traces:
                trace.info["tree_solved"] = root.far < math.inf
            if self.kind == "quality" and root.far < math.inf:
                _quality(root, 0.0, root.far)
            for s in (s for t in group.traces for s in t.actions if self.kind == "q" and "q" in s.info):
                s.put("target", s.info["q"])
        ctx.log("tree/solved", sum(any(t.info["tree_solved"] for t in g.traces) for g in groups) / max(1, len(groups)))
        return groups


def _tree(traces: list[Trace]) -> _Step:
    root = _Step(None)
    for trace in traces:
        at = [root]
        for s in trace.actions:
            at.append(at[-1].children.setdefault(id(s), _Step(s)))
        if trace.solved and trace.end == "stop":
            for distance, step in enumerate(reversed(at)):
                step.far = min(step.far, distance)
    return root


def _quality(step: _Step, value: float, far: float) -> None:
    for child in step.children.values():
        alive = child.far < math.inf
        m = child.far if alive else far
        v = max(0.0, value + (1 - value) * (1 if alive else -1) / (m + 1))
        assert child.segment is not None
        child.segment.put("target", v)
        _quality(child, v, m)


def in_solved_tree(trace: Trace) -> bool:
    """True of a trace of a tree in which some answer is right."""
    return bool(trace.info.get("tree_solved"))


def complete(trace: Trace) -> bool:
    """True of a trace that the model ended itself."""
    return trace.end == "stop"
