"""Learning from which of two answers is better."""

from dataclasses import replace

from sharpen.loss.pairs import Pair
from sharpen.recipe import AdamW, Frozen, Loop, Policy, Program, Recipe, Term, Update, Value
from sharpen.recipes.reward import bt
from sharpen.reward.model import Judge
from sharpen.reward.verify import Total, Verify
from sharpen.rollout.edit import Annotate, Demonstrate
from sharpen.rollout.sample import Sample
from sharpen.rows import Pairs, SaidBy
from sharpen.source.offline import Offline
from sharpen.source.problems import Pass, Uniform

dpo = Recipe(
    name="dpo",
    family="preference",
    about="Given pairs of a preferred and a rejected answer, raise how much likelier the first has become than under "
    "the reference, compared with the second: the policy is its own reward model.",
    source_of="Direct preference optimisation, arXiv 2305.18290, section 4 (eq. 7)",
    source=Offline(),
    collect=(Annotate("ref"),),
    updates=(Update((Term(Pair()),), rows=Pairs()),),
    loop=Loop(iterations=100, problems=64),
    actors=(("policy", Policy()), ("ref", Frozen("policy"))),
    origins={
        "Pair.beta": "0.1 (appendix B)",
        "Loop.problems": "batch size 64 (appendix B)",
        "AdamW.lr": "the model's own (1e-6 in the paper, appendix B, with RMSprop)",
    },
)

iterative_dpo = Recipe(
    name="iterative-dpo",
    family="preference",
    parent="dpo",
    about="Rounds of DPO on one's own answers: sample eight to each problem, pair the one with the best reward and the "
    "one with the worst, train, and begin the next round with what came of it.",
    source_of="Iterative reasoning preference optimisation, arXiv 2404.19733, section 2, without its likelihood term",
    source=Uniform(),
    collect=(Sample(8), Verify(), Total(), Annotate("ref")),
    updates=(Update((Term(Pair()),), rows=Pairs(), optimiser=AdamW(scale=0.3), epochs=2, minibatch=64),),
    loop=Loop(iterations=4, problems=512),
    actors=(("policy", Policy()), ("ref", Frozen("policy", "iteration"))),
    origins={
        "Frozen.refresh": "each round's reference is the policy it begins with (section 2)",
        "Pair.beta": "0.1 (section 3)",
        "AdamW.scale": "below the rate of reinforcement (7e-7 in section 3.1, where 1e-6 is usual at 7B); at the "
        "whole of it or half, some seeds of chain lose answers that the base had",
        "Sample.n": "30 in the paper for GSM8K (3.1), all of them paired; best and worst of 8 here, as in online-dpo",
        "Loop.iterations": "4 rounds (3.1)",
    },
)

irpo = replace(
    iterative_dpo,
    name="irpo",
    parent="iterative-dpo",
    about="Iterative DPO whose loss also holds up the likelihood of the better answer, which DPO alone lets fall as "
    "long as the other's falls more.",
    source_of="Iterative reasoning preference optimisation, arXiv 2404.19733, section 2 (eq. 1 and 2)",
    updates=(replace(iterative_dpo.updates[0], terms=(Term(Pair(nll=1.0)),), optimiser=AdamW(scale=0.5)),),
    origins={
        "Pair.nll": "alpha = 1 (section 3.1)",
        "AdamW.scale": "as in iterative-dpo; with this loss chain bears half of the rate of reinforcement",
    },
)

online_dpo = Program(
    name="online-dpo",
    family="preference",
    parent="dpo",
    about="Fit a reward model to the pairs, then let it judge fresh answers: in each round the policy answers every "
    "prompt eight times and is trained by DPO on the best and the worst according to the model.",
    source_of="RLHF Workflow, arXiv 2405.07863, sections 2 and 3 (algorithm 1), and its released code",
    recipes=(
        replace(bt, name="online-dpo-reward-model", family=""),
        replace(
            iterative_dpo,
            name="online-dpo-rounds",
            collect=(Sample(8), Verify(), Judge(), Total({"rm": 1.0}), Annotate("ref")),
            loop=Loop(iterations=3, problems=1024),
            actors=(("policy", Policy()), ("ref", Frozen("policy")), ("rm", Value())),
            origins={
                "Frozen.refresh": "a fixed initial policy in the paper (algorithm 1); the released code takes the "
                "policy each round begins with (`--set Frozen.refresh=iteration`)",
                "Pair.beta": "0.1 (section 3.2)",
                "Sample.n": "8 answers a prompt at temperature 1 (section 3.2 and run_loop.sh)",
                "Update.epochs": "2 (run_loop.sh)",
                "Loop.iterations": "3 rounds of 20 000 fresh prompts (run_loop.sh); 1024 prompts a round here",
            },
        ),
    ),
)

spin = Recipe(
    name="spin",
    family="preference",
    parent="dpo",
    about="Tell demonstrations from the answers of one's former self: the demonstration is preferred to what the last "
    "iterate says, which is also the reference, until nobody can tell them apart.",
    source_of="Self-play fine-tuning, arXiv 2401.01335, section 4 (eq. 4.7, algorithm 1), and its released code",
    source=Pass(),
    collect=(Sample(1, actor="opponent"), Demonstrate(), Annotate("opponent")),
    updates=(Update((Term(Pair()),), rows=Pairs(SaidBy("data"), SaidBy("opponent")), epochs=2, minibatch=64),),
    loop=Loop(iterations=4, problems=1024),
    actors=(("policy", Policy()), ("opponent", Frozen("policy", "iteration"))),
    origins={
        "Pair.beta": "lambda = 0.1 (appendix B); the paper raises it to 5 in its last iteration",
        "Pair.link": "logistic (section 4.1)",
        "Update.epochs": "2 (appendix B); 3 in the released configurations",
        "Update.minibatch": "64 (appendix B)",
        "Loop.iterations": "iterations 0 to 3 (section 5)",
        "Loop.problems": "the same 50 000 prompts in each iteration (section 5); the first 1024 here",
        "Pass.size": "each iteration goes through the demonstrations once; the paper's later iterations also keep the "
        "answers of the one before",
    },
)
