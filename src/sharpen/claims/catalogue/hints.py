"""Claims of the family hints."""

from dataclasses import replace

from sharpen.actor.nano import Nano
from sharpen.budget import Budget
from sharpen.claims.base import Arm, Base, Claim, Comparison, Evaluated
from sharpen.claims.stage import UNTRAINED
from sharpen.claims.tasks import SeldomLong, TwoTiers
from sharpen.overrides import override
from sharpen.recipe import Recipe
from sharpen.recipes.hints import ghpo, prefix_rft, relift
from sharpen.recipes.selftrain import sft
from sharpen.rollout.combinators import When

SHORT = Base(
    Nano(width=48, layers=2, heads=3, context=160, steps=450, batch=64),
    task=SeldomLong(low=1, high=8, harder_low=9, harder_high=10),
)
"""A base of whose lessons every other one has one operation, and one in 256 has eight."""


def _small(recipe: Recipe, *more: str) -> Recipe:
    """16 problems of the recipe's 8 answers an iteration, one update of each kind.

    The rate is that of 3e-4 and 1e-3 at which GRPO learnt more (at a seed that the claim does not use).
    """
    return override(recipe, ("Loop.problems=16", "Loop.iterations=1000", *more))


_unaided = replace(ghpo, name="grpo", collect=tuple(s for s in ghpo.collect if not isinstance(s, When)))
"""GHPO without hints."""

hints_rescue = Claim(
    name="hints-rescue",
    statement="Parts of worked solutions bring problems within reach that reinforcement alone never solves.",
    source="GHPO, arXiv 2507.10628; Prefix-RFT, arXiv 2507.01679; ReLIFT, arXiv 2506.07527",
    published="Mathematics: GHPO gains about 5 % in the mean of six benchmarks, ReLIFT 6.7 points over earlier methods "
    "in the mean of six, and Prefix-RFT ends above SFT, reinforcement and mixtures of both (abstracts)",
    arms=(
        Arm("ghpo", _small(ghpo, "AdamW.lr=3e-4")),
        Arm("prefix-rft", _small(prefix_rft, "AdamW.lr=3e-4", "Loop.iterations=100")),
        Arm("relift", _small(relift, "AdamW.0.lr=3e-4", "AdamW.1.lr=3e-4", "Take.n=16")),
        Arm("grpo", _small(_unaided, "AdamW.lr=3e-4")),
        Arm("imitation", override(sft, ("Loop.problems=16", "Loop.iterations=125", "AdamW.lr=3e-4", "AdamW.scale=1"))),
        UNTRAINED,
    ),
    task=TwoTiers(low=2, high=4, harder_low=8, harder_high=8),
    base=SHORT,
    metric="harder/accuracy",
    budget=Budget("generated_tokens", 400_000),
    evaluation=Evaluated(splits=("test", "harder"), problems=96, samples=16, ks=(16,)),
    comparisons=tuple(Comparison(name, "grpo", "harder/accuracy") for name in ("ghpo", "prefix-rft", "relift")),
    shows=("harder/pass@16", "harder/greedy", "accuracy"),
    curve=("solved", "group/all_failed", "entropy", "length", "grad_norm", "hints/0.25", "hints/0.5", "hints/0.75"),
    notes="The hard tier are chains of eight operations, of which the base has seen one in 256 lessons; the easy one "
    "has two to four, and each tier is half of what is trained on. The budget counts generated tokens. GHPO pays for "
    "every new draw with them and so makes 45 updates where GRPO makes 88; worked solutions cost none, so ReLIFT makes "
    "37 updates of imitation besides 88 of reinforcement. Those two facts are likely why GHPO gains least; another is "
    "that it never trains on the hints themselves. Its hints do get shorter: of 16 problems of an iteration 7 need "
    "three quarters of the solution at first and 3 at the end. GRPO's own small gain likely comes from the easy tier: "
    "in a shorter run at another seed at most one in 200 of its answers to the hard one was right. The claim says "
    "nothing of hints against imitation. Worked solutions are free of the mistakes that the base was taught, and "
    "imitating them alone (the arm `imitation`, which draws nothing, makes as many updates as ReLIFT, and was added "
    "when the others had run) is above them all here on both tiers, and far above on the hard one. ReLIFT imitates 16 "
    "demonstrations at a time, one for each problem of an iteration, in the place of 128; Prefix-RFT's schedule is "
    "spread over 100 iterations, of which the budget pays 96. Both have Dr. GRPO's credit, and GHPO and GRPO divide by "
    "the standard deviation. Each hinted arm had one shorter run at another seed before, from which the length of that "
    "schedule was taken and nothing else.",
)

CLAIMS = (hints_rescue,)
