"""Credit of turns: what each segment of an episode led to, by its rewards or by critics of whole utterances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from sharpen.bounds import require
from sharpen.core import Part
from sharpen.maths import discounted_returns_by
from sharpen.types import Group
from sharpen.units import Table

if TYPE_CHECKING:
    from sharpen.ctx import Ctx


@dataclass(frozen=True)
class TurnReturn(Part):
    """Discounted return of each turn, R_t = sum_{k >= t} gamma^(k - t) r_k over the turns of its trace, on its atoms.

    r_k is the turn's `of`: `reward` is what the world gave for it, any other name a column at the turn's last atom.
    Turns are the trained segments, in order. GiGPO (2505.10978, eq. 7) compares it among turns taken in the same state;
    with gamma 1 on normalised rewards of steps it is process-supervised GRPO's credit (2402.03300, section
    4.1.3).
    """

    gamma: float = 0.95
    of: str = "reward"
    into: str = "return"

    def __post_init__(self) -> None:
        require(self, "gamma", 0 <= self.gamma <= 1, "from 0 to 1")

    @property
    def needs(self) -> tuple[str, ...]:  # type: ignore[override]
        """A world that rewards turns, unless the rewards are a column."""
        return ("environment",) if self.of == "reward" else ()

    @property
    def reads(self) -> tuple[str, ...]:  # type: ignore[override]
        """The column, if it is one."""
        return ("traces",) if self.of == "reward" else ("traces", self.of)

    @property
    def writes(self) -> tuple[str, ...]:  # type: ignore[override]
        """The return."""
        return (self.into,)

    def __call__(self, groups: list[Group], ctx: Ctx) -> list[Group]:
        """Write it."""
        table = Table(groups, "segment")
        if len(table):
            table.spread(self.into, discounted_returns_by(table.get(self.of), table.ids("trace"), self.gamma))
        return groups


@dataclass(frozen=True)
class TD(Part):
    """What the value of each turn's action should be, y_t = r_t + gamma V(s_{t+1}), on the turn's atoms.

    r_t is what the world gave for the turn, V(s_{t+1}) the column `value` at the first atom of the trace's next turn,
    and 0 after the last one (an episode that a limit cut off counts as ended). In ArCHer (2402.19446) V is the target
    network's.
    """

    gamma: float = 0.9
    value: str = "v_target"
    into: str = "q_goal"
    needs: ClassVar[tuple[str, ...]] = ("environment",)

    def __post_init__(self) -> None:
        require(self, "gamma", 0 <= self.gamma <= 1, "from 0 to 1")

    @property
    def reads(self) -> tuple[str, ...]:  # type: ignore[override]
        """The values of the states."""
        return ("traces", self.value)

    @property
    def writes(self) -> tuple[str, ...]:  # type: ignore[override]
        """The goal."""
        return (self.into,)

    def __call__(self, groups: list[Group], ctx: Ctx) -> list[Group]:
        """Write it."""
        for trace in (t for g in groups for t in g.traces):
            turns = [s for s in trace.actions if len(s)]
            for turn, later in zip(turns, [*turns[1:], None], strict=True):
                after = float(later.cols[self.value][0]) if later is not None else 0.0
                turn.put(self.into, turn.reward + self.gamma * after)
        return groups


@dataclass(frozen=True)
class TurnAdvantage(Part):
    """A(s, a) = Q(s, a) - V(s) of each turn, on its atoms: `q` at its last atom (the whole action was heard) less `v`
    at its first (none of it was).

    Without a `v` it is Q alone: what the value of the state should be, where the action is the policy's own. Source:
    ArCHer, 2402.19446, and its released code.
    """

    q: str = "q"
    v: str = "v"
    into: str = "adv"

    @property
    def reads(self) -> tuple[str, ...]:  # type: ignore[override]
        """What the critics say."""
        return ("traces", self.q, *((self.v,) if self.v else ()))

    @property
    def writes(self) -> tuple[str, ...]:  # type: ignore[override]
        """The advantage."""
        return (self.into,)

    def __call__(self, groups: list[Group], ctx: Ctx) -> list[Group]:
        """Write it; its mean size is logged under its name."""
        for turn in (s for g in groups for t in g.traces for s in t.actions if len(s)):
            value = float(turn.cols[self.q][-1]) - (float(turn.cols[self.v][0]) if self.v else 0.0)
            turn.put(self.into, value)
            ctx.log(f"{self.into}/size", abs(value))
        return groups
