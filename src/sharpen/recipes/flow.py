"""Policies that are no language models: flow matching, trained through the steps of its denoising chains."""

from dataclasses import replace

from sharpen.credit.peers import GroupNorm
from sharpen.loss.policy import KL, PPOClip
from sharpen.loss.steps import StepPreference
from sharpen.recipe import AdamW, Loop, Term, Update
from sharpen.recipes.policy import grpo
from sharpen.reward.verify import Total, Verify
from sharpen.rollout.edit import Annotate
from sharpen.rollout.program import twins
from sharpen.rollout.sample import Sample
from sharpen.rows import Pairs

flow_grpo = replace(
    grpo,
    name="flow-grpo",
    family="flow",
    parent="grpo",
    about="GRPO for flow matching: an SDE with the flow's own marginals draws the chains, so that each denoising step "
    "is a Gaussian with a density, and every step carries the credit of the sample it led to.",
    source_of="Flow-GRPO, arXiv 2505.05470, section 4, and its released code",
    collect=(Sample(16, method="sde"), Verify(), Total(), Annotate("ref"), GroupNorm()),
    updates=(Update((Term(PPOClip(0.01, 0.01)), Term(KL("k2"), weight=0.04, name="kl")), minibatch=256),),
    origins={
        "Sample.n": "24 in the released code; 16 here, as in grpo",
        "Sample.max_tokens": "the policy's own number of denoising steps, 10 for one made here, as in the released "
        "code; it measures with 40 (`sharpen eval --max-tokens 40`)",
        "Sample.temperature": "1: the policy's own noise level, a = 0.7 in the released code",
        "GroupNorm.scale": "the group's standard deviation (the paper); the released code divides by the batch's",
        "PPOClip.low": "1e-4 in the released code, whose log-probs are means over 65,536 numbers a latent; a mean over "
        "d numbers varies as 1 / sqrt(d), so that at d = 2 to 64 the same bound is 0.02 to 0.003: 0.01 here",
        "PPOClip.high": "as PPOClip.low",
        "KL.estimator": "closed form in the paper; here from the sampled latents by k2, which has its gradient",
        "Term.kl.weight": "beta = 0.04 (released code, counting objects and writing text)",
        "Term.ppoclip.mean_over": "mean over the steps of a chain, then over chains; the released code leaves the last "
        "step out",
        "Update.minibatch": "two updates an iteration (released code)",
    },
)

reinflow = replace(
    flow_grpo,
    name="reinflow",
    parent="flow-grpo",
    about="PPO on a flow policy with learnt noise: a whole chain is one action, and its ratio the product of those of "
    "its steps. Without the paper's critic: the credit is relative to other samples of the same condition. What is "
    "scored is what was drawn (the released code scores a Gaussian and draws a truncated one).",
    source_of="ReinFlow, arXiv 2505.22094, and its released code",
    collect=(Sample(16, method="learnt-noise"), Verify(), Total(), GroupNorm()),
    updates=(Update((Term(PPOClip(0.01, 0.01, "segment", "sum")),), minibatch=128),),
    actors=(("policy", grpo.actors[0][1]),),
    origins={
        "Sample.method": "the standard deviation is learnt, between 0.10 and 0.24 (released code, hopper)",
        "Sample.max_tokens": "4 denoising steps in the released code; the policy's own number here, 10",
        "GroupNorm.center": "the paper has a critic with GAE; answers of one step need none, and the group's mean "
        "takes its place",
        "PPOClip.low": "epsilon = 0.01 for state inputs (released code)",
        "PPOClip.high": "epsilon = 0.01 for state inputs (released code)",
        "PPOClip.ratio_how": "log-densities are summed over the numbers and steps of a chain (released code, which "
        "also counts the starting noise, where they cancel)",
        "Update.terms": "the released code adds an entropy bonus of 0.03 for state inputs; left out here",
        "Update.minibatch": "a quarter of the batch; five passes over the batch in the released code, one here",
    },
)

d3po = replace(
    flow_grpo,
    name="d3po",
    parent="flow-grpo",
    about="DPO a denoising step at a time, without a reward model: two chains from one noise, of which the better is "
    "preferred at every step. A step's ratio to the reference is clipped, which bounds how far it can be moved.",
    source_of="D3PO, arXiv 2311.13231, section 4, and its released code",
    collect=(Sample(1, method="sde", program=twins), Verify(), Total(), Annotate("ref")),
    updates=(Update((Term(StepPreference()),), rows=Pairs(), optimiser=AdamW(scale=0.3), minibatch=32),),
    loop=Loop(iterations=100, problems=256),
    origins={
        "Sample.program": "both chains of a pair start at the same noise (released code)",
        "Sample.method": "DDIM with eta = 1 in the released code, for diffusion models; the flow's SDE here",
        "StepPreference.beta": "0.1 (released code)",
        "StepPreference.eps": "0.1 (released code)",
        "Pairs.better": "the reward stands in for the judge, as in the paper's experiments with objectives",
        "AdamW.scale": "0.3: nothing pulls back a step that has left its clip, so larger steps overshoot it",
        "Update.minibatch": "32 pairs; the released code takes one pair a step of the optimiser",
        "Loop.problems": "256 conditions, since each gives one pair, and none where both are equally good",
    },
)
