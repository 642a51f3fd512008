"""Models that every arm of a claim is given ready: taught once a seed, outside the budget, and kept in the cache."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import ClassVar

from sharpen.actor.language import LanguageActor
from sharpen.actor.nano import cache_folder, keep
from sharpen.actor.value import ValueActor
from sharpen.claims.stage import Stage
from sharpen.core import Part
from sharpen.ctx import Ctx
from sharpen.loop import Trainer
from sharpen.loss.value import ValueFit
from sharpen.recipe import AdamW, Loop, Policy, Recipe, Term, Update, Value
from sharpen.rollout.edit import Split
from sharpen.run.compose import compose
from sharpen.source.problems import Uniform
from sharpen.task.chain import Chain
from sharpen.types import Group, Trace


def taught(stage: Stage, recipe: Recipe, policy: LanguageActor, names: Sequence[str]) -> dict[str, ValueActor]:
    """The value models `names` as `recipe` leaves them at this seed, the same for every arm.

    The first arm that asks has them taught on the claim's base, the others load them. Their teaching costs no arm any
    budget, only seconds. `policy` gives their architecture.
    """
    what = compose(recipe, defaults=True) + compose(stage.task, defaults=True) + repr(stage.claim.base)
    kept = cache_folder() / f"claim-{recipe.name}-{stage.seed}-{hashlib.sha256(what.encode()).hexdigest()[:12]}"
    if not kept.exists():
        teacher = Trainer(recipe, stage.task, stage.base(), seed=stage.seed)
        while not teacher.done:
            teacher.step()

        def write(made: Path) -> None:
            for name in names:
                teacher.ctx.actors[name].export(made / name)

        keep(kept, write, f"{names[0]}/config.json")
    return {name: ValueActor.load(kept / name, policy) for name in names}


@dataclass(frozen=True)
class Labelled(Part):
    """A careless teacher's solution of each problem, a segment a line, and `target`, which says what it is worth.

    The labels are those of the task's own step checker, as if somebody had marked the solutions (2305.20050): 1 for a
    line that is right by what stands before it, else 0; with `until`, 1 until a line is wrong, then 0.
    """

    until: bool = True
    needs: ClassVar[tuple[str, ...]] = ("solution", "steps")
    writes: ClassVar[tuple[str, ...]] = ("traces", "target")

    def __call__(self, groups: list[Group], ctx: Ctx) -> list[Group]:
        """One trace a group."""
        actor, task = ctx.actors["policy"], ctx.task
        assert isinstance(task, Chain)
        for group in groups:
            text = "\n".join(task.careless(group.problem, ctx.rng))
            trace = Trace(group.problem, [*actor.prompt(group.problem), actor.given(text)])
            group.traces.append(trace)
        Split()(groups, ctx)
        for trace in (t for g in groups for t in g.traces):
            valid = task.check_steps(trace.problem, [s.text or "" for s in trace.actions])
            labels = accumulate(valid, min) if self.until else valid
            for s, ok in zip(trace.actions, labels, strict=True):
                s.put("target", float(ok))
        return groups


marked_solutions = Recipe(
    name="marked-solutions",
    source=Uniform(),
    collect=(Labelled(),),
    updates=(
        Update(
            (Term(ValueFit("target", want="score", kind="bce"), where="last:segment"),),
            actor="value",
            optimiser=AdamW(lr=2e-3, warmup=10),
        ),
    ),
    loop=Loop(iterations=250, problems=64),
    actors=(("policy", Policy()), ("value", Value())),
)
"""A value model that is taught from marked solutions; the policy stays as it is."""
