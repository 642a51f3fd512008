"""Rows of the family process."""

import random
from dataclasses import replace
from typing import Any

import torch

from benches import COUNT
from row import Row, shrunk
from sharpen.core import Part
from sharpen.loop import Trainer
from sharpen.maths import auroc
from sharpen.recipe import Program, Recipe, Update
from sharpen.recipes import recipe
from sharpen.rollout.edit import Annotate, Split
from sharpen.rollout.montecarlo import MonteCarlo
from sharpen.rollout.program import answer, run_programs
from sharpen.rollout.sample import Sample
from sharpen.types import Group, Sampling


def labelled(trainer: Trainer) -> float:
    """Area under the curve of the reward model's scores of steps of held-out answers.

    A step is good where it and all steps before it are right, by the task's own check.
    """
    ctx = trainer.ctx
    problems = [p for p in ctx.task.fixed("test", 10) for _ in range(16)]
    rng = random.Random(0)
    drawn = run_programs(answer, problems, Sampling(), task=ctx.task, actors=ctx.actors, actor="policy", rng=rng)
    groups = [Group(p, traces) for p, traces in zip(problems, drawn, strict=True)]
    Annotate("prm", "score", "prm")(Split()(groups, ctx), ctx)
    scores, good = [], []
    for trace in (t for g in groups for t in g.traces):
        steps = [s for s in trace.actions if s.text]
        right = ctx.task.check_steps(trace.problem, [s.text or "" for s in steps])
        scores += [float(s.cols["prm"][-1]) for s in steps]
        good += [all(right[: i + 1]) for i in range(len(right))]
    return auroc(torch.tensor(scores), torch.tensor(good))


def labelling(r: Recipe, iterations: int, problems: int, epochs: int) -> Recipe:
    """A recipe that trains a reward model, made small: eight answers a problem, four roll-outs of each step."""
    r = shrunk(r, iterations, problems, minibatch=16)
    stages = tuple(replace(s, n=FEWER[type(s)]) if type(s) in FEWER else s for s in r.collect)
    updates = tuple(replace(u, epochs=epochs) if isinstance(u, Update) else u for u in r.updates)
    return replace(r, collect=stages, updates=updates)


def brief(name: str, iterations: int, asked: int = 6, **fields: Any) -> Program:
    """A program of the family, made small: `LABELLED` iterations of labels, the rest against the model.

    Labels are of `asked` problems an iteration; `fields` are those of `shrunk`. The fourth iteration is the first of
    the second recipe: a run resumed after the second one needs the first recipe's optimiser.
    """
    p = recipe(name)
    assert isinstance(p, Program)
    first = labelling(p.recipes[0], LABELLED, asked, epochs=5)
    return replace(p, recipes=(first, shrunk(p.recipes[1], iterations - LABELLED, **fields)))


def earned(trainer: Trainer) -> float:
    """What the reward model gave the answers of the last iteration, on average."""
    return trainer.ctx.last["process/reward"]


def without(part: str):
    """The recipe (the last one of a program) without a kind of stage."""

    def broken(method: Recipe | Program) -> Recipe | Program:
        if isinstance(method, Program):
            *before, last = method.recipes
            return replace(method, recipes=(*before, broken(last)))
        stages: tuple[Part, ...] = tuple(s for s in method.collect if type(s).__name__ != part)
        return replace(method, collect=stages)

    return broken


LABELLED = 3
FEWER = {Sample: 8, MonteCarlo: 4}

ROWS = [
    Row(
        labelling(recipe("math-shepherd"), 5, problems=8, epochs=5),
        reach=0.85,
        bench=COUNT,
        measure=labelled,
        actor="prm",
        broken=without("Split"),
        because="MonteCarlo reads 'steps'",
    ),
    Row(
        brief("pure", 18, minibatch=32),
        reach=0.8,
        bench=COUNT,
        broken=without("StepLOO"),
        because="Return reads 'surplus'",
    ),
    Row(
        brief("pure-sum", 15, asked=12, minibatch=32),
        reach=1.6,
        bench=COUNT,
        measure=earned,  # 0.6 before the second recipe; whatever becomes of the answers
        broken=without("StepReward"),
        because="StepLOO reads 'process'",
    ),
    Row(
        brief("pav", 18, asked=12),  # with fewer labels the policy soon writes what the verifier is wrong about
        reach=0.8,
        bench=COUNT,
        broken=without("Progress"),
        because="Return reads 'progress'",
    ),
]
