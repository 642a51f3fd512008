"""What an engine with a copy of a model must know of it besides its weights: a folder, and the arithmetic."""

from __future__ import annotations

import copy
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import torch

from sharpen.actor.precision import WIDE_ATTENTION, recomputes

if TYPE_CHECKING:
    from sharpen.actor.language import LanguageActor


@dataclass(frozen=True)
class Arithmetic:
    """How a trainer computes, in plain values.

    `dtype` is the type of matrix products; `autocast`: half precision is made of whole weights, as a model needs it
    that computes its activations anew in the backward pass; else its weights are rounded to `dtype`, each once.
    `attention` is the implementation that transformers is asked for. `ends` are the tokens that end a sample and
    `max_context` the limit of prompt and sample together. `remote`: the model's code came with it and not with
    transformers.
    """

    dtype: str
    autocast: bool
    attention: str
    ends: tuple[int, ...]
    max_context: int
    remote: bool = False

    @classmethod
    def of(cls, actor: LanguageActor) -> Arithmetic:
        """That of an actor."""
        dtype, attention = str(actor.compute).removeprefix("torch."), actor.plain.config._attn_implementation
        return cls(
            dtype=dtype,
            autocast=actor.compute != torch.float32 and recomputes(actor.module),
            attention="sdpa" if attention in (None, WIDE_ATTENTION) else attention,
            ends=tuple(actor.ends),
            max_context=actor.max_context,
            remote=type(actor.plain).__module__.startswith("transformers_modules."),
        )


def describe(actor: LanguageActor, folder: Path) -> None:
    """Write configuration and tokenizer of an actor's model, and no weights."""
    config = copy.deepcopy(actor.plain.config)
    config.architectures = [type(actor.plain).__name__]  # a model that was never saved does not say so itself
    config.save_pretrained(folder)
    actor.tokenizer.save_pretrained(folder)


def packed(actor: LanguageActor) -> bytes:
    """The folder that `describe` writes, as one zip archive."""
    said = io.BytesIO()
    with TemporaryDirectory(prefix="sharpen-model-") as folder, zipfile.ZipFile(said, "w") as archive:
        describe(actor, Path(folder))
        for path in sorted(p for p in Path(folder).rglob("*") if p.is_file()):
            archive.write(path, path.relative_to(folder))
    return said.getvalue()


def unpack(archive: bytes, folder: Path) -> None:
    """Write what was `packed` into a folder."""
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        opened.extractall(folder)
