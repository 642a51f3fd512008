"""What a term is a mean of: numerators of micro-batches that add up, denominators of whole optimiser steps."""

from __future__ import annotations

from torch import Tensor

from sharpen.maths import count_by, is_first, is_last, sum_by
from sharpen.recipe import PLACES, Term
from sharpen.types import Batch, Scored


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


def numerator(term: Term, new: Scored, batch: Batch) -> Tensor:
    """What a micro-batch adds to a term, before its weight and denominator; micro-batches add up to the whole step."""
    if term.where:
        scored, batch = restrict(new, batch, term.where)
        assert scored is not None
        new = scored
    x: Tensor = term.loss(new, batch)
    if term.loss.unit != "atom":
        return x.sum()
    if term.weight_by:
        x = x * batch.cols[term.weight_by]
    if term.mean_over != "trace":
        return x.sum()
    traces = len(batch.traces)
    return (sum_by(x, batch.trace, traces) / count_by(batch.trace, traces).clamp(min=1)).sum()
