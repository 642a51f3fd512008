"""Proof that an engine with weights of its own draws from the policy: fingerprints, and the trainer's own log-probs.

Two things are compared. Fingerprints of every weight, sent and held, tell stale or partial weights to the bit, however
small the last update was. Log-probs of the very tokens that were drawn, the trainer's and the engine's, tell whatever
else is wrong: old keys and values in a cache, weights that are held and not used, another arithmetic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sharpen.actor.scoring import AT_ONCE
from sharpen.batching import pack
from sharpen.errors import SharpenError
from sharpen.types import Trace

if TYPE_CHECKING:
    from sharpen.actor.language import LanguageActor

CHUNK = 2**22
"""Numbers whose bits are looked at at once."""

ENOUGH = 64
"""Tokens from which on the mean of a call is held to the stated limit."""

BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
ODD = -7046029254386353131
"""2^64 over the golden ratio, as a signed number: multiples of it spread over all 64 bits."""


@torch.no_grad()
def fingerprint(x: Tensor) -> int:
    """64 bits of all bits of a tensor and of their order: sum_i b_i w_i mod 2^64, b the bits of a number as an integer
    and w_i = (i + 1) * `ODD` with its lowest bit set.

    Equal tensors of one type give equal fingerprints, on whatever device. It tells accidents and no forgery.
    """
    flat = x.detach().contiguous().view(-1).view(BITS[x.element_size()])
    total = torch.tensor(len(flat), dtype=torch.int64, device=flat.device)
    for start in range(0, len(flat), CHUNK):
        bits = flat[start : start + CHUNK].to(torch.int64)
        index = torch.arange(start + 1, start + 1 + len(bits), dtype=torch.int64, device=flat.device)
        total += (bits * ((index * ODD) | 1)).sum()
    return int(total)


def fingerprints(weights: Mapping[str, Tensor]) -> dict[str, int]:
    """The fingerprint of each weight."""
    return {name: fingerprint(x) for name, x in weights.items()}


def same_weights(sent: Mapping[str, int], held: Mapping[str, int]) -> None:
    """Raise SharpenError unless an engine holds the very weights that were sent, all of them and no others."""
    wrong = {
        "holds other values of": [n for n in sent if n in held and held[n] != sent[n]],
        "lacks": [n for n in sent if n not in held],
        "has something of its own in": [n for n in held if n not in sent],
    }
    said = [f"{what} {_listed(names)}" for what, names in wrong.items() if names]
    if said:
        raise SharpenError(
            f"The engine does not hold the trainer's weights after a sync: of {len(sent)} weights it "
            f"{', and it '.join(said)}. What it drew would come from a policy that is stale or partly so, and nothing "
            "was drawn. Use an engine version that loads this model's weights in place, or `--engine local`."
        )


def _listed(names: Sequence[str]) -> str:
    return f"{len(names)} ({', '.join(names[:2])}{', ...' * (len(names) > 2)})"


@dataclass(frozen=True, eq=False)
class Rescored:
    """What the trainer says of one drawn segment, `float32[n]` each, all over the whole softmax.

    `mismatch` is the trainer's log-prob less that of who drew it (NaN where nobody knows that).
    """

    logp: Tensor
    entropy: Tensor
    mismatch: Tensor


@torch.no_grad()
def rescore(actor: LanguageActor, traces: Sequence[Trace]) -> list[list[Rescored]]:
    """Score the trained segments of each trace by the trainer's own forward pass; empty segments are passed over.

    A segment's `logp_old` is what it is compared with. Where top-k or top-p cut the distribution an engine may know
    log p - log Z alone (the segment's `logp`), Z the mass that was left; its log p is taken to be that plus the
    trainer's log Z, so that equal distributions still have a mismatch of 0.
    """
    out: list[list[Rescored]] = [[] for _ in traces]
    for micro in pack([[i] for i in range(len(traces))], [actor.size(t) for t in traces], AT_ONCE):
        chosen = [traces[i] for i in micro]
        batch = actor.collate(chosen, torch.arange(len(chosen)), ())
        scored = actor.score(batch, ("entropy",))
        parts = [(i, s) for i, t in zip(micro, chosen, strict=True) for s in t.actions if len(s)]
        cut = any(s.drawn is not None and (s.drawn.top_k or s.drawn.top_p < 1) for _, s in parts)
        mass = actor.kept(batch) if cut else torch.zeros(len(batch))
        lengths = [len(s) for _, s in parts]
        columns = (torch.split(x.float().cpu(), lengths) for x in (scored.logp, scored.extra["entropy"], mass))
        for (i, s), logp, entropy, log_z in zip(parts, *columns, strict=True):
            unknown = torch.full_like(logp, torch.nan)
            theirs = s.cols.get("logp_old", unknown)
            theirs = torch.where(theirs.isnan(), unknown if s.logp is None else s.logp + log_z, theirs)
            out[i].append(Rescored(logp.clone(), entropy.clone(), logp - theirs))
    return out


def same_policy(found: Sequence[Rescored], limit: float) -> float:
    """The mean absolute mismatch over the tokens of one call; SharpenError where it is over `limit`.

    The limit is for `ENOUGH` tokens or more; for n of them it is sqrt(ENOUGH / n) as high: means of few scatter more.
    """
    gaps = torch.cat([x.mismatch for x in found]).abs()
    mean = float(gaps.mean())
    limit *= max(1.0, ENOUGH / len(gaps)) ** 0.5
    if not mean <= limit:
        raise SharpenError(
            f"The engine does not draw from the trainer's policy: its log-probs of the {len(gaps)} tokens it has just "
            f"drawn differ from the trainer's by {mean:.2g} on average (limit {limit:.2g}, largest "
            f"{float(gaps.max()):.2g}). Its weights are stale or partial, it kept keys and values of older ones, or it "
            "computes in another precision. Nothing was trained on them; use `--engine local`, or an engine version "
            "and `--dtype` that agree."
        )
    return mean
