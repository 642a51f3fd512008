"""What every sampling engine offers, whether it shares the trainer's weights or holds a copy of its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from sharpen.errors import SharpenError
from sharpen.types import Sampling


@dataclass(frozen=True)
class Prompt:
    """One sample to draw: what stands before it, how to draw, and the seed its random numbers come from.

    The number behind token `i` depends on `seed` and `i` alone, so a draw does not depend on what else is drawn with it
    (but for the rounding of matrix products, which may differ with the size of a batch). Samples of one prompt need
    different seeds.
    """

    tokens: tuple[int, ...]
    sampling: Sampling
    seed: int


@dataclass(eq=False)
class Draw:
    """One sample, on the CPU.

    `tokens int64[n]` include the end token if one was drawn. `logp float32[n]` is under the distribution drawn from:
    temperature, top-k, top-p, renormalised; 0 at temperature 0. `logp_full` and `entropy float32[n]` are of the whole
    softmax at that temperature (temperature 1 where it is 0): what a trainer computes; NaN where the engine does not
    know them. `end` is `stop` after an end token or a stop string, and `length` at a limit. `mismatch float32[n]`,
    where the trainer scored again what another engine drew, is the trainer's log-prob less that engine's.
    """

    tokens: Tensor
    logp: Tensor
    logp_full: Tensor
    entropy: Tensor
    end: Literal["stop", "length"]
    mismatch: Tensor | None = None


class Engine(ABC):
    """What draws samples from a language model.

    `exact`: it samples from the trainer's own parameters in the trainer's own arithmetic. Any other engine holds a
    copy of the weights; its samples are scored again by the trainer,
    and the log-probs of both may differ by `agreement` in the mean over the tokens of a call (in absolute value; more
    where these are few, see `sharpen.actor.engine.proof.same_policy`).
    """

    exact: bool = False
    agreement: float = 0.0

    @abstractmethod
    def generate(self, prompts: Sequence[Prompt]) -> list[Draw]:
        """One `Draw` for each prompt, in their order."""

    @abstractmethod
    def sync(self, weights: Mapping[str, Tensor]) -> dict[str, int]:
        """Take over these weights, by the names of the Hugging Face model, and forget all that old ones computed.

        Returns the fingerprint (`sharpen.actor.engine.proof`) of every weight as it is held after that, read back from
        where the engine computes with it; a weight that was not sent is there under the engine's own name.
        """

    def close(self) -> None:
        """Give back memory and processes."""
        return


class Lent(Engine):
    """The place of an engine that another thread draws on."""

    def generate(self, prompts: Sequence[Prompt]) -> list[Draw]:
        """Refuse."""
        raise SharpenError(
            "The policy was asked for samples while its engine draws those of later iterations (`--ahead`), by a stage "
            "that does not say it draws. Set `draws = True` in that part's class, or leave `--ahead` out."
        )

    def sync(self, weights: Mapping[str, Tensor]) -> dict[str, int]:
        """Refuse."""
        self.generate(())
        return {}


def room_of(prompt: Prompt, max_context: int, who: str = "local engine") -> int:
    """How many tokens a sample may have; SharpenError for settings that mean nothing or that no engine serves."""
    s, size = prompt.sampling, len(prompt.tokens)
    if size == 0:
        raise SharpenError(f"The {who} was given a prompt without tokens. Start prompts with at least one token.")
    if size >= max_context:
        raise SharpenError(
            f"A prompt has {size} tokens and the context limit is {max_context}, which leaves no room for a "
            "sample. Shorten the prompt or raise max_context, if the model allows it."
        )
    if s.support != "all":
        raise SharpenError(
            f"The {who} cannot restrict draws to the support {s.support!r}. Use Sampling(support='all')."
        )
    if s.temperature < 0 or not 0 < s.top_p <= 1 or s.top_k < 0 or s.max_tokens < 0 or "" in s.stop:
        raise SharpenError(
            f"The {who} cannot draw with {s}. It takes temperature >= 0, 0 < top_p <= 1, top_k >= 0, "
            "max_tokens >= 0 and stop strings of at least one character."
        )
    room = max_context - size
    return min(room, s.max_tokens) if s.max_tokens else room
