"""What a term is a mean of: numerators of micro-batches that add up, denominators of whole optimiser steps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from sharpen.core import columns_read
from sharpen.maths import count_by, is_first, is_last, mean_by, sum_by
from sharpen.recipe import PLACES, Term
from sharpen.types import Batch, Scored, Unit

TRUNCATE = 2.0
"""The most that the trainer's ratio to an engine may weigh an atom (or its unit)."""


def restrict(new: Scored | None, batch: Batch, where: str) -> tuple[Scored | None, Batch]:
    """Only the atoms at which a 0/1 column is 1, or those of a place; numbering of traces, groups and sets stays."""
    keep = (_place(where, batch) if where in PLACES else batch.cols[where] > 0).nonzero().squeeze(1)
    cols = {name: col[keep] for name, col in batch.cols.items()}
    part = Batch(batch.traces, cols, batch.segment[keep], batch.trace[keep], batch.group, batch.data, batch.sets)
    if new is not None:
        new = Scored(new.logp[keep], {name: x[keep] for name, x in new.extra.items()})
    return new, part


def _place(where: str, batch: Batch) -> Tensor:
    end, unit = where.split(":")
    ids = batch.segment if unit == "segment" else batch.trace
    return is_last(ids) if end == "last" else is_first(ids)


def count(term: Term, batch: Batch, longest: int = 1) -> float:
    """The denominator of a term over an optimiser step; `longest` is the horizon of a term that names none."""
    if term.where:
        _, batch = restrict(None, batch, term.where)
    if term.loss.unit == "set":
        return float(max(1, len(batch.sets.members) if batch.sets else 0))
    if term.loss.unit != "atom":
        return float(max(1, batch.count(term.loss.unit)))
    if term.mean_over == "atom":
        return float(max(1, len(batch)))
    traces = int((count_by(batch.trace) > 0).sum())
    if term.mean_over == "trace":
        return float(max(1, traces))
    return float(max(1, traces) * (term.horizon or longest)) if term.mean_over == "horizon" else 1.0


def trust_unit(loss: Any) -> Unit | None:
    """The unit at which a loss is corrected for the engine its atoms were drawn on; None for a loss that is not.

    Corrected are losses that credit switches on (`silent_where`) or that take a ratio to who drew the atoms
    (`logp_old`): a mean over what the policy drew, hence off where something else drew it. Their unit is that of their
    ratio (`ratio_unit`), else their own; sets, groups and batches are not corrected.
    """
    if loss.silent_where is None and "logp_old" not in columns_read(loss):
        return None
    unit: Unit = getattr(loss, "ratio_unit", loss.unit)
    return unit if unit in ("atom", "segment", "trace") else None


def trust(batch: Batch, unit: Unit) -> Tensor:
    """min(C, prod pi_trainer / pi_engine) on every atom, `float[N]` without gradient, C = `TRUNCATE`.

    The truncated importance weight of what an engine drew, with the trainer's probability before the update; the
    product is over the atoms of the unit. The column `mismatch` holds the logarithms of the ratios; an atom without
    one, which nobody or the trainer itself drew, has 1. The weights of "Your Efficient RL Framework Secretly Brings You
    Off-Policy RL Training" (Yao et al., 2025), which do not enter the ratio that a loss clips.
    """
    ids = batch.ids(unit)
    log = sum_by(batch.cols["mismatch"].nan_to_num(0.0), ids)[ids] if len(ids) else torch.zeros(0)
    return log.exp().clamp(max=TRUNCATE)


def numerator(term: Term, new: Scored, batch: Batch) -> Tensor:
    """What a micro-batch adds to a term, before its weight and denominator; micro-batches add up to the whole step.

    What an engine with weights of its own drew is weighed by `trust`, here and nowhere else; other batches have no
    column `mismatch` and are left alone.
    """
    whole = batch
    unit = trust_unit(term.loss) if "mismatch" in batch.cols else None
    if unit:  # before atoms are left out, for they belong to their unit all the same
        batch = replace(batch, cols={**batch.cols, "trust": trust(batch, unit)})
    if term.where:
        scored, batch = restrict(new, batch, term.where)
        assert scored is not None
        new = scored
    x: Tensor = term.loss(new, batch)
    if term.loss.unit != "atom":
        if unit:  # every atom of a unit has the unit's weight
            x = x * mean_by(trust(whole, unit), whole.ids(unit), len(x), empty=1.0)
        return x.sum()
    if unit:
        x = x * batch.cols["trust"]
    if term.weight_by:
        x = x * batch.cols[term.weight_by]
    if term.mean_over != "trace":
        return x.sum()
    traces = len(batch.traces)
    return (sum_by(x, batch.trace, traces) / count_by(batch.trace, traces).clamp(min=1)).sum()
