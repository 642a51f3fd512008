"""Pure functions: flat tensors and ids in, tensors or numbers out. No plumbing, no state, no hidden randomness."""

from sharpen.maths.calibration import Bin, auroc, brier, ece, reliability
from sharpen.maths.credit import (
    discounted_returns,
    discounted_returns_by,
    gae,
    gae_by,
    group_norm,
    loo_per_length,
    whiten,
)
from sharpen.maths.divergence import entropy, js, kl, kl_estimate
from sharpen.maths.intervals import (
    Difference,
    Interval,
    bootstrap_mean,
    iqm,
    paired_bootstrap,
    paired_t,
    student_t,
    wilson,
)
from sharpen.maths.passk import best_of_k, maj_at_k, majority, pass_at_k
from sharpen.maths.ratio import log_ratio
from sharpen.maths.segments import (
    count_by,
    count_units,
    is_last,
    last_of,
    max_by,
    mean_by,
    softmax_by,
    spread,
    suffix_sum_by,
    sum_by,
)
from sharpen.maths.uniform import categorical, splitmix64, uniforms

__all__ = [
    "Bin",
    "Difference",
    "Interval",
    "auroc",
    "best_of_k",
    "bootstrap_mean",
    "brier",
    "categorical",
    "count_by",
    "count_units",
    "discounted_returns",
    "discounted_returns_by",
    "ece",
    "entropy",
    "gae",
    "gae_by",
    "group_norm",
    "iqm",
    "is_last",
    "js",
    "kl",
    "kl_estimate",
    "last_of",
    "log_ratio",
    "loo_per_length",
    "maj_at_k",
    "majority",
    "max_by",
    "mean_by",
    "paired_bootstrap",
    "paired_t",
    "pass_at_k",
    "reliability",
    "softmax_by",
    "splitmix64",
    "spread",
    "student_t",
    "suffix_sum_by",
    "sum_by",
    "uniforms",
    "whiten",
    "wilson",
]
