"""Policy optimisation with a value model."""

from dataclasses import replace

from sharpen.credit.value import GAE, Whiten
from sharpen.loss.policy import PPOClip
from sharpen.loss.value import ValueFit
from sharpen.recipe import AdamW, Frozen, Loop, Policy, Program, Recipe, Term, Update, Value
from sharpen.recipes.selftrain import sft
from sharpen.reward.verify import Answered, Total, Verify
from sharpen.rollout.edit import Annotate
from sharpen.rollout.sample import Sample
from sharpen.source.problems import Pass, Uniform

ppo = Recipe(
    name="ppo",
    family="critic",
    parent="grpo",
    about="A value model predicts what an answer will earn at each token; the policy follows the clipped gradient of "
    "how much better than that it went (GAE), and a penalty per token keeps it near a reference.",
    source_of="PPO, arXiv 1707.06347, with GAE, 1506.02438; for language models 1909.08593 and 2203.02155, section 3.5",
    source=Uniform(),
    collect=(
        Sample(1),
        Verify(),
        Total(),
        Annotate("ref"),
        Annotate("value", "value", "value"),
        GAE(kl=0.02),
        Whiten(),
    ),
    updates=(
        Update((Term(PPOClip()),), epochs=2, minibatch=128, name="policy"),
        Update(
            (Term(ValueFit("ret", clip=0.2)),),
            actor="value",
            optimiser=AdamW(scale=5.0),
            epochs=2,
            minibatch=128,
            name="value",
        ),
    ),
    loop=Loop(iterations=100, problems=512),
    actors=(("policy", Policy()), ("ref", Frozen("policy")), ("value", Value("policy"))),
    origins={
        "GAE.kl": "beta = 0.02 (2203.02155, appendix C.4)",
        "GAE.lam": "0.95 (2203.02155, appendix C.4)",
        "PPOClip.low": "0.2 (1707.06347, section 6.1)",
        "ValueFit.clip": "0.2 (2203.02155, appendix C.4)",
        "AdamW.1.scale": "9e-6 for the values and about 2e-6 for the policy at 175B (2203.02155, appendix C.4)",
        "Sample.n": "one answer a prompt; the value model takes the place of a group",
    },
)

reft = Program(
    name="reft",
    family="critic",
    parent="ppo",
    about="Imitate the worked solutions of a fixed set of questions for a while, then go on with PPO on the same "
    "questions, where every path to the right answer counts.",
    source_of="ReFT, arXiv 2401.08967, section 3 (eq. 1 to 6), and its released code",
    recipes=(
        replace(sft, name="reft-warm-up", source=Pass(), loop=Loop(iterations=32, problems=64)),
        replace(
            ppo,
            name="reft-ppo",
            source=Pass(),
            collect=(
                Sample(1),
                Verify(),
                Answered(),
                Total({"main": 0.9, "answered": 0.1}),
                Annotate("ref"),
                Annotate("value", "value", "value"),
                GAE(kl=0.05),
                Whiten(),
            ),
            loop=Loop(iterations=100, problems=256),
            origins={
                "GAE.kl": "0.05 for reasoning in words, 0.01 in programs (section 4.3)",
                "Total.weights": "1 for a right answer, 0.1 for a wrong one that can be read, else 0 (eq. 2)",
                "Value.of": "the paper's value head shares the policy's body; here it has one of its own",
            },
        ),
    ),
)
