"""From what a user writes for a task to the task."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sharpen import userfile
from sharpen.errors import SharpenError, near
from sharpen.overrides import parse, typed_fields
from sharpen.task import builtin
from sharpen.task.base import Task
from sharpen.task.confident import Confident
from sharpen.task.files import SUFFIXES, Files, columns
from sharpen.task.gym import Gym, gym_fields
from sharpen.task.hf import HF
from sharpen.task.preferences import Preferences, is_preferences

ADAPTERS = {
    "gym:NAME": "a data set of reasoning-gym, judged by its own score_answer",
    "FILE.jsonl, FILE.parquet": "problems of your own: a prompt and an answer a row, or a prompt, a chosen and a "
    "rejected reply",
    "hf:ID_OR_PATH": "a Hugging Face data set in the format of GSM8K or MATH",
    "FILE.py:CLASS": "a task of your own, written in Python",
    "confident:TASK": "any text task, with a confidence stated after the answer (a last line ?0 to ?9)",
}
"""Tasks made from something outside, by how they are named."""


def task_of(spec: str, **options: Any) -> Task:
    """The task that `spec` names, with options as fields of its class.

        NAME            a built-in task
        gym:NAME        a data set of reasoning-gym; options of its own configuration are taken too
        hf:ID_OR_PATH   a Hugging Face data set in the format of GSM8K or MATH
        FILE            a `.jsonl` or `.parquet` file, of answers or (with `chosen` and `rejected`) of preferences
        FILE.py:CLASS   a subclass of `Task`; its fields, if it is a dataclass, are its options
        confident:TASK  any of these that is answered by a text, with a stated confidence; options are the task's

    An option that is a string is read as the type of its field (`"3"`, `"true"`, `"tag,boxed"`, `"none"`). Raises
    `SharpenError` for an unknown task or option, with the near names, and for a value of the wrong type.
    """
    kind, colon, rest = spec.partition(":")
    if colon and kind == "confident":
        if not rest:
            raise SharpenError(
                "The task 'confident:' names no task. Write confident:TASK, for example confident:chain."
            )
        return Confident(task_of(rest, **options))
    if colon and kind == "gym":
        return _gym(rest, options)
    if colon and kind == "hf":
        if not rest:
            raise SharpenError("The task 'hf:' names no data set. Write hf:ID_OR_PATH, for example hf:openai/gsm8k.")
        return HF(rest, **typed_fields(HF, options, f"Task {spec}", {"path"}))
    if userfile.is_meant(spec):
        return _own(spec, options)
    if spec.lower().endswith(SUFFIXES):
        if {"chosen", "rejected"} & set(options) or (Path(spec).is_file() and is_preferences(columns(spec))):
            return Preferences(spec, **typed_fields(Preferences, options, f"Task {spec}", {"path"}))
        return Files(spec, **typed_fields(Files, options, f"Task {spec}", {"path"}))
    known = builtin()
    if spec not in known:
        raise SharpenError(
            f"There is no task {spec!r}. {near(spec, known)} Or give gym:NAME, hf:ID_OR_PATH, FILE.py:CLASS, or a file "
            f"that ends in {', '.join(SUFFIXES)}."
        )
    return known[spec](**typed_fields(known[spec], options, f"Task {spec}"))


def _own(spec: str, options: Mapping[str, Any]) -> Task:
    found = userfile.find(spec, Task, "task")
    if isinstance(found, Task):
        raise SharpenError(f"{spec} is a task made already, which takes no options. Name its class.")
    made = found(**typed_fields(found, options, f"Task {spec}"))
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
    task = Gym(name, config, **typed_fields(Gym, mine, f"Task gym:{name}", {"dataset", "config"}))
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
            raise SharpenError(
                f"Task {task}: {key}: {value!r} is not JSON such as {json.dumps(default)}. Give another value."
            ) from None
    return parse(value, type(default), f"Task {task}: {key}")
