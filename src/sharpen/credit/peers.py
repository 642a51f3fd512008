"""Credit relative to peers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sharpen.bounds import require
from sharpen.core import Part
from sharpen.maths import count_by, group_norm, mean_by, sum_by
from sharpen.types import Group
from sharpen.units import Table

if TYPE_CHECKING:
    from sharpen.ctx import Ctx


@dataclass(frozen=True)
class GroupNorm(Part):
    """Credit of a unit = (its reward - centre of its peers) / spread of its peers, on each of its atoms.

    GRPO (2402.03300, section 4.1.2) centres by the mean and divides by the standard deviation of the traces of one
    problem; Dr. GRPO (2503.20783) does not divide; RLOO (2402.14740) centres by the mean of the others. `peers` may
    name any key of a unit: GiGPO (2505.10978) adds turns in the same state. A unit without peers gets 0
    (`singleton="raw"`: its own value).
    """

    peers: tuple[str, ...] = ("group",)
    unit: Literal["trace", "segment"] = "trace"
    of: str = "reward"
    center: Literal["mean", "loo", "none"] = "mean"
    scale: Literal["std", "mean", "maxabs", "none"] = "std"
    singleton: Literal["zero", "raw"] = "zero"
    weight: float = 1.0
    into: str = "adv"
    mode: Literal["set", "add", "mul"] = "set"

    def __post_init__(self) -> None:
        require(self, "weight", math.isfinite(self.weight), "a finite number")

    @property
    def reads(self) -> tuple[str, ...]:  # type: ignore[override]
        """The value that is compared, and what is added to."""
        return ("traces", self.of) if self.mode == "set" else ("traces", self.of, self.into)

    @property
    def writes(self) -> tuple[str, ...]:  # type: ignore[override]
        """The credit column."""
        return (self.into,)

    def __call__(self, groups: list[Group], ctx: Ctx) -> list[Group]:
        """Write the credit; log how many peers sets differ in it."""
        table = Table(groups, self.unit)
        if not len(table):
            return groups
        ids = table.ids(*self.peers)
        credit = group_norm(table.get(self.of), ids, center=self.center, scale=self.scale, singleton=self.singleton)
        table.spread(self.into, self.weight * credit, self.mode)
        sets = int(ids.max()) + 1
        live = int((sum_by(credit.abs(), ids) > 0).sum())
        ctx.log("groups/signal", live / sets, sets)
        return groups


@dataclass(frozen=True)
class BlendReward(Part):
    """The credit of a trace moved towards that of another of its rewards: (1 - weight) A + weight A'.

    A' = (x - mean) / standard deviation of the reward `of` over its group; a group whose standard deviation is at most
    `floor` keeps its credit, for there x tells nothing apart. Before iteration `start` all do. LaSeR, 2510.14943,
    and its released code.
    """

    of: str = "self"
    weight: float = 0.1
    floor: float = 0.1
    start: int = 0
    into: str = "adv"

    def __post_init__(self) -> None:
        require(self, "weight", 0 <= self.weight <= 1, "from 0 to 1")
        require(self, "floor", self.floor >= 0, "0 or more")
        require(self, "start", self.start >= 0, "0 or more")

    @property
    def reads(self) -> tuple[str, ...]:  # type: ignore[override]
        """The credit, and the reward."""
        return ("traces", self.into, f"reward:{self.of}")

    @property
    def writes(self) -> tuple[str, ...]:  # type: ignore[override]
        """The credit."""
        return (self.into,)

    def __call__(self, groups: list[Group], ctx: Ctx) -> list[Group]:
        """Change the credit of each atom; the share of traces whose credit moved is logged."""
        table = Table(groups, "trace")
        if ctx.step - ctx.start < self.start or not len(table):
            return groups
        x, ids = table.get(self.of), table.ids("group")
        n = count_by(ids)[ids]
        spread = (mean_by((x - mean_by(x, ids)[ids]) ** 2, ids)[ids] * n / (n - 1).clamp(min=1)).sqrt()
        other = group_norm(x, ids)
        moved = spread > self.floor
        ctx.log("blend/moved", float(moved.float().mean()))
        for entry, a, move in zip(table.entries, other.tolist(), moved.tolist(), strict=True):
            for s in entry.segments if move else ():
                s.cols[self.into] = (1 - self.weight) * s.cols[self.into] + self.weight * a
        return groups
