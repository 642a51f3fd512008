"""Which files the weights of a model lie in: none of them may be a pickle, by whatever name it is led to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sharpen.errors import SharpenError

INDEX = "model.safetensors.index.json"
"""What tells in which files the tensors of a large model lie."""


def refuse_pickles(name: str, seen: frozenset[str] = frozenset()) -> None:
    """Raise SharpenError where a model's folder, or what a hub holds of it, leads to weights that are no safetensors.

    `use_safetensors=True` of transformers chooses the index or `model.safetensors`, and then loads what these name: a
    `.bin` that an index names, and `adapter_model.bin` where config.json asks for it, are unpickled. An adapter's base
    is looked at as well.
    """
    config = _json(name, "config.json")
    chosen = config.get("transformers_weights") or INDEX
    files = [chosen]
    if str(chosen).endswith(".json"):
        files = ["model.safetensors", *_mapping(_json(name, str(chosen)).get("weight_map")).values()]
    odd = [f for f in files if not (isinstance(f, str) and f.endswith(".safetensors"))]
    if odd:
        raise SharpenError(
            f"The weights of the model {name!r} are in {str(odd[0])!r:.200}, which is no safetensors file, and weights "
            "in pickle format are never loaded. Save the model with `save_pretrained`, which writes safetensors."
        )
    base = _json(name, "adapter_config.json").get("base_model_name_or_path")
    if isinstance(base, str) and base and base not in seen:
        refuse_pickles(base, seen | {name})


def _json(name: str, file: str) -> dict[str, Any]:
    """What a file of a model holds; nothing where there is none."""
    from transformers.utils import cached_file

    path = cached_file(
        name, file, _raise_exceptions_for_missing_entries=False, _raise_exceptions_for_connection_errors=False
    )
    return {} if path is None else _mapping(json.loads(Path(path).read_bytes()))


def _mapping(x: Any) -> dict[str, Any]:
    return x if isinstance(x, dict) else {}
