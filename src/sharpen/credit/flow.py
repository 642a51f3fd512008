"""What answers should be drawn in proportion to."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from sharpen.bounds import require
from sharpen.core import Part
from sharpen.types import Group, Trace

if TYPE_CHECKING:
    from sharpen.ctx import Ctx


@dataclass(frozen=True)
class Flow(Part):
    """For each trace y, on each of its atoms: `logr` = `scale` x reward + `prior` x log pi_ref(y), the log of what it
    should be drawn in proportion to.

    Without a prior every text counts, and there are so many wrong ones that no `scale` of use outweighs them: the
    prior keeps to texts that the reference would write, as the list of allowed moves does in Flow of Reasoning. With
    prior 1 the optimum is the reference reweighed by e^(scale x reward) (2310.04363, section 3); below 1 it is flatter.

    With `learned`, also `logz`, what the value model said at the prompt's end (the column `value` at the first atom),
    and `flow` = logr - log pi_old(y). A model of log Z fitted to `flow` by squared error minimises the very loss of the
    policy, (log Z + log pi - log R)^2, seen from the other side.
    """

    scale: float = 10.0
    prior: float = 1.0
    learned: bool = True

    def __post_init__(self) -> None:
        require(self, "scale", 0 < self.scale < math.inf, "a number above 0")
        require(self, "prior", 0 <= self.prior <= 1, "from 0 to 1")

    @property
    def reads(self) -> tuple[str, ...]:  # type: ignore[override]
        """Rewards, the reference, and the value model's word where log Z is learned."""
        return ("traces", "reward", "logp_ref", *(("logp_old", "value") if self.learned else ()))

    @property
    def writes(self) -> tuple[str, ...]:  # type: ignore[override]
        """The columns."""
        return ("logr", "flow", "logz") if self.learned else ("logr",)

    def __call__(self, groups: list[Group], ctx: Ctx) -> list[Group]:
        """Write them."""
        for trace in (t for g in groups for t in g.traces if t.length):
            assert trace.reward is not None
            cols = {"logr": self.scale * trace.reward + self.prior * _whole(trace, "logp_ref")}
            if self.learned:
                cols["flow"] = cols["logr"] - _whole(trace, "logp_old")
                cols["logz"] = float(trace.actions[0].cols["value"][0])
                ctx.log("balance/gap", cols["logz"] - cols["flow"])
            for s in trace.actions:
                for name, x in cols.items():
                    s.put(name, x)
        return groups


def _whole(trace: Trace, column: str) -> float:
    return float(torch.cat([s.cols[column] for s in trace.actions]).sum())
