"""From what a user writes for a task to the task."""

from __future__ import annotations

import dataclasses
import inspect
import json
import sys
import types
from collections.abc import Mapping
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from sharpen import userfile
from sharpen.errors import SharpenError, near
from sharpen.task import builtin
from sharpen.task.base import Task
from sharpen.task.files import SUFFIXES, Files
from sharpen.task.gym import Gym, gym_fields
from sharpen.task.hf import HF

ADAPTERS = {
    "gym:NAME": "a data set of reasoning-gym, judged by its own score_answer",
    "FILE.jsonl, FILE.parquet": "problems of your own: a prompt and an answer a row",
    "hf:ID_OR_PATH": "a Hugging Face data set in the format of GSM8K or MATH",
    "FILE.py:CLASS": "a task of your own, written in Python",
}
"""Tasks made from something outside, by how they are named."""


def task_of(spec: str, **options: Any) -> Task:
    """The task that `spec` names, with options as fields of its class.

        NAME            a built-in task
        gym:NAME        a data set of reasoning-gym; options of its own configuration are taken too
        hf:ID_OR_PATH   a Hugging Face data set in the format of GSM8K or MATH
        FILE            a `.jsonl` or `.parquet` file
        FILE.py:CLASS   a subclass of `Task`; its fields, if it is a dataclass, are its options

    An option that is a string is read as the type of its field (`"3"`, `"true"`, `"tag,boxed"`, `"none"`). Raises
    `SharpenError` for an unknown task or option, with the near names, and for a value of the wrong type.
    """
    kind, colon, rest = spec.partition(":")
    if colon and kind == "gym":
        return _gym(rest, options)
    if colon and kind == "hf":
        if not rest:
            raise SharpenError("The task 'hf:' names no data set. Write hf:ID_OR_PATH, for example hf:openai/gsm8k.")
        return HF(rest, **_typed_fields(HF, spec, options, {"path"}))
    if userfile.is_named(spec):
        return _own(spec, options)
    if spec.lower().endswith(SUFFIXES):
        return Files(spec, **_typed_fields(Files, spec, options, {"path"}))
    known = builtin()
    if spec not in known:
        raise SharpenError(
            f"There is no task {spec!r}. {near(spec, known)} Or give gym:NAME, hf:ID_OR_PATH, FILE.py:CLASS, or a file "
            f"that ends in {', '.join(SUFFIXES)}."
        )
    return known[spec](**_typed_fields(known[spec], spec, options, set()))


def _own(spec: str, options: Mapping[str, Any]) -> Task:
    found = userfile.find(spec, Task, "task")
    if isinstance(found, Task):
        raise SharpenError(f"{spec} is a task made already, which takes no options. Name its class.")
    made = found(**_typed_fields(found, spec, options, set()))
    assert isinstance(made, Task)
    return made


def _gym(name: str, options: Mapping[str, Any]) -> Task:
    own = {f.name for f in dataclasses.fields(Gym)} - {"dataset", "config"}
    config = dict(options.get("config", {}))
    mine = {k: v for k, v in options.items() if k in own}
    theirs = {k: v for k, v in options.items() if k not in own and k != "config"}
    if theirs:
        fields = gym_fields(name)
        for key, value in theirs.items():
            if key not in fields:
                raise SharpenError(f"Task gym:{name} has no option {key!r}. {near(key, (own | set(fields)))}")
            config[key] = _like(value, fields[key], f"gym:{name}", key)
    task = Gym(name, config, **_typed_fields(Gym, f"gym:{name}", mine, {"dataset", "config"}))
    _ = task.levels  # name, level and configuration are checked now
    return task


def _like(value: Any, default: Any, task: str, key: str) -> Any:
    """A string as a value of the kind of a default."""
    if not isinstance(value, str) or isinstance(default, str):
        return value
    if default is None or isinstance(default, (list, dict)):
        try:
            return json.loads(value)
        except json.JSONDecodeError:
            if default is None:
                return value
            raise _wrong(task, key, value, f"JSON such as {json.dumps(default)}") from None
    return _typed(value, type(default), task, key)


def _typed_fields(cls: type, task: str, options: Mapping[str, Any], taken: set[str]) -> dict[str, Any]:
    names = {f.name for f in dataclasses.fields(cls) if f.init} - taken if dataclasses.is_dataclass(cls) else set()
    out = {}
    for key, value in options.items():
        if key not in names:
            raise SharpenError(f"Task {task} has no option {key!r}. {near(key, names)}")
        out[key] = _typed(value, _hint(cls, key), task, key)
    return out


def _hint(cls: type, key: str) -> Any:
    """The type of one field. (Hints of the whole class would need every annotation of every base to be evaluable.)"""
    owner = next(c for c in cls.__mro__ if key in inspect.get_annotations(c))
    here = types.SimpleNamespace(**{key: None})
    here.__annotations__ = {key: inspect.get_annotations(owner)[key]}
    return get_type_hints(here, vars(sys.modules[owner.__module__]))[key]


def _typed(value: Any, kind: Any, task: str, key: str) -> Any:
    """A value as the type of its field. Raises `SharpenError`."""
    origin = get_origin(kind)
    if origin is Literal:
        if value in get_args(kind):
            return value
        raise SharpenError(f"Task {task} has no {key}={value!r}. {near(str(value), map(str, get_args(kind)))}")
    if origin in (Union, types.UnionType):
        rest = [k for k in get_args(kind) if k is not type(None)]
        if value is None or (isinstance(value, str) and value.lower() == "none" and len(rest) < len(get_args(kind))):
            return None
        return _typed(value, rest[0], task, key) if len(rest) == 1 else value
    if origin is tuple:
        inner = get_args(kind)[0]
        parts = [p.strip() for p in value.split(",") if p.strip()] if isinstance(value, str) else value
        if not isinstance(parts, (list, tuple)):
            raise _wrong(task, key, value, "a list, with commas between")
        return tuple(_typed(p, inner, task, key) for p in parts)
    if kind is bool:
        words = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.lower() in words:
            return words[value.lower()]
        raise _wrong(task, key, value, "true or false")
    if kind in (int, float):
        if isinstance(value, (int, str) if kind is int else (int, float, str)) and not isinstance(value, bool):
            try:
                return kind(value)
            except ValueError:
                pass
        raise _wrong(task, key, value, "a whole number" if kind is int else "a number")
    if kind is str and not isinstance(value, str):
        raise _wrong(task, key, value, "text")
    return value


def _wrong(task: str, key: str, value: Any, wanted: str) -> SharpenError:
    return SharpenError(f"Task {task}: the option {key}={value!r} must be {wanted}. Give another value.")
