"""Answers no longer than they need be."""

from dataclasses import replace

from sharpen.credit.peers import GroupNorm
from sharpen.loss.policy import Entropy, PPOClip
from sharpen.recipe import Loop, Program, Term, Update
from sharpen.recipes.policy import dapo
from sharpen.reward.length import Brevity
from sharpen.reward.verify import Total, Verify
from sharpen.rollout.combinators import Refill, any_solved, mixed
from sharpen.rollout.sample import Sample

_walk = replace(
    dapo,
    name="concise-walk",
    family="",
    collect=(Refill((Sample(16), Verify()), keep=mixed), Total(), GroupNorm()),
    updates=(
        Update(
            (Term(PPOClip(0.2, 0.28), mean_over="atom"), Term(Entropy(), weight=0.001, mean_over="atom")),
            minibatch=128,
        ),
    ),
    origins={
        "Refill.keep": "groups all right or all wrong are drawn again, as in DAPO",
        "PPOClip.high": "clip-higher as in DAPO; 0.28 from there (2503.14476, section 4.1)",
        "Term.entropy.weight": "the report gives no value; 0.001 here, a usual one",
    },
)

concise = Program(
    name="concise",
    family="length",
    parent="dapo",
    about="Learn to be right first, by DAPO with an entropy bonus; then, more briefly, on every group that has a right "
    "answer, where shortness earns something only in groups that are all right.",
    source_of="ConciseR, arXiv 2505.21178 (the text; no code was released)",
    recipes=(
        _walk,
        replace(
            _walk,
            name="concise-run",
            collect=(
                Refill((Sample(16), Verify()), keep=any_solved),
                Brevity(),
                Total({"main": 1.0, "brevity": 0.5}),
                GroupNorm(),
            ),
            loop=Loop(iterations=40, problems=32),
            origins={
                "Refill.keep": "groups that are all right must stay: only there does length count",
                "Total.weights": "lambda is not settled by what is public; any value does the same here, for groups "
                "that are all right are divided by the standard deviation of their lengths",
                "Loop.iterations": "fewer steps than the first stage (abstract)",
            },
        ),
    ),
)
