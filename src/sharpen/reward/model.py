"""Rewards that a model gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from sharpen.core import Part
from sharpen.rollout.edit import Annotate
from sharpen.types import Group
from sharpen.units import Table

if TYPE_CHECKING:
    from sharpen.ctx import Ctx


@dataclass(frozen=True)
class Judge(Part):
    """The reward `name` of every trace: what a reward model says of it as a whole, the score at its last atom.

    `squash` sends the score through a sigmoid, for a model fitted by cross-entropy. A model's score of every step is
    the column of `Annotate(actor, "score", into)`: credit and rewards of steps read it at each step's last atom.
    """

    actor: str = "rm"
    name: str = "rm"
    squash: Literal["none", "sigmoid"] = "none"
    reads: ClassVar[tuple[str, ...]] = ("traces",)

    @property
    def writes(self) -> tuple[str, ...]:  # type: ignore[override]
        """The reward's own column."""
        return (f"reward:{self.name}",)

    def __call__(self, groups: list[Group], ctx: Ctx) -> list[Group]:
        """Score every trace; one without an atom is scored 0."""
        column = f"score:{self.actor}"
        Annotate(self.actor, "score", into=column)(groups, ctx)
        spoken = [Group(g.problem, [t for t in g.traces if t.length]) for g in groups]
        table = Table(spoken, "trace")
        score = table.get(column)
        for trace in (t for g in groups for t in g.traces):
            trace.rewards[self.name] = 0.0
        for entry, value in zip(table.entries, (score.sigmoid() if self.squash == "sigmoid" else score), strict=True):
            entry.trace.rewards[self.name] = float(value)
            ctx.log(f"reward/{self.name}", float(value))
        return groups
