"""Reward models, and policies that follow them."""

from dataclasses import replace
from typing import Any

from sharpen.credit.value import GAE, Whiten
from sharpen.loss.pairs import Pair
from sharpen.recipe import AdamW, Frozen, Loop, Policy, Program, Recipe, Term, Update, Value
from sharpen.recipes.critic import ppo
from sharpen.reward.ensemble import MEMBERS, Conservative, Standardise
from sharpen.reward.model import Judge
from sharpen.reward.verify import Total, Verify
from sharpen.rollout.edit import Annotate
from sharpen.rollout.sample import Sample
from sharpen.rows import Pairs
from sharpen.source.offline import Offline


def fitted(name: str) -> Update:
    """The update that fits one reward model to the pairs."""
    fit = Term(Pair(score="score", beta=1.0))
    return Update((fit,), rows=Pairs(), actor=name, optimiser=AdamW(scale=5.0), minibatch=32, name=name)


bt = Recipe(
    name="bt",
    family="reward",
    about="Fit a reward model to preferences: the log-odds that one answer is preferred to another are the difference "
    "of their scores (Bradley-Terry).",
    source_of="InstructGPT, arXiv 2203.02155, section 3.5 (eq. 1); Bradley and Terry, 1952",
    source=Offline(),
    collect=(),
    updates=(fitted("rm"),),
    loop=Loop(iterations=20, problems=256),
    actors=(("policy", Policy()), ("rm", Value(spread=0.02))),
    origins={
        "Pair.beta": "1: scores are log-odds (eq. 1)",
        "AdamW.scale": "9e-6 at 6B, about five times the rate of the policy (2203.02155, appendix C.2 and C.4)",
        "Update.minibatch": "32, with 4 steps of accumulation on 8 pairs (2310.02743, released code)",
        "Value.spread": "the usual initialisation of transformers",
    },
)


def followed(name: str, rewards: tuple[Any, ...], models: tuple[str, ...]) -> Recipe:
    """PPO on what reward models say; the task's own rewards are measured and not optimised."""
    return replace(
        ppo,
        name=name,
        family="",
        collect=(
            Sample(1),
            Verify(),
            *(Judge(m, m) for m in models),
            Standardise(models),
            *rewards,
            Total({"rm": 1.0}),
            Annotate("ref"),
            Annotate("value", "value", "value"),
            GAE(kl=0.01),
            Whiten(),
        ),
        actors=(
            ("policy", Policy()),
            ("ref", Frozen("policy")),
            ("value", Value()),
            *((m, Value(spread=0.02)) for m in models),
        ),
        origins={
            "GAE.kl": "0.01, the small penalty that ensembles need (2310.02743, section 5)",
            "Standardise.of": "reward models are brought to mean 0 and standard deviation 1 (2310.02743, released "
            "code, on held-out answers; here on the first answers of the policy)",
        },
    )


rm_ppo = Program(
    name="rm-ppo",
    family="reward",
    parent="ppo",
    about="Fit a reward model to preferences and follow it with PPO. The task's own rewards are recorded beside it, so "
    "that a run shows where the model goes on rising and they no longer do.",
    source_of="InstructGPT, arXiv 2203.02155, section 3.5; over-optimisation: 2210.10760",
    recipes=(replace(bt, name="rm-ppo-reward-model", family=""), followed("rm-ppo-policy", (), ("rm",))),
)

_five = replace(
    bt,
    name="five-reward-models",
    family="",
    updates=tuple(fitted(m) for m in MEMBERS),
    actors=(("policy", Policy()), *((m, Value(spread=0.02)) for m in MEMBERS)),
)

wco = Program(
    name="wco",
    family="reward",
    parent="rm-ppo",
    about="Five reward models that differ by their random head and the order of the data; PPO follows the lowest of "
    "their scores, so that no single model's mistake pays.",
    source_of="Reward model ensembles help mitigate overoptimisation, arXiv 2310.02743, section 3.2 (worst case)",
    recipes=(_five, followed("wco-policy", (Conservative(),), MEMBERS)),
    origins={"Conservative.of": "five members (section 4)"},
)

uwo = Program(
    name="uwo",
    family="reward",
    parent="wco",
    about="As wco, following the mean of the five scores less a multiple of their variance.",
    source_of="Reward model ensembles help mitigate overoptimisation, arXiv 2310.02743, section 3.2 (uncertainty)",
    recipes=(_five, followed("uwo-policy", (Conservative(how="uncertain", weight=0.1),), MEMBERS)),
    origins={"Conservative.weight": "lambda = 0.1 for PPO, 0.5 for best-of-n (released code)"},
)
