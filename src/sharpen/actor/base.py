"""What every actor can do, whatever its atoms are: tokens or latents."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from sharpen.errors import SharpenError
from sharpen.parallel.world import ALONE, World
from sharpen.types import Batch, Problem, Sampling, Scored, Segment, Sets, Trace


@dataclass(frozen=True)
class Request:
    """Draw one segment after a context. Equal requests with equal seeds give equal segments."""

    context: tuple[Segment, ...]
    sampling: Sampling
    seed: int
    by: str


class Actor(ABC):
    """A policy, a reference, a judge, a critic. It alone knows how its traces are laid out as tensors."""

    module: Any
    """The torch module."""
    rate: float
    """The learning rate that suits this model, which recipes scale."""
    agreement: float
    """How far the log-probs of rollout and training may differ, in the mean over atoms."""
    max_context: int = 0
    """The most atoms of a trace, prompt and answer together (0: no limit)."""
    max_tokens: int = 0
    """The most atoms of one drawn segment where nobody asks for another number (0: what the context leaves)."""
    rescores: bool = False
    """Whether every sample is scored once more by the trainer, as those of an engine of its own are."""
    world: World = ALONE
    """The processes that share this actor's work."""

    @abstractmethod
    def decode(self, tokens: Sequence[int]) -> str:
        """The text of some atoms, without special ones."""

    @abstractmethod
    def prompt(self, problem: Problem) -> list[Segment]:
        """The context a problem starts with; the beginning of its answer, where its prompt gives one, comes last."""

    def start(self, rng: random.Random) -> list[Segment]:
        """What a draw begins with besides the prompt: nothing, or the starting noise of a denoising chain."""
        return []

    @abstractmethod
    def say(self, text: str, role: str = "user") -> Segment:
        """Given text as a segment that follows what the actor drew: an observation, a tool's reply, a critique."""

    @abstractmethod
    def given(self, text: str) -> Segment:
        """Text as if the actor had drawn it, complete with its end: a demonstration."""

    def spare(self, name: str = "") -> Segment:
        """One trainable atom that nothing else ever holds, which a loss may give a meaning of its own."""
        raise SharpenError(
            f"A {type(self).__name__} has no atom to spare, and this recipe trains one. Use a language model."
        )

    @abstractmethod
    def sample(self, requests: Sequence[Request]) -> list[Segment]:
        """One segment a request, in order."""

    @abstractmethod
    def collate(
        self, traces: Sequence[Trace], groups: Tensor, columns: Sequence[str], sets: Sets | None = None
    ) -> Batch:
        """Lay traces out; `groups` is `int64[len(traces)]`. A column that a segment lacks is NaN there."""

    @property
    def longest(self) -> int:
        """The most atoms one drawn segment may have."""
        return 1

    @abstractmethod
    def size(self, trace: Trace) -> int:
        """How many atoms wide a trace is once laid out, context included: what micro-batches are packed by."""

    @abstractmethod
    def score(self, batch: Batch, wants: Sequence[str] = ()) -> Scored:
        """Log-prob of every trainable atom under its sampling temperature, and the extras in `wants`."""

    @abstractmethod
    def parameters(self) -> list[tuple[str, nn.Parameter]]:
        """The named parameters that may be trained."""

    @abstractmethod
    def weights(self) -> dict[str, Tensor]:
        """What a checkpoint must hold of this actor, by name (references, not copies)."""

    @abstractmethod
    def load_weights(self, weights: dict[str, Tensor]) -> None:
        """Take over what `weights` gave once."""

    def changed(self) -> None:
        """To be called by whoever has written this actor's weights: what is a copy of them is out of date."""
        return

    def close(self) -> None:
        """Give back what other processes or devices hold for this actor."""
        return

    def undivided(self, exact: bool = True) -> Actor:
        """The actor as this process alone would have it, to be copied from; not `exact`: only to be computed with."""
        return self

    @abstractmethod
    def freeze(self, *, still: bool = True) -> Actor:
        """A copy that takes no gradient. One that stays `still` for good may share what will not change."""

    def twin(self) -> Actor:
        """A copy that is trained on its own."""
        raise SharpenError(
            f"A {type(self).__name__} cannot be copied to be trained on its own, as this recipe asks. Use a language "
            "model."
        )

    @abstractmethod
    def export(self, folder: Any) -> None:
        """Write the model in the format of its ecosystem."""
