"""Policy optimisation with checkable rewards."""

from dataclasses import replace

from sharpen.credit.peers import GroupNorm
from sharpen.credit.verdict import BetaNorm, Signed
from sharpen.loss.policy import KL, MirrorDescent, PPOClip, Reinforce
from sharpen.recipe import Frozen, Loop, Policy, Recipe, Term, Update
from sharpen.reward.length import Overlong
from sharpen.reward.verify import Total, Verify
from sharpen.rollout.combinators import Refill, mixed
from sharpen.rollout.edit import Annotate
from sharpen.rollout.sample import Sample
from sharpen.rollout.select import SampleUntil, Thin
from sharpen.rows import Traces, failed, solved
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

# ------------------------------------------------------------------ credit and ratio only

_no_reference = replace(
    grpo,
    name="grpo-without-kl",
    collect=(Sample(16), Verify(), Total(), GroupNorm()),
    updates=(Update((Term(PPOClip()),)),),
    actors=(("policy", Policy()),),
    family="",
    origins={},
)

dr_grpo = replace(
    _no_reference,
    family="policy",
    name="dr-grpo",
    parent="grpo",
    about="GRPO without two biases: credit is not divided by the group's spread, the loss not by an answer's length.",
    source_of="Understanding R1-Zero-like training, arXiv 2503.20783, section 3",
    collect=(Sample(16), Verify(), Total(), GroupNorm(scale="none")),
    updates=(Update((Term(PPOClip(), mean_over="horizon"),)),),
    origins={
        "GroupNorm.scale": "no division by the standard deviation (section 3)",
        "Term.mean_over": "the generation limit in the place of each answer's length (section 3)",
    },
)

rloo = replace(
    _no_reference,
    family="policy",
    name="rloo",
    parent="grpo",
    about="REINFORCE with the mean of the other answers to the same problem as baseline; an answer is one action.",
    source_of="Back to basics, arXiv 2402.14740, section 3",
    collect=(Sample(16), Verify(), Total(), GroupNorm(center="loo", scale="none")),
    updates=(Update((Term(Reinforce(), mean_over="horizon", horizon=1),)),),
    origins={
        "GroupNorm.center": "mean reward of the other answers (section 3)",
        "Term.horizon": "1: log-probs are summed over an answer, which is one action (section 3)",
        "Sample.n": "k = 2 and 4 in the paper; 16 here, as in grpo",
    },
)

gspo = replace(
    _no_reference,
    family="policy",
    name="gspo",
    parent="grpo",
    about="GRPO whose ratio and clip are those of the whole answer, normalised by its length.",
    source_of="Group sequence policy optimisation, arXiv 2507.18071, eq. 5 to 7",
    updates=(Update((Term(PPOClip(3e-4, 4e-4, "trace", "mean")),), minibatch=128),),
    origins={
        "PPOClip.low": "3e-4 (section 5.1)",
        "PPOClip.high": "4e-4 (section 5.1)",
        "Update.minibatch": "a quarter of the batch (section 5.1)",
    },
)

cispo = replace(
    _no_reference,
    family="policy",
    name="cispo",
    parent="grpo",
    about="Each token's importance weight is clipped and cut off from the gradient, so that no token loses its own.",
    source_of="MiniMax-M1, arXiv 2506.13585, eq. 4 and 5",
    updates=(Update((Term(Reinforce(positive=(0.0, 5.0), negative=(0.0, 5.0)), mean_over="atom"),), minibatch=128),),
    origins={
        "Reinforce.positive": "no lower bound; the paper tunes the upper one and gives no value; 5 here",
        "Term.mean_over": "all tokens weigh the same (eq. 4)",
    },
)

bnpo = replace(
    _no_reference,
    family="policy",
    name="bnpo",
    parent="grpo",
    about="Credit is weighed by how rare the problem's solve rate is under a Beta distribution fitted to the batch.",
    source_of="BNPO, arXiv 2506.02864, and its released code",
    collect=(Sample(16), Verify(), Total(), BetaNorm()),
)

psr = replace(
    _no_reference,
    family="policy",
    name="psr",
    parent="grpo",
    about="Reinforce right answers only; wrong ones are left out.",
    source_of="The surprising effectiveness of negative reinforcement, arXiv 2506.01347, and its released code",
    collect=(Sample(16), Verify(), Total(), Signed(1.0, 0.0)),
    updates=(Update((Term(PPOClip(), mean_over="atom"),), rows=Traces(solved)),),
    origins={"Traces.where": "the other rows are dropped before the token mean, in the released code"},
)

nsr = replace(
    psr,
    name="nsr",
    about="Push away from wrong answers only; right ones are left out.",
    collect=(Sample(16), Verify(), Total(), Signed(0.0, -1.0)),
    updates=(Update((Term(PPOClip(), mean_over="atom"),), rows=Traces(failed)),),
)

w_reinforce = replace(
    psr,
    name="w-reinforce",
    about="Both verdicts teach, the right answers at a tenth of the weight of the wrong ones.",
    collect=(Sample(16), Verify(), Total(), Signed(0.1, -1.0)),
    updates=(Update((Term(PPOClip(), mean_over="atom"),)),),
    origins={"Signed.positive": "lambda = 0.1 (section 5)"},
)

topr = replace(
    _no_reference,
    family="policy",
    name="topr",
    parent="rloo",
    about="REINFORCE that stays stable off-policy: right answers teach at full weight, wrong ones only while likely.",
    source_of="Tapered off-policy REINFORCE, arXiv 2503.14286, section 3 (eq. 7, 8)",
    collect=(Sample(16), Verify(), Total(), Signed(1.0, -1.0)),
    updates=(
        Update(
            (Term(Reinforce((1.0, 1.0), (0.0, 1.0), "trace", "sum")),),
            minibatch=128,
        ),
    ),
    origins={
        "Reinforce.positive": "a+ = b+ = 1 (canonical, section 3)",
        "Reinforce.negative": "a- = 0, b- = 1 (canonical, section 3)",
        "Term.mean_over": "each answer's loss is divided by its length (section 4)",
    },
)

opmd = replace(
    _no_reference,
    family="policy",
    name="opmd",
    parent="grpo",
    about="Regress the log-ratio to the policy that drew the answers onto their credit: online mirror descent.",
    source_of="Kimi k1.5, arXiv 2501.12599, section 2.3.2",
    collect=(Sample(16), Verify(), Total(), GroupNorm(scale="none")),
    updates=(Update((Term(MirrorDescent()),), minibatch=128),),
    origins={
        "GroupNorm.scale": "the mean reward of the answers is the baseline (2.3.2)",
        "MirrorDescent.tau": "no value in the report; 0.1 here",
    },
)

# ------------------------------------------------------------------ resampling

dapo = replace(
    _no_reference,
    family="policy",
    name="dapo",
    parent="grpo",
    about="GRPO on mixed groups only: fresh problems are drawn until enough are. The upper clip is wider, every token "
    "weighs the same, and answers that come near the limit are punished softly.",
    source_of="DAPO, arXiv 2503.14476, section 3 (eq. 8 to 13)",
    collect=(
        Refill((Sample(16), Verify()), keep=mixed),
        Overlong(),
        Total({"main": 1.0, "overlong": 1.0}),
        GroupNorm(),
    ),
    updates=(Update((Term(PPOClip(0.2, 0.28), mean_over="atom"),), minibatch=128),),
    origins={
        "Refill.keep": "groups all right or all wrong are drawn again (eq. 11)",
        "PPOClip.high": "0.28 (section 4.1)",
        "Term.mean_over": "token mean (eq. 12)",
        "Overlong.share": "4 096 of 20 480 tokens (section 4.1)",
        "Update.minibatch": "16 updates a batch in the paper (4.1), 4 here",
    },
)

reinforce_ada = replace(
    _no_reference,
    family="policy",
    name="reinforce-ada",
    parent="dapo",
    about="Sample each problem in rounds until it has right and wrong answers enough, credit every answer against all "
    "that was drawn for its problem, and train on a few of them, half right and half wrong.",
    source_of="Reinforce-Ada, arXiv 2510.04996, algorithm 1, and its released code",
    collect=(SampleUntil((Sample(8), Verify())), Total(), GroupNorm(scale="none"), Thin(4)),
    updates=(Update((Term(PPOClip(0.2, 0.28), mean_over="atom"),), minibatch=128),),
    origins={
        "SampleUntil.rounds": "4 rounds of 8 answers (released code)",
        "SampleUntil.positive": "half of the 4 answers trained on: the balanced rule; 1, and negative=0, is the "
        "positive-focused one",
        "Thin.n": "4 (released code)",
        "GroupNorm.scale": "none in the released script; its code knows std as well. It stands before Thin, so that "
        "the mean is over everything drawn",
        "PPOClip.high": "0.28 (released script)",
    },
)
