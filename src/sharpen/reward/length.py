"""Rewards of length."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from sharpen.bounds import require
from sharpen.core import Part
from sharpen.rollout.combinators import all_solved
from sharpen.types import Group

if TYPE_CHECKING:
    from sharpen.ctx import Ctx


@dataclass(frozen=True)
class Overlong(Part):
    """Soft overlong punishment, `overlong` in [-1, 0] (DAPO, 2503.14476, eq. 13).

    With L the longest answer the run allows and C = `share` x L: 0 up to L - C tokens, then falling in a straight line
    to -1 at L, and -1 for an answer that was cut off there.
    """

    share: float = 0.2
    actor: str = "policy"
    reads: ClassVar[tuple[str, ...]] = ("traces",)
    writes: ClassVar[tuple[str, ...]] = ("reward:overlong",)

    def __post_init__(self) -> None:
        require(self, "share", 0 < self.share <= 1, "above 0 and at most 1")

    def __call__(self, groups: list[Group], ctx: Ctx) -> list[Group]:
        """Score every trace."""
        limit = ctx.actors[self.actor].longest
        for trace in (t for g in groups for t in g.traces):
            trace.rewards["overlong"] = overlong(trace.length, limit, self.share, trace.end == "length")
            ctx.log("reward/overlong", trace.rewards["overlong"])
        return groups


def overlong(length: int, limit: int, share: float, cut: bool = False) -> float:
    """The punishment of one answer."""
    if cut:
        return -1.0
    margin = share * limit
    return -min(1.0, max(0.0, (length - (limit - margin)) / margin))


@dataclass(frozen=True)
class Brevity(Part):
    """The reward `brevity`, 1 - n / L in [0, 1], of each of the n tokens long answers of a group that passes `when`.

    L is the longest answer the run allows. In other groups it is 0: length counts only where it costs nothing, for
    instance once all answers of a group are right (ConciseR, 2505.21178).
    """

    when: Callable[[Group], bool] = all_solved
    actor: str = "policy"
    reads: ClassVar[tuple[str, ...]] = ("traces",)
    writes: ClassVar[tuple[str, ...]] = ("reward:brevity",)

    def __call__(self, groups: list[Group], ctx: Ctx) -> list[Group]:
        """Score every trace; the share of groups whose length counts is logged."""
        limit = ctx.actors[self.actor].longest
        for group in groups:
            counts = self.when(group)
            ctx.log(f"brevity/{self.when.__name__}", float(counts))
            for trace in group.traces:
                trace.rewards["brevity"] = max(0.0, 1 - trace.length / limit) if counts else 0.0
                ctx.log("reward/brevity", trace.rewards["brevity"])
        return groups
