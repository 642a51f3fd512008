"""Imitation of demonstrations, and of one's own best answers."""

from dataclasses import replace

from sharpen.loss.policy import NLL
from sharpen.recipe import AdamW, Loop, Recipe, Term, Update
from sharpen.reward.verify import Total, Verify
from sharpen.rollout.balance import Balance
from sharpen.rollout.combinators import Vary
from sharpen.rollout.edit import Demonstrate
from sharpen.rollout.sample import Sample
from sharpen.rollout.select import KeepBest
from sharpen.rows import Traces, solved
from sharpen.source.problems import Uniform

sft = Recipe(
    name="sft",
    family="selftrain",
    about="Imitate the worked solutions of the task by maximum likelihood.",
    source_of="standard; the first stage of InstructGPT, arXiv 2203.02155, section 3.5",
    source=Uniform(),
    collect=(Demonstrate(),),
    updates=(Update((Term(NLL(), mean_over="atom"),), optimiser=AdamW(scale=5.0, warmup=10)),),
    loop=Loop(iterations=100, problems=64),
    origins={
        "AdamW.scale": "imitation bears about five times the rate of reinforcement (1e-5 and 1e-6 to 2e-6 are usual "
        "at 7B)",
        "Term.mean_over": "every token weighs the same, as in a language-model loss",
    },
)

expert_iteration = Recipe(
    name="expert-iteration",
    family="selftrain",
    about="Sample answers, keep those the verifier accepts (a few different ones a problem), imitate them, repeat.",
    source_of="Anthony et al., arXiv 1705.08439; with language models ReST-EM, arXiv 2312.06585, section 3",
    source=Uniform(),
    collect=(Sample(16), Verify(), Total()),
    updates=(
        Update(
            (Term(NLL(), mean_over="atom"),),
            rows=Traces(solved, most=10),
            optimiser=AdamW(scale=5.0, warmup=10),
            minibatch=256,
        ),
    ),
    loop=Loop(iterations=20, problems=256),
    origins={
        "Traces.most": "at most 10 solutions a problem (2312.06585, section 4)",
        "Sample.n": "32 in the paper for MATH (section 4); 16 here",
        "Loop.reset": "none: goes on from the last policy; ReST-EM restarts from the base each iteration (`--set "
        "Loop.reset=base`)",
    },
)

rest_em = replace(
    expert_iteration,
    name="rest-em",
    parent="expert-iteration",
    about="Expert iteration that imitates from the base model anew each time, so that no iteration's errors are kept.",
    source_of="ReST-EM, arXiv 2312.06585, section 3 (algorithm 1)",
    loop=Loop(iterations=5, problems=256, reset="base"),
    updates=(replace(expert_iteration.updates[0], epochs=4, minibatch=64),),
    origins={
        "Loop.reset": "each M-step fine-tunes the base model (section 3)",
        "Traces.most": "at most 10 solutions a problem (section 4)",
        "Update.epochs": "the paper stops by validation; 4 here",
        "Update.minibatch": "a round that begins anew must make good what the first steps of Adam undo: on chain, 12 "
        "steps of 256 end below the base, 40 of 64 above it",
    },
)

_heated = Vary(Sample(16), "temperature", "T")

b_star = replace(
    expert_iteration,
    name="b-star",
    parent="expert-iteration",
    about="Expert iteration that sets its own temperature and selection threshold before each round, by how many "
    "different right answers a probe with them selects and how few wrong ones.",
    source_of="B-STaR, arXiv 2412.17256, and its released code",
    collect=(
        Balance((_heated, Verify(), Total())),
        _heated,
        Verify(),
        Total(),
        Vary(KeepBest(), "above", "threshold"),
    ),
    updates=(replace(expert_iteration.updates[0], rows=Traces()),),
    loop=Loop(iterations=9, problems=256),
    origins={
        "Loop.iterations": "9 rounds (released code)",
        "Sample.n": "64 in the released code, for the probe and for the round; 16 here",
        "Balance.target": "n* = 8 (released code)",
        "Balance.problems": "1000 problems set apart in the released code; here the first of the iteration",
        "Balance.temperatures": "0.5 to 1.2 by 0.05 (released code)",
        "Balance.thresholds": "-1 to 1 by 0.01 in the released code; without a reward model the total is 0 or 1, and "
        "all thresholds from 0 to below 1 do the same",
        "Total.1.weights": "the paper's score is 1 for a right answer + a fifth of a process reward model's least "
        "step: add that reward before both Totals and weigh it, Total({'main': 1.0, 'prm': 0.2})",
        "KeepBest.fill": "0: all above the threshold; the paper raises the number kept a problem until 67 500 are, and "
        "adds the worked solutions",
    },
)
