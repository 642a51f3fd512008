"""Agents that act in turns in a world."""

from dataclasses import replace

from sharpen.credit.peers import GroupNorm
from sharpen.credit.turns import TD, TurnAdvantage, TurnReturn
from sharpen.loss.policy import KL, PPOClip, Reinforce
from sharpen.loss.value import ValueFit
from sharpen.recipe import AdamW, Frozen, Loop, Policy, Recipe, Term, Update, Value
from sharpen.recipes.policy import grpo
from sharpen.reward.verify import Total, Verify
from sharpen.rollout.combinators import By
from sharpen.rollout.edit import Annotate
from sharpen.rollout.sample import Sample
from sharpen.rollout.store import Redraw, Replay, Store
from sharpen.rows import Traces
from sharpen.source.problems import Uniform

gigpo = replace(
    grpo,
    name="gigpo",
    family="agents",
    parent="grpo",
    about="GRPO for episodes with credit at two levels: of the episode among those of its problem, and of each turn, "
    "by its discounted return, among all turns of the group that answer exactly the same observation.",
    source_of="GiGPO, arXiv 2505.10978, eq. 3 and 6 to 8, and its released code",
    collect=(
        Sample(8),
        Verify(),
        Total(),
        GroupNorm(scale="none"),
        TurnReturn(0.95),
        GroupNorm(("group", "observation"), "segment", "return", scale="none", mode="add"),
        Annotate("ref"),
    ),
    updates=(Update((Term(PPOClip(), mean_over="atom"), Term(KL(), 0.01, mean_over="atom", name="kl"))),),
    loop=Loop(iterations=100, problems=16),
    origins={
        "GroupNorm.0.scale": "both means are subtracted and nothing is divided (eq. 3, 7), the released code's "
        "default; `std` is the paper's other choice",
        "GroupNorm.0.unit": "the mean is over episodes (eq. 3); the released code counts an episode once for each of "
        "its turns by default",
        "GroupNorm.1.peers": "turns of one group at an identical observation (eq. 6); `state` instead compares only "
        "turns whose whole state the world calls equal (in `grid` with equal turns left)",
        "GroupNorm.1.singleton": "an observation met once gives 0",
        "GroupNorm.1.weight": "w = 1 (released scripts)",
        "TurnReturn.gamma": "0.95 (released scripts)",
        "Term.ppoclip.mean_over": "all tokens weigh the same in the released code",
        "Term.kl.weight": "0.01, k3 (released scripts, which also punish an invalid action by 0.1; not here)",
        "Sample.n": "8 episodes a group, 16 groups (released scripts)",
    },
)

_fit = AdamW(scale=5.0)

archer = Recipe(
    name="archer",
    family="agents",
    parent="ppo",
    about="A critic of whole turns learns off-policy, by temporal differences on replayed episodes, what an action is "
    "worth; the policy follows the gradient of turns it takes anew in those states, credited by Q - V.",
    source_of="ArCHer, arXiv 2402.19446, as its released code has it",
    source=Uniform(),
    collect=(
        Sample(1),
        Verify(),
        Store(),
        Replay(),
        By("replay", (Annotate("v_target", "value", "v_target"), TD(), Redraw())),
        By("redraw", (Annotate("q_target", "score", "q_target"), TurnAdvantage("q_target", "", "v_goal"))),
    ),
    updates=(
        Update(
            (Term(ValueFit("q_goal", "score"), mean_over="atom", where="last:segment"),),
            Traces(by="replay"),
            "q",
            _fit,
            epochs=3,
            minibatch=32,
        ),
        Update(
            (Term(ValueFit("v_goal"), mean_over="atom", where="first:segment"),),
            Traces(by="redraw"),
            "v",
            _fit,
            epochs=3,
            minibatch=32,
        ),
        By("redraw", (Annotate("q", "score", "q"), Annotate("v", "value", "v"), TurnAdvantage())),
        Update((Term(Reinforce(), mean_over="horizon", horizon=1),), Traces(by="redraw"), start=10),
    ),
    loop=Loop(iterations=100, problems=128),
    actors=(
        ("policy", Policy()),
        ("q", Value()),
        ("v", Value()),
        ("q_target", Frozen("q", "step", 0.1)),
        ("v_target", Frozen("v", "step", 0.1)),
    ),
    origins={
        "TD.gamma": "0.9 (the trainer's default in the released code; its scripts say 0.95)",
        "Frozen.0.tau": "0.1 (released code)",
        "Value.0.of": "Q and V are two models; the released code has two heads for each on one encoder and takes the "
        "smaller of each two, which is left out",
        "Redraw.n": "the policy's action is drawn anew in replayed states, for V's target and for the policy gradient "
        "(released code); 32 x 8 turns a step there",
        "Replay.n": "whole episodes are replayed and all their turns fitted; single turns in the released code",
        "Update.0.epochs": "targets are taken once an iteration; the released code draws turns and targets anew each "
        "epoch, 3 to 50 of them",
        "Update.2.start": "the critics' head start is 10 to 20 iterations in the released scripts",
        "Term.2.horizon": "1: log-probs are summed over a turn, which is one action",
        "Loop.problems": "128 episodes an iteration (released scripts)",
        "Store.size": "100 000 turns (released scripts)",
    },
    waive=("gradient",),  # both critics begin at 0, which is what V's first goals are
)
