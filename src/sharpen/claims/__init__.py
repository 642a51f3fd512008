"""Claims of papers, tested at toy scale, at equal budget, over seeds.

A `Claim` is a value: arms, a task, a base policy, a budget, what is measured, and which arm should come out above which
others. `run` tests it, `outcomes` says what came out.
"""

from sharpen.budget import Budget
from sharpen.claims.base import Arm, Base, Claim, Comparison, Evaluated
from sharpen.claims.catalogue import all_claims, claim
from sharpen.claims.runner import run
from sharpen.claims.stage import UNTRAINED, Stage
from sharpen.claims.stats import outcomes, verdict

__all__ = [
    "UNTRAINED",
    "Arm",
    "Base",
    "Budget",
    "Claim",
    "Comparison",
    "Evaluated",
    "Stage",
    "all_claims",
    "claim",
    "outcomes",
    "run",
    "verdict",
]
