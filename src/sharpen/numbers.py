"""NaN and infinity: found where they arise, named, and nothing is trained on them.

After every stage the rewards and columns of all groups are looked at (`watch`), in every micro-batch what the trainer
computes (`finite`, `refuse`), and before every optimiser step the gradient and the weights (`unsound`), each by one
reduction. What is wrong is looked for only once something is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from sharpen.errors import SharpenError

if TYPE_CHECKING:
    from sharpen.ctx import Ctx
    from sharpen.recipe import AdamW, Term
    from sharpen.types import Batch, Group, Scored, Trace

UNKNOWN = frozenset({"logp_old", "entropy", "mismatch"})
"""Columns in which NaN means that nobody knows the number; infinity is wrong in them too."""

KEPT = "The step was not applied: weights and optimiser are as they were, and the last checkpoint is untouched."


class NotFinite(SharpenError):  # noqa: N818 - it is what was found
    """A number that is none; `item` is which of the things asked for it belongs to, where that is known."""

    def __init__(self, text: str, item: int | None = None) -> None:
        super().__init__(text)
        self.item = item


def diverged(what: str, who: str) -> NotFinite:
    """The error that a model gave a number that is none."""
    return NotFinite(
        f"{what}: {who}. Nothing was trained on it. The model's weights have diverged, or its engine is at fault: go "
        "back to an earlier checkpoint, lower the learning rate, or compute in float32."
    )


def finite(*tensors: Tensor) -> bool:
    """Whether every entry of all of them is a finite number."""
    return bool(torch.cat([x.detach().flatten() for x in tensors]).isfinite().all())


def told(x: float) -> str:
    """`nan`, `inf` or `-inf`."""
    return repr(float(x))


def sample(trace: Trace, where: str = "") -> str:
    """A trace in words: its problem, its place and the beginning of its text."""
    return f"problem {trace.problem.key!r}{where}, text {trace.text[:120]!r}"


# ------------------------------------------------------------------ what stages write


def watch(groups: Sequence[Group], stage: Any, ctx: Ctx) -> None:
    """Raise NotFinite if a reward or a column is not finite after a stage.

    Looked at: named rewards, totals, rewards of turns, columns of segments and of groups. NaN in a column of `UNKNOWN`
    is no error.
    """
    numbers: list[float] = []
    columns: list[Tensor] = []
    guesses: list[Tensor] = []
    seen: set[int] = set()
    for group in groups:
        columns += group.cols.values()
        for trace in group.traces:
            numbers += trace.rewards.values()
            if trace.reward is not None:
                numbers.append(trace.reward)
            for s in trace.segments:
                if id(s) in seen:  # traces of a tree share segments
                    continue
                seen.add(id(s))
                numbers.append(s.reward)
                for name, x in s.cols.items():
                    (guesses if name in UNKNOWN else columns).append(x)
    sound = all(map(math.isfinite, numbers)) and (not columns or finite(*columns))
    if sound and not (guesses and bool(torch.cat([x.flatten() for x in guesses]).isinf().any())):
        return
    what, value, where = next(_odd(groups))
    part = type(stage).__name__ if not isinstance(stage, str) else stage
    asks = getattr(stage, "asks", ())
    of = f" of actor {asks[0]!r}" if asks else ""
    raise NotFinite(
        f"{what} is {told(value)} after {part}{of} in iteration {ctx.step}, first on {where}. Nothing was trained on "
        f"it: no step was made with these samples, and the last checkpoint is untouched. Mend {part} or what it "
        "reads; if a model says so, its weights have diverged: lower the learning rate or compute in float32."
    )


def _odd(groups: Sequence[Group]) -> Iterator[tuple[str, float, str]]:
    """Every number that is not finite: what it is, its value, whose it is."""
    for i, group in enumerate(groups):
        for k, trace in enumerate(group.traces):
            at = f" (group {i}, trace {k})"
            for name, r in trace.rewards.items():
                if not math.isfinite(r):
                    yield f"Reward {name!r}", r, sample(trace, at)
            if trace.reward is not None and not math.isfinite(trace.reward):
                yield "The total reward", trace.reward, sample(trace, at)
            for j, s in enumerate(trace.segments):
                if not math.isfinite(s.reward):
                    yield "The reward of a turn", s.reward, sample(trace, f" (group {i}, trace {k}, segment {j})")
                for name, x in s.cols.items():
                    bad = x.isinf() if name in UNKNOWN else ~x.isfinite()
                    if bool(bad.any()):
                        n = int(bad.flatten().int().argmax())
                        place = f" (group {i}, trace {k}, segment {j}, atom {n})"
                        yield f"Column {name!r}", float(x.flatten()[n]), sample(trace, place)
        for name, x in group.cols.items():
            if not finite(x):
                n = int((~x.isfinite()).flatten().int().argmax())
                yield f"Column {name!r} of a group", float(x.flatten()[n]), f"problem {group.problem.key!r} (group {i})"


# ------------------------------------------------------------------ what an update computes


def refuse(
    new: Scored, batch: Batch, terms: Sequence[Term], update: str, actor: str, step: int, atoms: Iterable[str]
) -> SharpenError:
    """What is wrong with a micro-batch whose scores or loss are not finite: scores first, then columns, then terms.

    `atoms` are the columns its terms read.
    """
    where = f"in iteration {step}, in the loss of update {update!r}"
    mend = "Lower the learning rate, or compute in float32."
    for what, x in {"log-prob": new.logp, **new.extra}.items():
        if not finite(x):
            value, whose = _first(x, batch, "atom")
            return NotFinite(
                f"The {what} that actor {actor!r} computes is {value} {where}, first on {whose}. {KEPT} {mend}"
            )
    for name in (n for n in atoms if n in batch.cols):
        x = batch.cols[name]
        odd = x if name not in UNKNOWN else x.nan_to_num(0.0, math.inf, -math.inf)
        if not finite(odd):
            value, whose = _first(odd, batch, "atom")
            return NotFinite(
                f"Column {name!r} is {value} {where}, first on {whose}. {KEPT} Mend the part that computes it."
            )
    for name, x in (batch.sets.cols if batch.sets else {}).items():
        if not finite(x):
            value, whose = _first(x, batch, "set")
            return NotFinite(
                f"Column {name!r} of the sets is {value} {where}, first on {whose}. {KEPT} Mend the rows that "
                "compute it."
            )
    return _of_terms(new, batch, terms, where)


def _of_terms(new: Scored, batch: Batch, terms: Sequence[Term], where: str) -> SharpenError:
    """The term at fault, where everything it is computed from is finite."""
    from sharpen.reduction import numerator, restrict

    for term in terms:
        if finite(numerator(term, new, batch)):
            continue
        scored, part = restrict(new, batch, term.where) if term.where else (new, batch)
        assert scored is not None
        x = term.loss(scored, part)
        first = f", first on {_first(x, part, term.loss.unit)[1]}" if not finite(x) else ""
        return NotFinite(
            f"The term {term.label!r} ({type(term.loss).__name__}) is not finite {where}, although all it is computed "
            f"from is{first}. {KEPT} Mend that loss, or lower the learning rate."
        )
    labels = ", ".join(t.label for t in terms)
    return NotFinite(f"The sum of the terms ({labels}) overflows {where}. {KEPT} Lower their weights.")


def _first(x: Tensor, batch: Batch, unit: str) -> tuple[str, str]:
    """The first entry that is not finite, and the sample it belongs to."""
    flat = x.detach().reshape(len(x), -1) if x.dim() else x.detach().reshape(1, 1)
    n = int((~flat.isfinite()).any(1).int().argmax())
    value = told(next(v for v in flat[n].tolist() if not math.isfinite(v)))
    if unit == "set" and batch.sets:
        traces = [batch.traces[i] for i in batch.sets.members[n]]
    elif unit == "trace":
        traces = [batch.traces[n]]
    elif unit in ("segment", "atom"):
        ids = batch.trace if unit == "atom" else batch.trace[batch.segment == n]
        traces = [batch.traces[int(ids[n if unit == "atom" else 0])]]
    else:
        traces = batch.traces[:1]
    return value, "; against ".join(sample(t) for t in traces)


# ------------------------------------------------------------------ before a step


def norm(tensors: Iterable[Tensor]) -> Tensor:
    """The Euclidean norm of all of them together; not finite where one entry is not, or its square overflows."""
    return torch.nn.utils.get_total_norm(list(tensors))


def named(parts: Iterable[tuple[str, Tensor | None]]) -> str | None:
    """The name of the first tensor with an entry that is not finite."""
    return next((n for n, x in parts if x is not None and not bool(x.detach().isfinite().all())), None)


LARGEST: float = torch.finfo(torch.float32).max
SQUARE: float = math.sqrt(LARGEST)
"""The largest gradient that the optimiser can square, which a finite norm is below."""


def reach(weights: float, clip: float, rate: float, spec: AdamW) -> float:
    """No weight is larger than this after a step of AdamW: |w| + rate (decay |w| + G / (eps (1 - beta1))).

    `weights` is the norm of all of them before, G = min(clip, SQUARE) the most a gradient has ever been, and with it
    the mean of gradients; its debiasing divides by 1 - beta1 at most.
    """
    return float(weights + rate * (spec.weight_decay * weights + min(clip, SQUARE) / (spec.eps * (1 - spec.beta1))))


def unsound(parameters: Sequence[tuple[str, nn.Parameter]], grads: float, weights: float, after: float) -> str | None:
    """What forbids a step, given the norms of gradient and weights and the `reach` of it; None where nothing does.

    A step from finite weights by a finite gradient that reaches no number too large has finite weights.
    """
    if not math.isfinite(grads):
        odd = named((n, p.grad) for n, p in parameters)
        return f"The gradient is not finite (first in {odd!r})" if odd else f"The norm of the gradient is {told(grads)}"
    if not math.isfinite(weights):
        odd = named(parameters)
        return f"The weights are not finite (first {odd!r})" if odd else f"The norm of the weights is {told(weights)}"
    if not after <= LARGEST:
        return f"The step could make weights as large as {after:.0e}, more than float32 holds"
    return None
