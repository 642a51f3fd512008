"""Knowing how likely one's own answer is to be right."""

from dataclasses import replace

from sharpen.credit.peers import BlendReward, GroupNorm
from sharpen.loss.policy import PPOClip
from sharpen.loss.probe import ProbeFit
from sharpen.recipe import Frozen, Policy, Term, Update
from sharpen.recipes.policy import dr_grpo
from sharpen.reward.calibration import Brier, laid_out
from sharpen.reward.probe import Probe
from sharpen.reward.verify import Total, Verify
from sharpen.rollout.sample import Sample

rlcr = replace(
    dr_grpo,
    family="calibration",
    name="rlcr",
    parent="dr-grpo",
    about="State with each answer how likely it is to be right, and earn by the answer as well as by how good that "
    "statement was (a Brier score). Needs a task with a stated confidence (confident:TASK).",
    source_of="RLCR, arXiv 2507.16806, and its released code",
    collect=(
        Sample(32),
        Verify(),
        Brier(),
        Total({"layout": 0.5, "main": 0.5, "brier": 0.5}, how=laid_out),
        GroupNorm(scale="none"),
    ),
    updates=(Update((Term(PPOClip()),)),),
    origins={
        "Sample.n": "32 (released configuration)",
        "Sample.temperature": "0.7 in the released configuration; 1 here, so that ratios are the policy's own",
        "Total.weights": "0.5 each (released configuration)",
        "Total.how": "all three are 0 where the layout fails (released code)",
        "GroupNorm.scale": "rewards are not divided by their standard deviation (released configuration)",
        "Term.mean_over": "mean inside each answer, then over answers (the default of the released trainer)",
    },
)

laser = replace(
    dr_grpo,
    family="calibration",
    name="laser",
    parent="grpo",
    about="The log-prob of one unused token after the end of an answer is fitted to the verdict on it, at the price of "
    "one token; what it says then joins the credit.",
    source_of="LaSeR, arXiv 2510.14943, and its released code",
    collect=(Sample(8), Verify(), Total(), Probe(start=200), GroupNorm(), BlendReward(start=400)),
    updates=(
        Update(
            (
                Term(PPOClip(), where="spoken"),
                Term(ProbeFit(), weight=0.1, mean_over="atom", where="probe", weight_by="balance"),
            ),
        ),
    ),
    loop=replace(dr_grpo.loop, iterations=800, problems=128),
    actors=(("policy", Policy()), ("ref", Frozen("policy"))),
    origins={
        "Sample.n": "8 (released script)",
        "Probe.beta": "0.1 (released script)",
        "Probe.constant": "the reference's log-prob; the released scripts put -23 or -25 in its place, a number of "
        "their models",
        "Probe.start": "200 steps without the fit (released script)",
        "BlendReward.start": "200 more before it joins the credit (released script)",
        "BlendReward.weight": "0.1 (released script)",
        "BlendReward.floor": "0.1 (released script)",
        "Term.probefit.weight": "0.1 (released script)",
        "Term.probefit.mean_over": "over the answers that ended; the released code divides by all",
        "Loop.problems": "128 (released script)",
    },
)
