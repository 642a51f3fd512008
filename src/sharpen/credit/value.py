"""Credit from a value model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch

from sharpen.bounds import require
from sharpen.core import Part
from sharpen.errors import SharpenError
from sharpen.maths import gae_by, is_last, whiten
from sharpen.types import Group, Segment, Trace

if TYPE_CHECKING:
    from sharpen.ctx import Ctx


@dataclass(frozen=True)
class GAE(Part):
    """Generalised advantage of each atom (1506.02438, eq. 16) into `adv`, and what its value should be into `ret`.

    The total reward of a trace arrives with its last atom; each atom also earns its segment's `step` column where one
    is named, less `kl` (log pi_old - log pi_ref) where `kl` > 0 (InstructGPT, 2203.02155, eq. 2; 1909.08593). A trace
    that was cut off at a limit counts as ended. `ret` = advantage + value, as the old critic sees it.
    """

    gamma: float = 1.0
    lam: float = 0.95
    kl: float = 0.0
    value: str = "value"
    ref: str = "logp_ref"
    step: str = ""
    writes: ClassVar[tuple[str, ...]] = ("adv", "ret")

    def __post_init__(self) -> None:
        require(self, "gamma", 0 <= self.gamma <= 1, "from 0 to 1")
        require(self, "lam", 0 <= self.lam <= 1, "from 0 to 1")
        require(self, "kl", self.kl >= 0, "0 (no penalty) or more")

    @property
    def reads(self) -> tuple[str, ...]:  # type: ignore[override]
        """Rewards, values, and the reference where there is a penalty."""
        penalty = ("logp_old", self.ref) if self.kl else ()
        return ("traces", "reward", self.value, *penalty, *((self.step,) if self.step else ()))

    def __call__(self, groups: list[Group], ctx: Ctx) -> list[Group]:
        """Write both columns."""
        traces = [t for g in groups for t in g.traces if t.length]
        if not traces:
            return groups
        segments = [s for t in traces for s in t.actions]
        ids = torch.arange(len(traces)).repeat_interleave(torch.tensor([t.length for t in traces]))
        r = torch.zeros(len(ids))
        if self.step:
            r = r + torch.cat([s.cols[self.step] for s in segments])
        if self.kl:
            gap = torch.cat([s.cols["logp_old"] - s.cols[self.ref] for s in segments])
            ctx.log("kl/penalty", float(gap.mean()), len(gap))
            r = r - self.kl * gap
        r[is_last(ids)] += torch.tensor([_reward(t) for t in traces])
        v = torch.cat([s.cols[self.value] for s in segments])
        adv = gae_by(r, v, ids, self.gamma, self.lam)
        spread_atoms(segments, "adv", adv)
        spread_atoms(segments, "ret", adv + v)
        left = ((adv + v) - v).var(unbiased=False) / (adv + v).var(unbiased=False).clamp(min=1e-8)
        ctx.log("value/explained", 1 - float(left))
        return groups


def _reward(trace: Trace) -> float:
    if trace.reward is None:
        raise SharpenError(f"A trace of {trace.problem.key!r} has no total reward; put Total before GAE.")
    return float(trace.reward)


def spread_atoms(segments: Sequence[Segment], name: str, values: torch.Tensor) -> None:
    """Write one value per atom of some segments, in their order."""
    at = 0
    for s in segments:
        s.put(name, values[at : at + len(s)].clone())
        at += len(s)


@dataclass(frozen=True)
class Whiten(Part):
    """A column to mean 0 and standard deviation 1 over all trained atoms of the iteration (1909.08593)."""

    of: str = "adv"

    @property
    def reads(self) -> tuple[str, ...]:  # type: ignore[override]
        """The column."""
        return ("traces", self.of)

    @property
    def writes(self) -> tuple[str, ...]:  # type: ignore[override]
        """The same."""
        return (self.of,)

    def __call__(self, groups: list[Group], ctx: Ctx) -> list[Group]:
        """Rescale it."""
        segments = [s for g in groups for t in g.traces for s in t.actions]
        if segments:
            spread_atoms(segments, self.of, whiten(torch.cat([s.cols[self.of] for s in segments])))
        return groups
