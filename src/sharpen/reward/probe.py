"""A reward that the policy gives itself: how likely one unused token is after the end of its answer."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from sharpen.bounds import require
from sharpen.core import Part
from sharpen.rollout.edit import Annotate
from sharpen.types import Group, Trace

if TYPE_CHECKING:
    from sharpen.ctx import Ctx


@dataclass(frozen=True)
class Probe(Part):
    """Append a token z that no text holds to each answer that ended by itself; `self` is what z says of the answer.

    `self` = clip(beta (log pi(z | x, y) - base), 0, 1), where x, y is all that stands before, the end of the turn
    included (LaSeR, 2510.14943). `base` is the reference's log-prob of z there, or `constant` where one
    is given: the paper finds it nearly the same after every answer (-23 for Qwen2.5, -25 for OctoThinker) and saves
    the pass. z is the actor's spare token, or the one called `token`. An answer that was cut off, or that fills the
    model's context, gets no token, and `self` is 0.

    z is an atom to be trained that nobody drew. Columns tell it from the others: `spoken` is 1 on what was drawn and
    `probe` on z, so that one term is taken `where="spoken"` and another `where="probe"`. On z stand the log-prob it
    should have, `goal` = base + verdict / beta for a verdict of 0 or 1, and the weight of its error, `balance` =
    beta^2 N / (2 N_v), for N answers of which N_v have the verdict of this one. Before iteration `start` nothing is
    appended. A log-prob can rise by no more than -base: with a small vocabulary raise `beta`, so that 1 / beta lies
    well below that.
    """

    beta: float = 0.1
    constant: float | None = None
    start: int = 0
    token: str = ""
    actor: str = "policy"
    ref: str = "ref"
    reads: ClassVar[tuple[str, ...]] = ("traces", "solved")
    writes: ClassVar[tuple[str, ...]] = ("spoken", "probe", "goal", "balance", "reward:self")

    def __post_init__(self) -> None:
        require(self, "beta", 0 < self.beta < math.inf, "a number above 0")
        require(self, "constant", self.constant is None or math.isfinite(self.constant), "a finite number, or none")
        require(self, "start", self.start >= 0, "0 or more")

    def __call__(self, groups: list[Group], ctx: Ctx) -> list[Group]:
        """Append the tokens and write everything; the share of right self-verdicts (at one half) is logged."""
        for trace in (t for g in groups for t in g.traces):
            trace.rewards["self"] = 0.0
            for s in trace.actions:
                s.put("spoken", 1.0)
                s.put("probe", 0.0)
        actor = ctx.actors[self.actor]
        room = actor.max_context or math.inf
        ended = [t for g in groups for t in g.traces if t.end == "stop" and t.length and actor.size(t) < room]
        if ctx.step - ctx.start < self.start or not ended:
            return groups
        asked = [self._ask(t, ctx) for t in ended]
        alone = [Group(t.problem, [t]) for t in asked]
        Annotate(self.actor, into="own")(alone, ctx)
        if self.constant is None:
            Annotate(self.ref, into="base")(alone, ctx)
        right = sum(bool(t.solved) for t in ended)
        for trace, view in zip(ended, asked, strict=True):
            (z,) = view.actions
            verdict = float(bool(trace.solved))
            base = self.constant if self.constant is not None else float(z.cols["base"][0])
            said = self.beta * (float(z.cols["own"][0]) - base)
            z.cols.clear()
            z.put("spoken", 0.0)
            z.put("probe", 1.0)
            z.put("goal", base + verdict / self.beta)
            z.put("balance", self.beta**2 * len(ended) / (2 * (right if trace.solved else len(ended) - right)))
            trace.segments.append(z)
            trace.rewards["self"] = min(1.0, max(0.0, said))
            ctx.log("reward/self", trace.rewards["self"])
            ctx.log("probe/right", float((said > 0.5) == bool(trace.solved)))
        return groups

    def _ask(self, trace: Trace, ctx: Ctx) -> Trace:
        """The trace as mere context of the token."""
        given = [dataclasses.replace(s, trainable=False) for s in trace.segments]
        return dataclasses.replace(trace, segments=[*given, ctx.actors[self.actor].spare(self.token)])
