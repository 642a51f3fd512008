"""Changing one field of a recipe by name: `Sample.n=32`, `Loop.iterations=20`, `Term.1.weight=0`."""

from __future__ import annotations

import ast
import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from sharpen.core import Part, addresses
from sharpen.errors import SharpenError, near

R = TypeVar("R")


def override(recipe: R, changes: Sequence[str]) -> R:
    """The recipe with every `PART.FIELD=VALUE` applied, checked anew."""
    for change in changes:
        recipe = _one(recipe, change)
    return recipe


def _one(recipe: R, change: str) -> R:
    target, sign, text = change.partition("=")
    where, dot, name = target.strip().rpartition(".")
    if not sign or not dot:
        raise SharpenError(f"`--set {change}` is not of the form PART.FIELD=VALUE, like `--set Sample.n=32`.")
    parts = addresses(recipe)
    part = _find(parts, where, change)
    fields = {f.name: f for f in dataclasses.fields(part)}  # type: ignore[arg-type]
    if name not in fields:
        raise SharpenError(
            f"`--set {change}`: {where} has no field {name!r}. {near(name, fields)} `sharpen show` prints them with "
            "their values."
        )
    kind = typing.get_type_hints(type(part))[name]
    value = parse(text.strip(), kind, f"--set {change}")
    changed: R = _replaced(recipe, part, dataclasses.replace(part, **{name: value}))  # type: ignore[type-var]
    return changed


def _find(parts: Mapping[str, Part], where: str, change: str) -> Part:
    if where in parts:
        same = [n for n in parts if n.rpartition(".")[0] == where and n.rpartition(".")[2].isdigit()]
        if same:
            options = ", ".join(
                f"{n} is {_brief(parts[m])}" for n, m in [(f"{where}.0", where), *zip(same, same, strict=True)]
            )
            raise SharpenError(f"`--set {change}`: there are {len(same) + 1} parts of that kind. Name one: {options}.")
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


def _replaced(x: Any, old: Part, new: Part) -> Any:
    """`x` with the part `old` (the very object) replaced wherever it stands."""
    if x is old:
        return new
    if dataclasses.is_dataclass(x) and not isinstance(x, type):
        changed = {}
        for f in dataclasses.fields(x):
            before = getattr(x, f.name)
            after = _replaced(before, old, new)
            if after is not before:
                changed[f.name] = after
        return dataclasses.replace(x, **changed) if changed else x
    if isinstance(x, tuple):
        items = tuple(_replaced(y, old, new) for y in x)
        return items if any(a is not b for a, b in zip(items, x, strict=True)) else x
    return x


def parse(text: str, kind: Any, where: str) -> Any:
    """A value of the annotated type `kind` from text. `where` is what a refusal names."""
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        if text.lower() in ("none", "null") and type(None) in args:
            return None
        for option in args:
            if option is not type(None):
                return parse(text, option, where)
    if origin is Literal:
        if text in map(str, args):
            return next(a for a in args if str(a) == text)
        raise SharpenError(
            f"`{where}`: {text!r} is not one of {', '.join(map(str, args))}. {near(text, map(str, args))}"
        )
    if kind is bool:
        if text.lower() in ("true", "yes", "1", "false", "no", "0"):
            return text.lower() in ("true", "yes", "1")
        raise SharpenError(f"`{where}`: {text!r} is not true or false.")
    if kind is str:
        return text
    if kind in (int, float):
        try:
            return kind(float(text)) if kind is float or float(text).is_integer() else int(text)
        except (ValueError, OverflowError):
            noun = "a whole number" if kind is int else "a number"
            raise SharpenError(f"`{where}`: {text!r} is not {noun}.") from None
    if origin in (tuple, dict, Mapping) or getattr(origin, "__name__", "") == "Mapping":
        return _container(text, origin, args, where)
    raise SharpenError(
        f"`{where}`: a {_name(kind)} cannot be given on the command line. Make a recipe of your own with `replace`."
    )


def _container(text: str, origin: Any, args: tuple[Any, ...], where: str) -> Any:
    if origin is tuple:
        inner = text.strip("()")
        items = [i.strip().strip("'\"") for i in inner.split(",") if i.strip()]
        if len(args) == 2 and args[1] is Ellipsis:
            return tuple(parse(i, args[0], where) for i in items)
        if len(items) != len(args):
            raise SharpenError(f"`{where}`: {len(args)} values are wanted, separated by commas, not {len(items)}.")
        return tuple(parse(i, a, where) for i, a in zip(items, args, strict=True))
    pairs = {}
    try:
        read = (
            ast.literal_eval(text)
            if text.startswith("{")
            else dict(i.split(":", 1) for i in text.split(",") if i.strip())
        )
        for k, v in read.items():
            pairs[str(k).strip()] = parse(str(v).strip(), args[1], where)
    except (ValueError, SyntaxError, AttributeError):
        raise SharpenError(f"`{where}`: write pairs like `correct:1,format:0.1`.") from None
    return pairs


def _name(kind: Any) -> str:
    return getattr(kind, "__name__", str(kind))
