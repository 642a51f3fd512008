"""Choosing what to train on by what is learnt from it."""

from dataclasses import replace

from sharpen.recipes.policy import grpo
from sharpen.source.bandit import Bandit
from sharpen.source.posterior import Posterior

sec = replace(
    grpo,
    family="curriculum",
    name="sec",
    parent="grpo",
    about="GRPO whose problems come from the categories that taught most lately: a bandit over categories, rewarded by "
    "the mean absolute credit of their answers.",
    source_of="Self-evolving curriculum, arXiv 2505.14970, and copies of its code",
    source=Bandit(),
    origins={
        "Bandit.rate": "alpha = 0.5 (copies of the released code)",
        "Bandit.tau": "1 for countdown, 0.4 for mathematics, 0.2 for two axes at once (copies of the released code)",
        "Bandit.absent": "a category without answers in a batch counts 0 there (copies of the released code)",
        "Bandit.by": "the task's own categories; any fact of a problem will do",
        "Sample.n": "as in grpo",
    },
)

mopps = replace(
    grpo,
    family="curriculum",
    name="mopps",
    parent="grpo",
    about="GRPO on the problems whose chance of being solved, drawn from a belief about each, is nearest to one half; "
    "nothing is sampled to find out.",
    source_of="MoPPS, arXiv 2507.04632, and its released code",
    source=Posterior(),
    origins={
        "Posterior.pool": "8 candidates for each problem taken (released scripts)",
        "Posterior.target": "0.5 (released code)",
        "Posterior.lam": "1 by default, 0.5 for countdown and geometry (released scripts)",
        "Posterior.prior": "Beta(1, 1) (released code)",
    },
)
