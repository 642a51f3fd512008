"""Models trained beside one another."""

from dataclasses import replace

from sharpen.credit.balance import Blend, ClassBalance
from sharpen.credit.peers import GroupNorm
from sharpen.credit.turns import TurnReturn
from sharpen.loss.policy import NLL, PPOClip
from sharpen.recipe import AdamW, Loop, Policy, Program, Recipe, Term, Twin, Update
from sharpen.reward.verify import Total, Verify
from sharpen.rollout.combinators import By, Decay, Vary
from sharpen.rollout.edit import Split
from sharpen.rollout.sample import Sample
from sharpen.rollout.verdicts import Rehearse, Verdicts
from sharpen.rows import Traces
from sharpen.source.problems import Uniform

_verifier = Update((Term(PPOClip()),), Traces(by="verifier"), "verifier")

_dance = Recipe(
    name="tango-together",
    source=Uniform(),
    collect=(
        Sample(8),
        Split(),
        Verify(),
        Total(),
        Verdicts(),
        By(
            "policy",
            (
                GroupNorm(),
                GroupNorm(unit="segment", of="verdict", into="step"),
                TurnReturn(1.0, "step", "step"),
                Vary(Blend(), "share", Decay(0.5, 3.0)),
            ),
        ),
        By("verifier", (GroupNorm(), ClassBalance())),
    ),
    updates=(Update((Term(PPOClip()),), Traces(by="policy")), replace(_verifier, every=3)),
    loop=Loop(iterations=100, problems=32),
    actors=(("policy", Policy()), ("verifier", Twin())),
    origins={
        "Verdicts.n": "no number found; 4, so that verdicts on a solution have peers",
        "Verdicts.format": "agreement + format; the weight was not found, 1 here",
        "GroupNorm.0.scale": "credit of outcomes and of steps is normalised apart before it is mixed",
        "TurnReturn.gamma": "a token is credited with the normalised rewards of its own and later steps",
        "Decay.start": "the share of steps falls exponentially; its constants were not found",
        "ClassBalance.memory": "factors ~ 1/sqrt(n), smoothed; no constant found, 0.9 here",
        "Update.1.every": "three steps of the generator for one of the verifier",
        "Twin.of": "the verifier begins as a copy of the policy; the paper's is another model of the same size",
    },
)

tango = Program(
    name="tango",
    family="players",
    parent="grpo",
    about="A generator and a verifier that writes a sign for every step of its solutions are trained in turn: the "
    "verifier for agreeing with the outcome alone, the generator by the outcome and by the verifier's signs.",
    source_of="RL Tango, arXiv 2505.15034, by second-hand descriptions that agree; its code is not published",
    recipes=(
        replace(
            _dance,
            name="tango-form",
            collect=(Sample(1), Split(), Verify(), Verdicts(1), By("verifier", (Rehearse(),))),
            updates=(
                Update(
                    (Term(NLL(), mean_over="atom"),),
                    Traces(by="form"),
                    "verifier",
                    AdamW(scale=5.0, warmup=10),
                ),
            ),
            loop=Loop(iterations=20, problems=64),
            origins={
                "Rehearse.actor": "not in the paper, whose verifier follows instructions: one that does not yet write "
                "signs imitates random ones",
            },
        ),
        replace(
            _dance,
            name="tango-warm-up",
            updates=(_verifier,),
            loop=Loop(iterations=40, problems=32),
            origins={"Loop.iterations": "40 steps of the verifier alone"},
        ),
        _dance,
    ),
)
