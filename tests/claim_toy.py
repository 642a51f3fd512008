"""A claim that takes moments: arms that train a tiny model on the task of one digit, and arms that only say numbers."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace

from row import small
from sharpen.actor.nano import Nano
from sharpen.claims import UNTRAINED, Arm, Base, Budget, Claim, Comparison, Evaluated
from toy import Copy

TINY = Base(Nano(width=16, layers=1, heads=2, context=64, steps=60, batch=32, warmup=5))


class Short(Copy):
    """An untrained model does not stop by itself."""

    max_tokens = 3


def says(stage, seed):
    """0.5, 0.6, 0.7, ... by seed, and when it was said."""
    return {"accuracy": 0.5 + seed / 10, "moment": time.time_ns()}


def lower(stage, seed):
    """0.4 at every seed."""
    return {"accuracy": 0.4}


def fails(stage, seed):
    """Fails in a different way at each seed."""
    if seed == 1:
        raise ValueError("no\nluck")
    if seed == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return {"accuracy": float("nan")} if seed == 3 else {"moment": 1.0} if seed == 4 else {"accuracy": 0.0}


def says_claim(*more: Arm, **changes) -> Claim:
    """A claim whose arms train nothing."""
    return Claim(
        **{
            "name": "says-more",
            "statement": "What says more is above what says less.",
            "source": "nobody, arXiv 0000.00000",
            "published": "none",
            "arms": (Arm("more", run=says), Arm("less", run=lower), *more),
            "task": Short(),
            "metric": "accuracy",
            "budget": Budget("iterations", 3),
            "base": TINY,
            **changes,
        }
    )


def trains_claim(**changes) -> Claim:
    """A claim whose arms train."""
    rloo, psr = small("rloo", 50, problems=2), small("psr", 50, problems=2)
    return replace(
        says_claim(),
        name="trains",
        arms=(Arm("rloo", rloo), Arm("psr", psr), UNTRAINED),
        evaluation=Evaluated(problems=10, samples=4, ks=(4,)),
        comparisons=(Comparison("rloo", "psr", "accuracy", margin=1.0),),
        **changes,
    )
