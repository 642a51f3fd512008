"""Credit mixed from two sources, and credit of rare and frequent classes made to weigh alike."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Any

from sharpen.bounds import require
from sharpen.core import Part
from sharpen.types import Group

if TYPE_CHECKING:
    from sharpen.ctx import Ctx


@dataclass(frozen=True)
class Blend(Part):
    """A = (1 - share) A + share B on each atom, where B is the credit in the column `other`.

    RL Tango (2505.15034) blends credit of outcomes and of steps, each normalised by itself, under a share
    that falls: `Vary(Blend(), "share", Decay(0.5, 3.0))`.
    """

    share: float = 0.5
    other: str = "step"
    into: str = "adv"

    def __post_init__(self) -> None:
        require(self, "share", 0 <= self.share <= 1, "from 0 to 1")

    @property
    def reads(self) -> tuple[str, ...]:  # type: ignore[override]
        """Both credits."""
        return ("traces", self.into, self.other)

    @property
    def writes(self) -> tuple[str, ...]:  # type: ignore[override]
        """Their blend."""
        return (self.into,)

    def __call__(self, groups: list[Group], ctx: Ctx) -> list[Group]:
        """Write it."""
        for s in (s for g in groups for t in g.traces for s in t.actions):
            s.cols[self.into] = (1 - self.share) * s.cols[self.into] + self.share * s.cols[self.other]
        return groups


@dataclass(frozen=True)
class ClassBalance(Part):
    """Credit of each trace times a factor of its class, so that a model that judges cannot live by the frequent one.

    The class is the fact `of` in the problem's info. Among N traces, n_c of them of class c, the factor is
    s_c = N / (sqrt(n_c) sum_d sqrt(n_d)): proportional to 1 / sqrt(n_c), and 1 in the mean over traces. It is smoothed
    over iterations, s <- memory x s + (1 - memory) x s_c, from its first value on; a class that does not occur keeps
    its own. RL Tango, 2505.15034, which gives the root and the smoothing; the scale is ours.
    """

    of: str = "right"
    memory: float = 0.9
    into: str = "adv"

    def __post_init__(self) -> None:
        require(self, "memory", 0 <= self.memory < 1, "at least 0 and below 1")

    @property
    def reads(self) -> tuple[str, ...]:  # type: ignore[override]
        """The credit."""
        return ("traces", self.into)

    @property
    def writes(self) -> tuple[str, ...]:  # type: ignore[override]
        """The same."""
        return (self.into,)

    def init(self) -> dict[str, Any]:
        """The factors of the classes seen so far."""
        return {"factors": {}}

    def __call__(self, groups: list[Group], ctx: Ctx) -> list[Group]:
        """Rescale it; the factors are logged."""
        traces = [t for g in groups for t in g.traces]
        count = Counter(t.problem.info[self.of] for t in traces)
        scale = len(traces) / max(1.0, sum(map(sqrt, count.values())))
        factors = ctx.state(self)["factors"]
        for name, n in count.items():
            now = scale / sqrt(n)
            factors[name] = self.memory * factors.get(name, now) + (1 - self.memory) * now
            ctx.log(f"balance/{name}", factors[name])
        for trace in traces:
            for s in trace.actions:
                s.cols[self.into] = s.cols[self.into] * factors[trace.problem.info[self.of]]
        return groups
