"""reasoning-gym behind one function. Runs in a worker process and imports nothing of sharpen.

The process runs with a fixed hash seed: a few data sets walk over sets, and would else give other problems each time.
"""

import dataclasses
import functools
import hashlib
import json
from typing import Any

from reasoning_gym.factory import CURRICULA, DATASETS, create_curriculum, create_dataset


def serve(op: str, arg: dict[str, Any]) -> Any:
    """Answer one question about data sets."""
    if op == "names":
        return {name: levels(name) for name in DATASETS}
    if op == "fields":
        return fields(**arg)
    return make(**arg) if op == "make" else score(**arg)


def levels(name: str) -> int:
    """How many levels the curriculum of a data set has; 0 without one."""
    if name not in CURRICULA:
        return 0
    return max(len(a.levels) for a in create_curriculum(name).attributes.values())


def fields(name: str) -> dict[str, Any]:
    """The fields of a data set's configuration, and their default values."""
    config = DATASETS[name][1]()
    return {f.name: _plain(getattr(config, f.name)) for f in dataclasses.fields(config)}


def make(name: str, config: dict[str, Any], level: int | None, index: int) -> Any:
    """Problem `index`; with index -1 the number of problems, which checks the configuration."""
    data = _dataset(name, json.dumps(config), level)
    if index < 0:
        return len(data)
    entry = data[index]
    return {"question": entry["question"], "answer": entry["answer"]}


def score(name: str, config: dict[str, Any], level: int | None, index: int, digest: str, answer: str) -> float:
    """The data set's own score of an answer to a problem.

    Raises `LookupError` when the problem cannot be made again.
    """
    data = _dataset(name, json.dumps(config), level)
    entry = _entry(name, json.dumps(config), level, index)
    if hashlib.sha256(entry["question"].encode()).hexdigest() != digest:
        raise LookupError(f"data set {name} did not make problem {index} again as it was")
    return float(data.score_answer(answer, entry))


@functools.lru_cache(maxsize=4)
def _dataset(name: str, config: str, level: int | None) -> Any:
    options = json.loads(config)
    if level is None:
        return create_dataset(name, **options)
    curriculum = create_curriculum(name)
    for key, attribute in curriculum.attributes.items():
        curriculum.set_attr_level(key, min(level, len(attribute.levels) - 1))
    made = curriculum.generate_configuration(options)
    values = {f.name: getattr(made, f.name) for f in dataclasses.fields(made)}
    # what the user set wins over the level
    return create_dataset(name, **{**values, **options})


@functools.lru_cache(maxsize=1024)
def _entry(name: str, config: str, level: int | None, index: int) -> dict[str, Any]:
    entry: dict[str, Any] = _dataset(name, config, level)[index]
    return entry


def _plain(value: Any) -> Any:
    try:
        return json.loads(json.dumps(value))
    except TypeError:
        return str(value)
