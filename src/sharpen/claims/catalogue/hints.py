"""Claims of the family hints."""

from dataclasses import replace

from sharpen.actor.nano import Nano
from sharpen.claims.base import Arm, Base, Budget, Claim, Comparison, Evaluated
from sharpen.claims.stage import UNTRAINED
from sharpen.claims.tasks import TwoTiers
from sharpen.overrides import override
from sharpen.recipe import Recipe
from sharpen.recipes.hints import ghpo, prefix_rft, relift
from sharpen.rollout.combinators import When
from sharpen.task.chain import Chain

SHORT = Base(
    Nano(width=48, layers=2, heads=3, context=160, steps=450, batch=64),
    task=Chain(low=1, high=3, harder_low=4, harder_high=4),
)
"""A base that has seen chains of one to four operations, and none longer."""


def _small(recipe: Recipe, *more: str) -> Recipe:
    """16 problems of the recipe's 8 answers an iteration, one update of each kind."""
    return override(recipe, ("Loop.problems=16", "Loop.iterations=1000", *more))


_unaided = replace(ghpo, name="grpo", collect=tuple(s for s in ghpo.collect if not isinstance(s, When)))
"""GHPO without hints."""

hints_rescue = Claim(
    name="hints-rescue",
    statement="Parts of worked solutions bring problems within reach that reinforcement alone never solves.",
    source="GHPO, arXiv 2507.10628; Prefix-RFT, arXiv 2507.01679; ReLIFT, arXiv 2506.07527",
    published="Mathematics, Qwen2.5 models: GHPO about 5 % above GRPO in the mean of six benchmarks, ReLIFT 5.2 points "
    "above other reinforcement methods in the mean of six, Prefix-RFT above SFT, RFT and their mixtures (abstracts)",
    arms=(
        Arm("ghpo", _small(ghpo, "AdamW.lr=1e-3")),
        Arm("prefix-rft", _small(prefix_rft, "AdamW.lr=1e-3", "Loop.iterations=60")),
        Arm("relift", _small(relift, "AdamW.0.lr=1e-3", "AdamW.1.lr=1e-3", "Take.n=32")),
        Arm("grpo", _small(_unaided, "AdamW.lr=1e-3")),
        UNTRAINED,
    ),
    task=TwoTiers(low=1, high=4, harder_low=6, harder_high=7),
    base=SHORT,
    metric="harder/accuracy",
    budget=Budget("generated_tokens", 200_000),
    evaluation=Evaluated(splits=("test", "harder"), problems=96, samples=16, ks=(16,)),
    comparisons=tuple(Comparison(name, "grpo", "harder/accuracy") for name in ("ghpo", "prefix-rft", "relift")),
    shows=("harder/pass@16", "harder/greedy", "accuracy"),
    curve=("solved", "group/all_failed", "entropy", "length", "grad_norm", "hints/0.25", "hints/0.5", "hints/0.75"),
)

CLAIMS = (hints_rescue,)
