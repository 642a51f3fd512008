"""A scalar on every token: critics, outcome and process reward models, told apart by what they are trained to."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from sharpen.actor.base import Request
from sharpen.actor.text import TextActor
from sharpen.errors import SharpenError
from sharpen.types import Batch, Scored, Segment


class ValueActor(TextActor):
    """A language model's decoder with a linear head on its last hidden state, which starts at zero.

    With `spread` > 0 its weights start normally distributed, with that standard deviation, drawn from `gen`.

    It scores two extras on each trainable atom: `value`, of the prefix before the atom (a critic's baseline may not
    know the action), and `score`, of the prefix that ends with it (a reward model judges what was said).
    """

    def __init__(self, like: TextActor, spread: float = 0.0, gen: torch.Generator | None = None) -> None:
        module = copy.deepcopy(like.module["model"] if isinstance(like, ValueActor) else like.module)
        # adapters of the policy become part of its weights: a value model is trained whole
        decoder = (module.merge_and_unload() if hasattr(module, "merge_and_unload") else module).float()
        for p in decoder.parameters():
            p.requires_grad_(True)
        # the output embedding is never used here; tied to the input embedding it must stay, else it is let go
        if not getattr(decoder.config, "tie_word_embeddings", False):
            decoder.set_output_embeddings(nn.Identity())
        width = decoder.config.get_text_config().hidden_size
        super().__init__(decoder, like.tokenizer, **like.options() | {"adapter": True})
        self.module = nn.ModuleDict({"model": decoder, "head": nn.Linear(width, 1)})
        start = spread * torch.randn(1, width, generator=gen) if spread else torch.zeros(1, width)
        self.module["head"].weight.data.copy_(start)
        nn.init.zeros_(self.module["head"].bias)
        self.module.to(next(decoder.parameters()).device)
        self._kept = [n for n, p in self.module.named_parameters() if p.requires_grad]

    def around(self, module: Any) -> Self:
        """The same actor about a copy of its module."""
        twin = super().around(module)
        twin._plain = module["model"]
        return twin

    def sample(self, requests: Sequence[Request]) -> list[Segment]:
        """Refused: it has no words."""
        raise SharpenError("A value model cannot be sampled: it gives numbers. Name an actor that is a policy.")

    def score(self, batch: Batch, wants: Sequence[str] = ()) -> Scored:
        """The extras in `wants`, `value` and `score`, `float32[N]` each; its log-probs are 0, for it draws nothing."""
        unknown = set(wants) - {"value", "score"}
        if unknown:
            raise SharpenError(f"A value model cannot score {', '.join(sorted(unknown))}; it knows: value, score.")
        device = next(self.module.parameters()).device
        d = {k: v.to(device) for k, v in batch.data.items()}
        shifts, names = {"value": 0, "score": 1}, list(dict.fromkeys(wants)) or ["value"]
        with self._mode():
            states = self.states(d, [shifts[name] for name in names])
        said = self.module["head"](states.float()).squeeze(-1).cpu()
        extra = dict(zip(names, torch.chunk(said, len(names)), strict=True))
        return Scored(torch.zeros(len(batch)), extra)

    def freeze(self, *, still: bool = True) -> ValueActor:
        """An independent copy without gradient."""
        twin = ValueActor(self)
        twin.module.load_state_dict(self.module.state_dict())
        twin.module.requires_grad_(False)
        return twin

    def export(self, folder: Path) -> None:
        """A Hugging Face folder of the decoder, and the head beside it as head.safetensors."""
        self._plain.save_pretrained(folder, safe_serialization=True)
        self.tokenizer.save_pretrained(folder)
        head = {k: v.detach().cpu() for k, v in self.module["head"].state_dict().items()}
        save_file(head, folder / "head.safetensors")

    @classmethod
    def load(cls, folder: Path, like: TextActor) -> ValueActor:
        """An exported value model; `like` is a language model of the same architecture with the same tokenizer."""
        actor = cls(like)
        try:
            weights = {k: v for file in sorted(folder.glob("model*.safetensors")) for k, v in load_file(file).items()}
            head = load_file(folder / "head.safetensors")
            lacking = actor.module["model"].load_state_dict(weights, strict=False)
            # what is tied to the input embedding is not written twice
            wrong = [*lacking.unexpected_keys, *(k for k in lacking.missing_keys if not k.startswith("lm_head"))]
            if wrong:
                raise ValueError(f"{wrong[0]} stands in only one of the two")
            actor.module["head"].load_state_dict(head)
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            raise SharpenError(
                f"The value model in {folder} could not be loaded ({str(error).splitlines()[0]}). Give a folder that a "
                "run left under `actors`, together with the model of that run."
            ) from error
        return actor
