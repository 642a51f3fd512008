"""What a run was: its recipe as readable JSON that can be turned back into the recipe, its setup, versions, seed.

`describe` writes numbers, strings, None and tuples (as lists) as themselves, mappings with string keys as objects, and

    {"part": "sharpen.credit.peers.GroupNorm", "fields": {...every field...}}    a dataclass instance
    {"function": "sharpen.rows.solved"}                                          a function, by where it is defined
    {"part": ..., "id": 0, "fields": {...}} and later {"same": 0}                one part that stands in several places
    {"list": [...]}, {"mapping": [[key, value], ...]}, {"float": "inf"}          what JSON alone would mistake

`rebuild` is its inverse. It imports only from modules of sharpen, or from those it is told to trust. `compose` and
`difference` (from `sharpen.run.compose`) are the same for people.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.metadata
import inspect
import math
import platform
import subprocess
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import BuiltinFunctionType, FunctionType
from typing import Any

from sharpen.core import Part
from sharpen.errors import SharpenError
from sharpen.recipe import Method, Program, Recipe
from sharpen.run.compose import compose as compose
from sharpen.run.compose import difference as difference
from sharpen.types import Problem, Sampling

FORMAT = 1
"""Version of the manifest's layout."""

TAGS = ("part", "function", "same", "list", "mapping", "float")
"""Keys that make an object more than a mapping."""


def manifest(recipe: Method, setup: Any, seed: int, folder: Path | None = None) -> dict[str, Any]:
    """All that is known before the first iteration.

    Keys: `format`, `created` (UTC), `seed`, `recipe` and `setup` (`describe`), `versions` (python, platform, sharpen,
    torch, transformers; None where a package is not installed), `git` (commit of the working directory `folder` and
    whether it has changes; None outside a repository).
    """
    return {
        "format": FORMAT,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": seed,
        "recipe": describe(recipe),
        "setup": describe(setup),
        "versions": versions(),
        "git": git(folder or Path.cwd()),
    }


def versions() -> dict[str, str | None]:
    """What is installed here: python, platform, sharpen, torch, transformers; None where a package is not."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        **{name: _version(name) for name in ("sharpen", "torch", "transformers")},
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def git(folder: Path) -> dict[str, Any] | None:
    """`{"commit": ..., "changed": ...}` of the repository that a folder is in; None where there is none."""

    def ask(*words: str) -> str | None:
        try:
            out = subprocess.run(
                ["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=10, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return out.stdout.strip() if out.returncode == 0 else None

    commit = ask("rev-parse", "HEAD")
    return None if commit is None else {"commit": commit, "changed": bool(ask("status", "--porcelain", "-uno"))}


def describe(x: Any) -> Any:
    """A recipe, a part or a setup as JSON: every field of every dataclass, by qualified names.

    Lambdas, functions made inside functions, bound methods and other objects have no name that leads back to them and
    raise SharpenError.
    """
    seen = Counter(id(y) for y in _dataclasses(x))
    ids: dict[int, int] = {}

    def plain(x: Any, place: str) -> Any:
        if x is None or isinstance(x, (bool, int, str)):
            return x
        if isinstance(x, float):
            return x if math.isfinite(x) else {"float": repr(x)}
        if isinstance(x, (tuple, list)):
            items = [plain(y, f"{place}[{i}]") for i, y in enumerate(x)]
            return items if isinstance(x, tuple) else {"list": items}
        if isinstance(x, Mapping):
            if all(isinstance(k, str) for k in x) and not set(x) & set(TAGS):
                return {k: plain(v, f"{place}[{k!r}]") for k, v in x.items()}
            return {"mapping": [[plain(k, place), plain(v, f"{place}[{k!r}]")] for k, v in x.items()]}
        if dataclasses.is_dataclass(x) and not isinstance(x, type):
            if id(x) in ids:
                return {"same": ids[id(x)]}
            kind = type(x)
            head: dict[str, Any] = {"part": f"{kind.__module__}.{kind.__qualname__}"}
            if seen[id(x)] > 1:
                head["id"] = ids[id(x)] = len(ids)
            where = f"{place}.{kind.__name__}" if place else kind.__name__
            fields = {f.name: plain(getattr(x, f.name), f"{where}.{f.name}") for f in dataclasses.fields(x)}
            return {**head, "fields": fields}
        if isinstance(x, (FunctionType, BuiltinFunctionType)):
            return {"function": _name_of(x, place)}
        raise SharpenError(
            f"{place or 'The value'} is a {type(x).__module__}.{type(x).__qualname__}, which a manifest cannot name. "
            "Use plain values, parts, and functions defined at the top of a module."
        )

    return plain(x, "")


def _dataclasses(x: Any) -> Iterable[Any]:
    """Every dataclass instance inside a value, as often as it stands there (but looked into once)."""
    done: set[int] = set()
    todo = [x]
    while todo:
        y = todo.pop()
        if dataclasses.is_dataclass(y) and not isinstance(y, type):
            yield y
            if id(y) not in done:
                done.add(id(y))
                todo += [getattr(y, f.name) for f in dataclasses.fields(y)]
        elif isinstance(y, (tuple, list)):
            todo += y
        elif isinstance(y, Mapping):
            todo += y.values()


def _name_of(fn: Callable[..., Any], place: str) -> str:
    module = inspect.getmodule(fn)
    if module is None or getattr(module, fn.__qualname__, None) is not fn:
        raise SharpenError(
            f"{place or 'The value'} is the function {fn.__qualname__!r}, which cannot be found by its name. Define "
            "it with `def` at the top of a module, so that the manifest can say what it is."
        )
    return f"{module.__name__}.{fn.__qualname__}"


def rebuild(plain: Any, modules: Iterable[str] = (), classes: Iterable[type] = ()) -> Any:
    """What `describe` was given.

    Only dataclass parts, `Recipe`, `Program`, `Problem`, `Sampling` and `classes` are made, and only functions defined
    at the top of a module are looked up, in `sharpen.*` and `modules` (with what lies below them). Anything else, an
    unknown field and a missing one raise SharpenError.
    """
    trusted = ("sharpen", *modules)
    allowed = (Part, Recipe, Program, Problem, Sampling, *classes)
    objects: dict[int, Any] = {}

    def value(x: Any) -> Any:
        if isinstance(x, list):
            return tuple(value(y) for y in x)
        if not isinstance(x, dict):
            return x
        if "part" in x:
            out = _make(_find(x["part"], trusted), x, allowed, value)
            if "id" in x:
                objects[x["id"]] = out
            return out
        if "function" in x:
            fn = _find(x["function"], trusted)
            if not isinstance(fn, (FunctionType, BuiltinFunctionType)):
                raise SharpenError(f"The manifest calls {x['function']} a function, and it is none. {_MEND}")
            return fn
        if "same" in x:
            return objects[x["same"]]
        if "list" in x:
            return [value(y) for y in x["list"]]
        if "mapping" in x:
            return {value(k): value(v) for k, v in x["mapping"]}
        if "float" in x:
            return float(x["float"])
        return {k: value(v) for k, v in x.items()}

    try:
        return value(plain)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise SharpenError(f"The manifest cannot be read back ({type(error).__name__}: {error}). {_MEND}") from error


_MEND = "Use the version of sharpen that wrote it (see `versions` in the manifest), or give the recipe itself."


def _find(name: str, trusted: tuple[str, ...]) -> Any:
    module_name, _, attribute = name.rpartition(".")
    if not any(module_name == t or module_name.startswith(f"{t}.") for t in trusted):
        raise SharpenError(
            f"The manifest names {name}, and only modules of {' and '.join(trusted)} are imported for a manifest. If "
            f"you trust it, allow the module {module_name!r}; else give the recipe itself."
        )
    try:
        found = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise SharpenError(f"The manifest names {name}, which there is not in this installation. {_MEND}") from error
    # a module also holds what it imported; only what it defines was meant
    if getattr(found, "__module__", None) != module_name:
        raise SharpenError(f"The manifest names {name}, which that module does not define. {_MEND}")
    return found


def _make(cls: Any, x: dict[str, Any], allowed: tuple[type, ...], value: Callable[[Any], Any]) -> Any:
    if not isinstance(cls, type) or not issubclass(cls, allowed) or not dataclasses.is_dataclass(cls):
        raise SharpenError(f"The manifest calls {x['part']} a part, and it is none. {_MEND}")
    names = [f.name for f in dataclasses.fields(cls) if f.init]
    given = x["fields"]
    if set(names) != set(given):
        less, more = sorted(set(names) - set(given)), sorted(set(given) - set(names))
        wrong = [f"lacks {', '.join(less)}"] * bool(less) + [f"has {', '.join(more)}, unknown here"] * bool(more)
        raise SharpenError(f"The manifest's {x['part']} {' and '.join(wrong)}. {_MEND}")
    return cls(**{name: value(given[name]) for name in names})
