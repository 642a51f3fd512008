"""An actor whose words are written by a function: simulated users, judges with known error rates, and tests."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from sharpen.actor.base import Actor, Request
from sharpen.errors import SharpenError
from sharpen.types import Batch, Problem, Scored, Segment, Sets, Trace, opening


class ScriptedActor(Actor):
    """Says `script(context text, random numbers of the request)`. One character is one atom; log-probs are 0, as of
    certainty.

    It cannot be trained or scored.
    """

    def __init__(self, script: Callable[[str, random.Random], str]) -> None:
        self.script = script
        self.module = nn.Module()
        self.rate = 0.0
        self.agreement = 0.0
        self.batches: list[int] = []

    def decode(self, tokens: Sequence[int]) -> str:
        """Characters."""
        return "".join(map(chr, tokens))

    def _segment(self, text: str, **facts: object) -> Segment:
        return Segment(torch.tensor([ord(c) for c in text], dtype=torch.long), text=text, **facts)  # type: ignore[arg-type]

    def prompt(self, problem: Problem) -> list[Segment]:
        """The prompt as it is, and the beginning of the answer where it gives one."""
        asked, begun = opening(problem.prompt)
        text = asked if isinstance(asked, str) else "\n".join(m["content"] for m in asked)
        return [self._segment(text), *([self._segment(begun, role="opening")] if begun else [])]

    def say(self, text: str, role: str = "user") -> Segment:
        """The text as it is."""
        return self._segment(text, role=role)

    def given(self, text: str) -> Segment:
        """The text as it is, trainable."""
        return self._segment(text, role="assistant", trainable=True)

    def sample(self, requests: Sequence[Request]) -> list[Segment]:
        """What the script says; `batches` remembers how many requests came together."""
        self.batches.append(len(requests))
        out = []
        for r in requests:
            text = self.script("".join(s.text or "" for s in r.context), random.Random(r.seed))
            s = self._segment(text, role="assistant", trainable=True, by=r.by, drawn=r.sampling)
            s.logp = torch.zeros(len(s))
            s.put("logp_old", 0.0)
            s.put("entropy", 0.0)
            out.append(s)
        return out

    def _no(self) -> SharpenError:
        return SharpenError("A scripted actor has no weights: it can be sampled, not trained or scored.")

    def size(self, trace: Trace) -> int:
        """Characters."""
        return sum(len(s) for s in trace.segments)

    def collate(
        self, traces: Sequence[Trace], groups: Tensor, columns: Sequence[str], sets: Sets | None = None
    ) -> Batch:
        """Refused."""
        raise self._no()

    def score(self, batch: Batch, wants: Sequence[str] = ()) -> Scored:
        """Refused."""
        raise self._no()

    def parameters(self) -> list[tuple[str, nn.Parameter]]:
        """None."""
        return []

    def weights(self) -> dict[str, Tensor]:
        """None."""
        return {}

    def load_weights(self, weights: dict[str, Tensor]) -> None:
        """Nothing to load."""

    def freeze(self, *, still: bool = True) -> ScriptedActor:
        """Itself: it never changes."""
        return self

    def export(self, folder: Path) -> None:
        """Refused."""
        raise self._no()
