"""Policy optimisation with checkable rewards."""

from sharpen.credit.peers import GroupNorm
from sharpen.loss.policy import KL, PPOClip
from sharpen.recipe import Frozen, Loop, Policy, Recipe, Term, Update
from sharpen.reward.verify import Total, Verify
from sharpen.rollout.edit import Annotate
from sharpen.rollout.sample import Sample
from sharpen.source.problems import Uniform

grpo = Recipe(
    name="grpo",
    family="policy",
    about="Sample a group of answers to each problem, credit each by how far its reward lies above the group's mean, "
    "in units of the group's standard deviation, and follow the clipped policy gradient staying near a reference.",
    source_of="DeepSeekMath, arXiv 2402.03300, section 4.1 (eq. 3, 4 and 4.1.2)",
    source=Uniform(),
    collect=(Sample(16), Verify(), Total(), Annotate("ref"), GroupNorm()),
    updates=(Update((Term(PPOClip()), Term(KL(), weight=0.04, name="kl"))),),
    loop=Loop(iterations=100, problems=32),
    actors=(("policy", Policy()), ("ref", Frozen("policy"))),
    origins={
        "Sample.n": "64 in the paper (4.2); 16 here, the least at which most groups of a fair problem are mixed",
        "Sample.temperature": "the paper gives none; 1, so that ratios are those of the policy itself",
        "GroupNorm.scale": "standard deviation of the group (4.1.2)",
        "PPOClip.low": "epsilon of eq. 3; no value in the paper, 0.2 from PPO (1707.06347, section 6.1)",
        "PPOClip.high": "epsilon of eq. 3; no value in the paper, 0.2 from PPO (1707.06347, section 6.1)",
        "Term.ppoclip.mean_over": "mean inside each answer, then over answers (eq. 3)",
        "Term.kl.weight": "beta = 0.04 (4.2)",
        "Update.epochs": "one update an exploration stage (4.2)",
        "AdamW.lr": "the model's own (1e-6 for the 7B model of the paper, 4.2)",
        "Loop.problems": "1024 answers a batch in the paper (4.2); 32 x 16 here",
    },
)
