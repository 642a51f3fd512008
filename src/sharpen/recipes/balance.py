"""Answers in proportion to their reward."""

from dataclasses import replace

from sharpen.credit.flow import Flow
from sharpen.loss.balance import TrajectoryBalance
from sharpen.loss.value import ValueFit
from sharpen.recipe import AdamW, Frozen, Loop, Policy, Recipe, Term, Update, Value
from sharpen.reward.verify import Total, Verify
from sharpen.rollout.edit import Annotate
from sharpen.rollout.sample import Sample
from sharpen.source.problems import Uniform

flow_of_reasoning = Recipe(
    name="flow-of-reasoning",
    family="balance",
    about="Fit the policy to draw each answer in proportion to its reward, so that every solution is found and not one "
    "again and again: trajectory balance with a learned log Z.",
    source_of="Flow of Reasoning, arXiv 2406.05673, section 3 (eq. 6), and its released code; trajectory balance, "
    "2201.13259",
    source=Uniform(),
    collect=(Sample(16), Verify(), Total(), Annotate("ref"), Annotate("logz", "value", "value"), Flow()),
    updates=(
        Update((Term(TrajectoryBalance()),), minibatch=128, name="policy"),
        Update(
            (Term(ValueFit("flow"), where="first:trace"),),
            actor="logz",
            optimiser=AdamW(scale=10.0),
            minibatch=128,
            name="logz",
        ),
    ),
    loop=Loop(iterations=100, problems=32),
    actors=(("policy", Policy()), ("ref", Frozen("policy")), ("logz", Value("policy"))),
    origins={
        "Flow.scale": "R = e^(10 x reward): a wrong answer is worth e^-10 of a right one; the released code rewards "
        "success with 100 and failure with about 0.001, to a power that rises",
        "Flow.prior": "the paper lists the moves that are allowed; here actions are tokens, and the reference's "
        "likelihood says what may be written at all (as in 2310.04363)",
        "TrajectoryBalance.center": "learned log Z (the paper's Game of 24); here a function of the problem",
        "Sample.n": "on the policy's own draws: no replay and no local search (both in the paper)",
        "AdamW.1.scale": "log Z has far to go: its rate is a multiple of the policy's (released code)",
    },
)

vargrad = replace(
    flow_of_reasoning,
    name="vargrad",
    parent="flow-of-reasoning",
    about="Trajectory balance whose log Z is the mean over the group: nothing is learned beside the policy.",
    source_of="Flow of Reasoning, arXiv 2406.05673, released code (BlocksWorld); VarGrad, 2302.05446, eq. 4",
    collect=(Sample(16), Verify(), Total(), Annotate("ref"), Flow(learned=False)),
    updates=(Update((Term(TrajectoryBalance("group")),)),),
    actors=flow_of_reasoning.actors[:2],
    origins={},
)
