"""Claims of the family process."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch

from sharpen.actor.nano import Nano
from sharpen.actor.scoring import scores
from sharpen.budget import Budget
from sharpen.claims.base import Arm, Base, Claim, Comparison
from sharpen.claims.stage import Stage, answers
from sharpen.claims.tasks import PaddedChain, fillers
from sharpen.claims.teaching import marked_solutions, taught
from sharpen.credit.steps import Return, StepLOO, StepReward
from sharpen.loop import Trainer
from sharpen.overrides import override
from sharpen.recipe import Recipe
from sharpen.recipes.process import pure, pure_sum
from sharpen.rollout.edit import Annotate, Split
from sharpen.task.text import lines
from sharpen.types import Group

MARKED = override(replace(marked_solutions, name="marked-steps"), ("Labelled.until=false",))
"""Each line is marked by itself, right or wrong."""


def _short(recipe: Recipe) -> Recipe:
    """32 problems of 4 answers an iteration, one update each."""
    return override(recipe, ("Loop.problems=32", "Loop.iterations=1000", "AdamW.lr=3e-4"))


def without_steps(recipe: Recipe) -> Recipe:
    """The same recipe with the verifier's reward alone."""
    kept = (s for s in recipe.collect if not isinstance(s, (StepReward, StepLOO, Return)))
    return replace(
        recipe, name="verifier", collect=tuple(s for s in kept if not (isinstance(s, Annotate) and s.into == "prm"))
    )


def looked_at(trainer: Trainer, seed: int, problems: int = 128, samples: int = 8) -> Mapping[str, float]:
    """What becomes of answers to held-out problems, and what the reward model `prm` says of their steps.

    `accuracy`; `steps` (lines) an answer, and how many of them are `filler` (`empty` ones among them); `length` in
    tokens; `cut`, the share of answers that reach the longest allowed; `total` and `worst`, the sum and the minimum
    over an answer's steps of 2 sigmoid(score) - 1.
    """
    traces = answers(trainer, problems, samples, seed)
    ctx = trainer.ctx
    out = {
        "accuracy": [float(bool(t.solved)) for t in traces],
        "filler": [float(fillers(t.text)) for t in traces],
        "empty": [float(lines(t.text).count("")) for t in traces],
        "length": [float(t.length) for t in traces],
        "cut": [float(t.end == "length") for t in traces],
    }
    Split()([Group(t.problem, [t]) for t in traces], ctx)
    said = [
        torch.split(x, [len(s) for s in t.actions])
        for t, x in zip(traces, scores(ctx.actors["prm"], traces), strict=True)
    ]
    steps = [[2 * float(s[-1].sigmoid()) - 1 for s in segments if len(s)] for segments in said]
    out["steps"] = [float(len(r)) for r in steps]
    out["total"] = [sum(r) for r in steps]
    out["worst"] = [min(r, default=0.0) for r in steps]
    return {name: sum(x) / len(x) for name, x in out.items()}


@dataclass(frozen=True)
class Guided:
    """Train with a recipe against the reward model of the seed, which is the same for every arm; or train nothing."""

    recipe: Recipe
    trains: bool = True

    def __call__(self, stage: Stage, seed: int) -> Mapping[str, float]:
        """What `looked_at` says of the end."""
        policy = stage.base()
        model = {"prm": taught(stage, MARKED, policy, ["value"])["value"]}
        return looked_at(stage.train(self.recipe, policy, until=float(self.trains), given=model), seed)


_min, _sum = _short(pure.recipes[1]), _short(pure_sum.recipes[1])
_verifier = without_steps(_min)

pure_resists_hacking = Claim(
    name="pure-resists-hacking",
    statement="Trained against the same process reward model, an answer that earns about its worst step stays free of "
    "padding and ends more often right than one that earns the sum of its steps.",
    source="PURE, arXiv 2504.15275, sections 3 and 4",
    published="Qwen2.5-7B and Qwen2.5-Math: credit by the sum of steps collapses at the beginning of training, credit "
    "by the minimum does not, and ends level with verifiable rewards in fewer steps",
    arms=(
        Arm("pure", run=Guided(_min)),
        Arm("pure-sum", run=Guided(_sum)),
        Arm("verifier", run=Guided(_verifier)),
        Arm("base", run=Guided(_verifier, trains=False)),
    ),
    task=PaddedChain(low=3, high=4, harder_low=5, harder_high=5, sloppy=0.05),
    base=Base(Nano(width=48, layers=2, heads=3, context=160, steps=700, batch=64)),
    metric="accuracy",
    budget=Budget("iterations", 30),
    comparisons=(
        Comparison("pure", "pure-sum", "accuracy"),
        Comparison("pure", "pure-sum", "filler", "lower"),
    ),
    shows=("steps", "empty", "length", "cut", "total", "worst"),
    curve=("solved", "steps", "length", "process/reward", "grad_norm"),
    notes="Filler is a line `ok`, which the task accepts and which changes nothing, or an empty one, which it does not "
    "accept; the base was brought up with a line `ok` before one line in five. The process reward model of a seed is "
    "the same for every arm, taught outside the budget from marked solutions of the careless teacher (the paper's "
    "learnt from human labels), and is not trained any further; the verifier's reward is in all three arms that train. "
    "How the sum is hacked can be read from its records. Lines grow from 5.7 an answer to 17 in 15 iterations and get "
    "shorter meanwhile, from 4.9 tokens to 3.3: lines `ok`, which at 3 tokens earn more than the other answers earn on "
    "as many. Then come empty lines, one token each, which the reward model never saw and scores like right ones. "
    "Nearly all answers end at the longest length without an answer. The reward model sees no harm in that even by the "
    "worst step (0.645, the base's answers have 0.382): the minimum does not make the model harder to deceive, it "
    "only pays nothing for more steps. PURE ends level with the verifier alone and not above it (0.833 and 0.844). "
    "An iteration draws as many answers in every arm; those of the sum are three times as long. The setting was "
    "chosen at a seed that the claim does not use: a first base, of 450 steps and a more careless teacher, had "
    "accuracy 0.235, and at a rate of 1e-3 the verifier alone ended below it, at 0.188; 30 iterations in the place of "
    "60 for the sake of time. Filler was first the lines `ok` alone; empty ones were counted in, and everything run "
    "anew, after the arms had run at one seed (0.5 lines `ok` in both arms then, and 42 empty lines by the sum).",
)

CLAIMS = (pure_resists_hacking,)
