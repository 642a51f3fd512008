"""Changing fields of a recipe by name: `Sample.n=32`, `Loop.iterations=20`, `Term.kl.weight=0`."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import sys
import types
import typing
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from sharpen.core import Part, addresses
from sharpen.errors import SharpenError, near

R = TypeVar("R")

WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
"""How a truth value is written."""


def override(recipe: R, changes: Sequence[str]) -> R:
    """The recipe with every `PART.FIELD=VALUE` applied at once, and checked anew as a whole.

    A part is named by its class where there is one of the kind, else by `CLASS.0`, `CLASS.1`, ... in the order they
    stand in, or by `CLASS.LABEL` where it has a label (`Term.kl`). Of two changes to one field the later counts.
    """
    parts = addresses(recipe)
    wanted: dict[int, dict[str, Any]] = {}
    for change in changes:
        part, name, value = _read(parts, change)
        wanted.setdefault(id(part), {})[name] = value
    changed: R = _changed(recipe, wanted, {})
    return changed


def options(recipe: Any) -> dict[str, Any]:
    """Every `PART.FIELD` that `override` takes for this recipe with its value, ambiguous names left out."""
    out: dict[str, Any] = {}
    parts = addresses(recipe)
    kinds = [name.partition(".")[0] for name in parts]
    for name, part in parts.items():
        stem, _, number = name.partition(".")
        names = [name] if kinds.count(stem) == 1 else [f"{stem}.{number or 0}"]
        label = getattr(part, "label", None)
        if label and [getattr(p, "label", None) for n, p in parts.items() if n.split(".")[0] == stem].count(label) == 1:
            names.append(f"{stem}.{label}")
        out |= {f"{n}.{name}": getattr(part, name) for n in names for name in _fields(part)}
    return out


def _read(parts: Mapping[str, Part], change: str) -> tuple[Part, str, Any]:
    """The part that a change is for, the field, and its new value."""
    target, sign, text = change.partition("=")
    where, dot, name = target.strip().rpartition(".")
    if not sign or not dot:
        having = [f"{n}.{name}" for n, p in parts.items() if name in _fields(p)]
        more = f" Did you mean {' or '.join(having[:3])}?" if sign and having else ""
        raise SharpenError(f"`--set {change}` is not of the form PART.FIELD=VALUE, like `--set Sample.n=32`.{more}")
    part = _find(parts, where, change)
    fields = _fields(part)
    if name not in fields:
        raise SharpenError(
            f"`--set {change}`: {where} has no field {name!r}. {near(name, fields)} `sharpen show` prints them with "
            "their values."
        )
    kind = hint(type(part), name)
    # a text is taken as it is: a separator may be a line feed
    return part, name, parse(text if kind is str else text.strip(), kind, f"`--set {change}`")


def _fields(part: Part) -> list[str]:
    return [f.name for f in dataclasses.fields(part)]  # type: ignore[arg-type]


def _find(parts: Mapping[str, Part], where: str, change: str) -> Part:
    if where in parts:
        same = [n for n in parts if n.rpartition(".")[0] == where and n.rpartition(".")[2].isdigit()]
        if same:
            listed = ", ".join(
                f"{n} is {_brief(parts[m])}" for n, m in [(f"{where}.0", where), *zip(same, same, strict=True)]
            )
            raise SharpenError(f"`--set {change}`: there are {len(same) + 1} parts of that kind. Name one: {listed}.")
        return parts[where]
    stem, _, which = where.rpartition(".")
    if which == "0" and stem in parts:
        return parts[stem]
    labelled = [p for n, p in parts.items() if n.split(".")[0] == stem and getattr(p, "label", None) == which]
    if len(labelled) == 1:
        return labelled[0]
    raise SharpenError(f"`--set {change}`: the recipe has no part {where!r}. {near(where, parts)}")


def _brief(part: Part) -> str:
    """A part in a few words, enough to tell it from others of its kind."""
    inner, shown = [], []
    for f in dataclasses.fields(part):  # type: ignore[arg-type]
        value = getattr(part, f.name)
        if isinstance(value, Part):
            inner.append(type(value).__name__)
        elif isinstance(value, (int, float, str)) and value != f.default:
            shown.append(f"{f.name}={value!r}")
    return f"{type(part).__name__}({', '.join([*inner, *shown][:3])})"


def _changed(x: Any, wanted: Mapping[int, Mapping[str, Any]], done: dict[int, Any]) -> Any:
    """`x` with new values in the fields of some parts, by identity; a part that stands in two places stays one."""
    if id(x) in done:
        return done[id(x)]
    out = x
    if dataclasses.is_dataclass(x) and not isinstance(x, type):
        new: dict[str, Any] = dict(wanted.get(id(x), {}))
        for f in dataclasses.fields(x):
            before = getattr(x, f.name)
            if f.name not in new and (after := _changed(before, wanted, done)) is not before:
                new[f.name] = after
        if new:
            out = dataclasses.replace(x, **new)
        done[id(x)] = out
    elif isinstance(x, tuple):
        items = tuple(_changed(y, wanted, done) for y in x)
        if any(a is not b for a, b in zip(items, x, strict=True)):
            out = items
    return out


def typed_fields(cls: type, values: Mapping[str, Any], where: str, taken: Iterable[str] = ()) -> dict[str, Any]:
    """Values for fields of a dataclass, each as the type of its field (`parse`).

    `where` names the owner in refusals (`Task chain`). Fields in `taken` are set by other means. Raises SharpenError
    for an unknown name, with the near ones, and for a value of the wrong type.
    """
    own = dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ()
    names = {f.name for f in own if f.init} - set(taken)
    for name in values:
        if name not in names:
            raise SharpenError(f"{where} has no option {name!r}. {near(name, names)}")
    return {name: parse(value, hint(cls, name), f"{where}: {name}") for name, value in values.items()}


def hint(cls: type, name: str) -> Any:
    """The type of one field. (Hints of the whole class would need every annotation of every base to be evaluable.)"""
    owner = next(c for c in cls.__mro__ if name in inspect.get_annotations(c))
    here = types.SimpleNamespace(**{name: None})
    here.__annotations__ = {name: inspect.get_annotations(owner)[name]}
    try:
        return typing.get_type_hints(here, vars(sys.modules[owner.__module__]))[name]
    except NameError:  # a name imported for type checkers only: nothing one could write on a command line
        return object


def parse(value: Any, kind: Any, where: str) -> Any:
    """A value of the annotated type `kind`: texts are read, other values checked.

    Texts are those of the command line: `3`, `1e-6`, `true`, `none`, `a,b` for a tuple, `correct:1,format:0.1` for a
    mapping. `where` is what a refusal begins with. Raises SharpenError.
    """
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _either(value, args, where)
    if origin is Literal:
        for arg in args:
            if value == arg or value == str(arg):
                return arg
        raise _wrong(where, value, f"one of {', '.join(map(str, args))}", f" {near(str(value), map(str, args))}")
    if kind is bool:
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.lower() in WORDS:
            return WORDS[value.lower()]
        raise _wrong(where, value, "true or false")
    if kind in (int, float):
        return _number(value, kind, where)
    if kind is str:
        if isinstance(value, str):
            return value
        raise _wrong(where, value, "text")
    if origin is tuple:
        return _items(value, args, where)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _pairs(value, args, where)
    if isinstance(value, str):
        name = getattr(kind, "__name__", str(kind))
        raise SharpenError(
            f"{where}: a {name} cannot be given as text. Make a recipe of your own with `dataclasses.replace` and give "
            "it as FILE.py:NAME."
        )
    return value


def _wrong(where: str, value: Any, wanted: str, more: str = "") -> SharpenError:
    return SharpenError(f"{where}: {value!r} is not {wanted}.{more or ' Give another value.'}")


def _either(value: Any, kinds: Sequence[Any], where: str) -> Any:
    """The first of several types that takes the value."""
    empty = type(None) in kinds
    if empty and (value is None or (isinstance(value, str) and value.lower() in ("none", "null"))):
        return None
    first: SharpenError | None = None
    for kind in kinds:
        if kind is not type(None):
            try:
                return parse(value, kind, where)
            except SharpenError as error:
                first = first or error
    assert first is not None
    raise first


def _number(value: Any, kind: type, where: str) -> int | float:
    whole = kind is int
    wrong = _wrong(where, value, "a whole number" if whole else "a number")
    if isinstance(value, bool) or not isinstance(value, (int, str) if whole else (int, float, str)):
        raise wrong
    try:
        if not isinstance(value, str):
            return int(value) if whole else float(value)
        if not whole:
            return float(value)
        try:
            return int(value)
        except ValueError:  # 1e3 is a whole number as well
            return int(value) if not float(value).is_integer() else int(float(value))
    except (ValueError, OverflowError):
        raise wrong from None


def _items(value: Any, args: tuple[Any, ...], where: str) -> tuple[Any, ...]:
    if isinstance(value, str):
        inner = value.strip().removeprefix("(").removesuffix(")")
        value = [i.strip().strip("'\"") for i in inner.split(",") if i.strip()]
    if not isinstance(value, (list, tuple)):
        raise _wrong(where, value, "a list, with commas between")
    if len(args) == 2 and args[1] is Ellipsis:
        return tuple(parse(i, args[0], where) for i in value)
    if len(value) != len(args):
        raise SharpenError(f"{where}: {len(args)} values are wanted, separated by commas, not {len(value)}.")
    return tuple(parse(i, a, where) for i, a in zip(value, args, strict=True))


def _pairs(value: Any, args: tuple[Any, ...], where: str) -> dict[str, Any]:
    read = value
    if isinstance(value, str):
        try:
            items = [i.split(":", 1) for i in value.split(",") if i.strip()]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what Python thinks of an odd backslash is not the user's concern
                read = ast.literal_eval(value) if value.startswith("{") else dict(items)
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):  # all that literal_eval may raise
            read = None
    if not isinstance(read, Mapping):
        raise SharpenError(f"{where}: {value!r} is not a list of pairs. Write them like `correct:1,format:0.1`.")
    kind = args[1] if len(args) == 2 else object
    return {str(k).strip(): parse(v.strip() if isinstance(v, str) else v, kind, where) for k, v in read.items()}
