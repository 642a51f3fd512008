"""Rewards of a stated confidence, and how well what was stated agrees with what came out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch

from sharpen.core import Part
from sharpen.maths import auroc, brier, ece
from sharpen.reward.verify import weighted_sum
from sharpen.task.confident import confidence
from sharpen.types import Group, Trace

if TYPE_CHECKING:
    from sharpen.ctx import Ctx


@dataclass(frozen=True)
class Brier(Part):
    """The reward `brier`, 1 - (q - c)^2 in [0, 1], of a trace that states the confidence q; c is 1 if it is right.

    A proper score: stating one's chance of being right earns most in the mean. A trace that states nothing earns 0.
    What was stated stands in `info["confidence"]`.
    """

    reads: ClassVar[tuple[str, ...]] = ("traces", "solved")
    writes: ClassVar[tuple[str, ...]] = ("reward:brier",)
    needs: ClassVar[tuple[str, ...]] = ("confidence",)

    def __call__(self, groups: list[Group], ctx: Ctx) -> list[Group]:
        """Score every trace; the mean confidence is logged."""
        for trace in (t for g in groups for t in g.traces):
            q = confidence(trace)
            trace.rewards["brier"] = 0.0 if q is None else 1 - (q - float(bool(trace.solved))) ** 2
            ctx.log("reward/brier", trace.rewards["brier"])
            if q is not None:
                trace.info["confidence"] = q
                ctx.log("confidence", q)
        return groups


def laid_out(values: Mapping[str, float], weights: Mapping[str, float]) -> float:
    """The weighted sum, or 0 where `layout` is 0: without the layout nothing else counts."""
    return weighted_sum(values, weights) if values["layout"] > 0 else 0.0


def calibration(traces: Iterable[Trace], q: Callable[[Trace], float | None] = confidence) -> dict[str, float]:
    """How well confidences agree with verdicts, over the traces that state one.

    `stated` is the share of traces that do, `accuracy` that of right ones among them, `confidence` their mean
    confidence; `ece` (ten bins of equal width) and `brier` are 0 at best, `auroc` is 1 at best and 0.5 for no
    information. What cannot be computed (no confidence at all; AUROC where all are right or none is) is NaN. `q` reads
    the confidence of a trace in another way, for instance from its rewards.
    """
    every = list(traces)
    pairs = [(said, bool(t.solved)) for t in every if (said := q(t)) is not None]
    out = dict.fromkeys(("stated", "accuracy", "confidence", "ece", "brier", "auroc"), math.nan)
    out["stated"] = len(pairs) / len(every) if every else math.nan
    if pairs:
        p = torch.tensor([said for said, _ in pairs], dtype=torch.float64)
        y = torch.tensor([right for _, right in pairs])
        out |= {"accuracy": float(y.double().mean()), "confidence": float(p.mean())}
        out |= {"ece": ece(p, y), "brier": brier(p, y)}
        if 0 < int(y.sum()) < len(y):
            out["auroc"] = auroc(p, y)
    return out
