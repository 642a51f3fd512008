"""Plain data as JSON and named tensors, and back. Nothing is ever pickled.

JSON knows None, bool, int, str, finite floats, lists and dicts with string keys; these stand for themselves. Everything
else is an object with the key `$`, which says what it is:

    {"$": "float", "is": "nan"}                      nan, inf, -inf
    {"$": "int", "is": "0x..."}                      an integer of more than 64 bits
    {"$": "tuple" | "set" | "frozenset", "of": [..]} items (those of sets in the order of their JSON)
    {"$": "dict", "of": [[key, value], ...]}         other keys than strings, or one that is "$"
    {"$": "tensor", "is": NAME}                      a tensor by its name among the tensors
    {"$": "Segment", "id": 3, "fields": {...}}       one of the types of `TYPES`, numbered
    {"$": "same", "id": 3}                           that object again

Objects of `TYPES` and tensors that occur several times are one object again after decoding, so trees of traces that
share segments survive. Lists and dicts that occur several times are written out each time.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from sharpen.errors import SharpenError
from sharpen.types import Group, Problem, Sampling, Segment, Trace

TYPES: dict[str, type[Any]] = {t.__name__: t for t in (Problem, Sampling, Segment, Trace, Group)}
"""The dataclasses that may be kept, by the name that stands in the JSON."""

DTYPES = frozenset(
    {
        torch.float64,
        torch.float32,
        torch.float16,
        torch.bfloat16,
        torch.float8_e4m3fn,
        torch.float8_e5m2,
        torch.complex64,
    }
    | {
        torch.int64,
        torch.int32,
        torch.int16,
        torch.int8,
        torch.uint8,
        torch.uint16,
        torch.uint32,
        torch.uint64,
        torch.bool,
    }
)
"""Types of numbers that safetensors keeps."""


def encode(x: Any) -> tuple[Any, dict[str, Tensor]]:
    """`(tree, tensors)` of a value; `json.dumps(tree, allow_nan=False)` is valid JSON.

    Tensors are detached, dense, on the CPU, and named by where they were met first (`actors/policy/weight`); no two
    share memory, but one may share it with `x`. Device and `requires_grad` are not kept. Anything that is not plain
    raises SharpenError with its place and type.
    """
    encoder = _Encoder()
    return encoder.tree(x, ()), encoder.tensors


def decode(tree: Any, tensors: Mapping[str, Tensor]) -> Any:
    """What `encode` was given. A tree that `encode` cannot have made raises SharpenError."""
    return _Decoder(tensors).value(tree, ())


Path = tuple[str, ...]


def _place(path: Path) -> str:
    return "/".join(path) or "the value itself"


class _Encoder:
    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._ids: dict[int, int] = {}
        self._names: dict[Any, str] = {}
        self._storages: set[tuple[str, int]] = set()
        self._open: set[int] = set()
        self._alive: list[Any] = []  # an id means nothing once its object is gone

    def tree(self, x: Any, path: Path) -> Any:
        kind = type(x)
        if x is None or kind is bool or kind is str:
            return x
        if kind is int:
            return x if -(2**63) <= x < 2**64 else {"$": "int", "is": hex(x)}
        if kind is float:
            return x if math.isfinite(x) else {"$": "float", "is": repr(x)}
        if kind in (Tensor, torch.nn.Parameter):
            return {"$": "tensor", "is": self._tensor(x, path)}
        if kind in (set, frozenset):
            return {"$": kind.__name__, "of": sorted((self._key(y, path) for y in x), key=json.dumps)}
        if kind in (list, tuple, dict) or TYPES.get(kind.__name__) is kind:
            if id(x) in self._open:
                raise SharpenError(
                    f"{_place(path)} is a {kind.__name__} that holds itself, and such data cannot be kept. Break the "
                    "circle, for instance by holding a key instead of the object."
                )
            self._open.add(id(x))
            out = self._holder(x, path)
            self._open.remove(id(x))
            return out
        raise SharpenError(
            f"{_place(path)} is a {kind.__module__}.{kind.__qualname__}, which a checkpoint cannot hold. Keep None, "
            f"bool, int, float, str, list, tuple, dict, set, a tensor, or one of {', '.join(TYPES)} there."
        )

    def _holder(self, x: Any, path: Path) -> Any:
        kind = type(x)
        if kind is list:
            return [self.tree(y, (*path, str(i))) for i, y in enumerate(x)]
        if kind is tuple:
            return {"$": "tuple", "of": [self.tree(y, (*path, str(i))) for i, y in enumerate(x)]}
        if kind is dict:
            if all(type(k) is str for k in x) and "$" not in x:
                return {k: self.tree(v, (*path, k)) for k, v in x.items()}
            return {"$": "dict", "of": [[self._key(k, path), self.tree(v, (*path, str(k)))] for k, v in x.items()]}
        if id(x) in self._ids:
            return {"$": "same", "id": self._ids[id(x)]}
        number = self._ids[id(x)] = len(self._ids)
        self._alive.append(x)
        fields = {f.name: self.tree(getattr(x, f.name), (*path, f.name)) for f in dataclasses.fields(x)}
        return {"$": kind.__name__, "id": number, "fields": fields}

    def _key(self, x: Any, path: Path) -> Any:
        """A key or an item of a set: it must be plain all through, for it is compared by value."""
        todo = [x]
        for y in todo:
            if type(y) in (tuple, frozenset):
                todo += y
            elif y is not None and type(y) not in (bool, int, float, str):
                raise SharpenError(
                    f"A key or an item of a set at {_place(path)} holds a "
                    f"{type(y).__module__}.{type(y).__qualname__}, which a checkpoint cannot hold there. Use None, "
                    "bool, int, float, str, or tuples and frozensets of them."
                )
        return self.tree(x, path)

    def _tensor(self, x: Tensor, path: Path) -> str:
        if x.layout is not torch.strided or x.is_meta or x.is_quantized or x.dtype not in DTYPES:
            what = f"{x.dtype} tensor, layout {x.layout}, on {x.device}"
            raise SharpenError(
                f"{_place(path)} is a {what}, which a checkpoint cannot hold. Turn it into a dense tensor of numbers "
                "first."
            )
        x = x.detach().resolve_conj().resolve_neg()
        storage = (str(x.device), x.untyped_storage().data_ptr())
        key = (*storage, x.storage_offset(), x.shape, x.stride(), x.dtype) if x.numel() else object()
        if key in self._names:
            return self._names[key]
        flat = x.cpu().contiguous()
        # a view would drag its whole storage along, and safetensors refuses tensors that share one
        if x.numel() and (
            storage in self._storages or flat.untyped_storage().nbytes() != flat.numel() * flat.element_size()
        ):
            flat = flat.clone()
        self._storages.add(storage)
        self._alive.append(x)
        name = base = "/".join(path) or "value"
        again = 1
        while name in self.tensors or name == "__metadata__":
            name, again = f"{base}#{again}", again + 1
        self.tensors[name] = flat
        self._names[key] = name
        return name


class _Decoder:
    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self.tensors = tensors
        self.objects: dict[int, Any] = {}

    def value(self, tree: Any, path: Path) -> Any:
        if isinstance(tree, list):
            return [self.value(y, (*path, str(i))) for i, y in enumerate(tree)]
        if not isinstance(tree, dict):
            return tree
        if "$" not in tree:
            return {k: self.value(v, (*path, k)) for k, v in tree.items()}
        try:
            return self._tagged(tree, path)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise SharpenError(
                f"{_place(path)} is not data that sharpen wrote ({tree['$']!r}: {type(error).__name__} {error}). The "
                "file was changed, or written by another version: use the version that wrote it, or an older "
                "checkpoint."
            ) from error

    def _tagged(self, tree: dict[str, Any], path: Path) -> Any:
        tag = tree["$"]
        if tag == "float":
            return float(tree["is"])
        if tag == "int":
            return int(tree["is"], 16)
        if tag == "tensor":
            return self.tensors[tree["is"]]
        if tag in ("tuple", "set", "frozenset"):
            items = [self.value(y, (*path, str(i))) for i, y in enumerate(tree["of"])]
            return {"tuple": tuple, "set": set, "frozenset": frozenset}[tag](items)
        if tag == "dict":
            return {self.value(k, path): self.value(v, (*path, str(k))) for k, v in tree["of"]}
        if tag == "same":
            return self.objects[tree["id"]]
        cls = TYPES[tag]
        fields = {k: self.value(v, (*path, k)) for k, v in tree["fields"].items()}
        missing = {f.name for f in dataclasses.fields(cls)} - set(fields)
        if missing:
            raise ValueError(f"without {', '.join(sorted(missing))}")
        out = self.objects[tree["id"]] = cls(**fields)
        return out
