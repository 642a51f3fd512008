"""Data that were collected before the run: preferences as ready groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from sharpen.core import Part
from sharpen.errors import SharpenError
from sharpen.types import Group, Problem, Trace

if TYPE_CHECKING:
    from sharpen.ctx import Ctx


@dataclass(frozen=True)
class Offline(Part):
    """The preferences of the run's task, in an order shuffled anew each epoch, each as a group of two given traces.

    The chosen reply comes first, with the total reward 1, the rejected one has 0. Nobody drew them, so they have no
    behaviour log-prob.
    """

    split: str = "train"
    actor: str = "policy"
    needs: ClassVar[tuple[str, ...]] = ("pairs",)
    writes: ClassVar[tuple[str, ...]] = ("traces", "reward")

    def init(self) -> dict[str, list[int]]:
        """Indices still to come in this epoch."""
        return {"left": []}

    def draw(self, n: int, ctx: Ctx) -> list[Group]:
        """The next `n` of the epoch, and of the next ones when it ends."""
        known = ctx.task.pairs(self.split)
        if not known:
            raise SharpenError(
                f"Task {ctx.task.name!r} has no preferences in its split {self.split!r}. Give it more, or choose "
                "another split (`--set Offline.split=...`)."
            )
        left = ctx.state(self)["left"]
        out: list[Group] = []
        while len(out) < n:
            if not left:
                left += ctx.rng.sample(range(len(known)), len(known))
            problem, chosen, rejected = known[left.pop()]
            out.append(Group(problem, [self.given(problem, t, r, ctx) for t, r in ((chosen, 1.0), (rejected, 0.0))]))
        return out

    def given(self, problem: Problem, text: str, reward: float, ctx: Ctx) -> Trace:
        """A reply as a trace that can be trained on."""
        actor = ctx.actors[self.actor]
        segments = [*actor.prompt(problem), actor.given(text)]
        size = sum(map(len, segments))
        if actor.max_context and size > actor.max_context:
            raise SharpenError(
                f"A reply to problem {problem.key!r} has, prompt included, {size} tokens, and the model's context "
                f"holds {actor.max_context}. Shorten or drop that row, or use a model with a longer context."
            )
        return Trace(problem, segments, reward=reward, agent="data")

    def observe(self, groups: list[Group], ctx: Ctx) -> None:
        """Nothing to learn from them."""
