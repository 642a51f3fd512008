"""Verdicts of a model on solutions, step by step, as text it is trained to write."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from sharpen.bounds import require
from sharpen.core import Part
from sharpen.rollout.program import answer
from sharpen.types import Group, Problem, Sampling, Trace

if TYPE_CHECKING:
    from sharpen.actor.base import Actor
    from sharpen.ctx import Ctx

ASK = "Write + for each right line and - for each wrong one, then + or - for the whole."
"""What a verifier is asked at the end of a solution."""


def signs(text: str, steps: int) -> tuple[int, ...] | None:
    """A verdict as numbers: 1 for each `+`, -1 for each `-`, one a step and one for the whole.

    None for a text that is not `steps` + 1 signs, blanks aside.
    """
    said = "".join(text.split())
    return tuple(1 if c == "+" else -1 for c in said) if len(said) == steps + 1 and not said.strip("+-") else None


@dataclass(frozen=True)
class Verdicts(Part):
    """Ask `actor` for `n` verdicts on every trace: a sign for each of its steps, then one for the whole.

    Its prompt is the problem, the solution and `ask`, each on a line of its own. Written: `verdict` on each step's
    atoms, the mean of its signs in [-1, 1] over the verdicts that are in the form (0 where none is); and behind the
    others a group for each trace, which holds its verdicts, of the agent `actor`. Their reward is `agrees` (1 where the
    last sign is that of the task's own verdict) + `format` x `formed` (1 for the right number of signs and nothing
    else). They have no `solved`; what they judge is in their problem's info (`right`, `steps`), its key is their
    problem's `parent`. No label of a single step is used. Source: RL Tango, 2505.15034.
    """

    n: int = 4
    format: float = 1.0
    ask: str = ASK
    temperature: float = 1.0
    actor: str = "verifier"
    reads: ClassVar[tuple[str, ...]] = ("traces", "steps", "solved")
    writes: ClassVar[tuple[str, ...]] = ("verdict",)
    draws: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require(self, "n", self.n >= 1, "1 or more")
        require(self, "temperature", self.temperature > 0, "above 0: equal verdicts teach nothing")

    def __call__(self, groups: list[Group], ctx: Ctx) -> list[Group]:
        """The groups, and one of verdicts for each of their traces."""
        judged = [t for g in groups for t in g.traces]
        problems = [_problem(t, self.ask) for t in judged]
        runs = ctx.play(
            answer,
            [p for p in problems for _ in range(self.n)],
            Sampling(self.temperature),
            self.actor,
        )
        made = []
        for i, (trace, problem) in enumerate(zip(judged, problems, strict=True)):
            verdicts = [v for run in runs[i * self.n : (i + 1) * self.n] for v in run]
            said = [self._judge(v, bool(trace.solved), ctx) for v in verdicts]
            formed = [x for x in said if x]
            for k, step in enumerate(trace.actions):
                step.put("verdict", sum(x[k] for x in formed) / max(1, len(formed)))
            made.append(Group(problem, verdicts))
        return groups + made

    def _judge(self, verdict: Trace, right: bool, ctx: Ctx) -> tuple[int, ...] | None:
        """Reward one verdict; its signs."""
        said = signs(verdict.text, verdict.problem.info["steps"])
        agrees = float(said is not None and (said[-1] > 0) == right)
        verdict.rewards = {"agrees": agrees, "formed": float(said is not None)}
        verdict.reward = agrees + self.format * verdict.rewards["formed"]
        for name, value in verdict.rewards.items():
            ctx.log(f"verdict/{name}", value)
        ctx.log("verdict/agrees_on_right" if right else "verdict/agrees_on_wrong", agrees)
        return said


def _problem(trace: Trace, ask: str) -> Problem:
    """The question about a solution."""
    p = trace.problem.prompt
    asked = p if isinstance(p, str) else "\n".join(m["content"] for m in p)
    info = {"right": bool(trace.solved), "steps": len(trace.actions)}
    return Problem(f"{trace.problem.key} judged", f"{asked}\n{trace.text}\n{ask}", info=info, parent=trace.problem.key)


@dataclass(frozen=True)
class Rehearse(Part):
    """Add, for every verdict that is not in the form asked for, random signs in that form, to be imitated.

    They teach how many signs to write and nothing about which: each is + or - with equal chance. The new traces are of
    the agent `form`, a group each; where all verdicts are in the form there is none, and a model that does as it is
    told is left alone.
    """

    actor: str = "verifier"
    reads: ClassVar[tuple[str, ...]] = ("traces", "verdict")

    def __call__(self, groups: list[Group], ctx: Ctx) -> list[Group]:
        """The groups, and the rehearsals behind them."""
        actor = ctx.actors[self.actor]
        odd = [t for g in groups for t in g.traces if not t.rewards["formed"]]
        return groups + [Group(t.problem, [_random(t.problem, actor, ctx)]) for t in odd]


def _random(problem: Problem, actor: Actor, ctx: Ctx) -> Trace:
    text = "".join(ctx.rng.choice("+-") for _ in range(problem.info["steps"] + 1))
    return Trace(problem, [*actor.prompt(problem), actor.given(text)], agent="form")
