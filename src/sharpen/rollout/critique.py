"""Answers given anew after a critique, and moved to where they might have been given at once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

from sharpen.bounds import require
from sharpen.core import Part, Wiring, reads
from sharpen.reward.verify import Verify
from sharpen.rollout.program import Play
from sharpen.task.base import Task
from sharpen.task.text import leading, lines
from sharpen.types import End, Group, Sampling, Segment, Trace

if TYPE_CHECKING:
    from sharpen.ctx import Ctx


@reads("solved")
def mistake(trace: Trace, task: Task) -> str:
    """Whether the answer is right, and the number of its first wrong line where the task checks steps."""
    if trace.solved:
        return "The answer is right."
    valid = task.check_steps(trace.problem, lines(trace.text)) if "steps" in task.gives else []
    where = leading(valid)
    return "The answer is wrong." + (f" Line {where + 1} is the first mistake." if where < len(valid) else "")


@reads("solved")
def truth(trace: Trace, task: Task) -> str:
    """Whether the answer is right, and which one would be."""
    return f"The answer is {'right' if trace.solved else 'wrong'}. The right answer is {trace.problem.answer}."


Critic = Callable[[Trace, Task], str]
"""What is said of an answer."""


@dataclass(frozen=True)
class Refine(Part):
    """One more trace for every group: the best of the answers that are given anew after a critique of each trace.

    A critique (from `critic`; None: the policy is asked for one with `ask`) and the request `again` follow the draft
    as the user's turn. `judge` verifies the refinements; the first that solves the problem is kept, else the first of
    the highest main reward. It joins the group as if it had been said to the bare prompt: its segment is `moved`, so
    its log-prob is of another context and a loss that takes a ratio refuses it (2506.03106). A draft that
    was cut off, or leaves no room for more, is not refined.
    """

    critic: Critic | None = mistake
    again: str = "Answer again."
    ask: str = "Is the answer right? Name its first mistake."
    judge: Any = field(default_factory=Verify)
    temperature: float = 1.0
    actor: str = "policy"
    reads: ClassVar[tuple[str, ...]] = ("traces",)
    writes: ClassVar[tuple[str, ...]] = ("traces", "logp_old")
    draws: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require(self, "temperature", self.temperature >= 0, "0 (greedy) or more")

    def wire(self, wiring: Wiring) -> None:
        """The judge sees every trace that is kept, so what it writes is there for all."""
        wiring.visit(self)
        self.judge.wire(wiring)

    def __call__(self, groups: list[Group], ctx: Ctx) -> list[Group]:
        """The groups with at most one trace more; `info["refined"]` marks it."""
        drafts = [(g, t) for g in groups for t in g.traces if t.end == "stop"]
        runs = ctx.play(
            [functools.partial(self._play, draft=t) for _, t in drafts],
            [g.problem for g, _ in drafts],
            Sampling(self.temperature),
            self.actor,
        )
        made = {id(g): Group(g.problem) for g in groups}
        for (group, _), traces in zip(drafts, runs, strict=True):
            made[id(group)].traces += traces
        judged: list[Group] = self.judge(list(made.values()), ctx)
        ctx.cost.traces += sum(len(g.traces) for g in judged)
        for group, refined in zip(groups, judged, strict=True):
            if refined.traces:
                ctx.log("refined/solved", sum(bool(t.solved) for t in refined.traces) / len(refined.traces))
                group.traces.append(best_of(refined, ctx.task.main))
        return groups

    async def _play(self, play: Play, draft: Trace) -> list[Trace]:
        context = list(draft.segments)
        if self.critic is None:
            context.append(play.say(self.ask))
            if not _room(play, context):
                return []
            context.append(await play.sample(context))
            if context[-1].info.get("end") == "length":
                return []
            context.append(play.say(self.again))
        else:
            context.append(play.say(f"{self.critic(draft, play.task)} {self.again}"))
        if not _room(play, context):
            return []
        said = await play.sample(context)
        end: End = "length" if said.info.get("end") == "length" else "stop"
        return [Trace(play.problem, [*play.prompt(), replace(said, moved=True)], end=end, info={"refined": True})]


def _room(play: Play, context: list[Segment]) -> bool:
    """Whether the model's context holds more than this."""
    limit = play.actors[play.actor].max_context
    return not limit or sum(map(len, context)) < limit


def best_of(group: Group, main: str) -> Trace:
    """The first trace that solved the problem, else the first with the highest reward `main`."""
    return next((t for t in group.traces if t.solved), None) or max(group.traces, key=lambda t: t.rewards[main])
