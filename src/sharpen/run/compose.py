"""A recipe as text to read, and what makes one recipe differ from another."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from difflib import SequenceMatcher
from typing import Any

from sharpen.core import addresses
from sharpen.recipe import Method, recipes_of

WIDTH = 100
"""Longest line that is not broken up."""

CITATIONS = ("name", "about", "source_of", "family", "parent", "origins")
"""Fields of a recipe that say where it comes from, not what it does."""


def compose(recipe: Any, defaults: bool = False) -> str:
    """The text of a recipe (or of any part): the Python expression that makes it, one stage a line.

    Only fields that differ from the default of their class are shown, all of them with `defaults`. Functions stand by
    their name.
    """
    return "\n".join(_layout(recipe, "", "", defaults, WIDTH))


def _layout(x: Any, head: str, tail: str, defaults: bool, width: int) -> list[str]:
    """The lines of `head` + x + `tail`, not indented, `width` long where that can be."""
    line = head + _inline(x, defaults) + tail
    if len(line) <= width and not _stacked(x):
        return [line]
    if isinstance(x, (tuple, list)):
        items = [_layout(y, "", ",", defaults, width - 4) for y in x]
        brackets = "[]" if isinstance(x, list) else "()"
    elif isinstance(x, Mapping):
        items = [_layout(v, f"{_inline(k, defaults)}: ", ",", defaults, width - 4) for k, v in x.items()]
        brackets = "{}"
    elif dataclasses.is_dataclass(x) and (shown := _shown(x, defaults)):
        items = [_layout(getattr(x, n), f"{n}=", ",", defaults, width - 4) for n in shown]
        head, brackets = f"{head}{type(x).__name__}", "()"
    else:
        return [line]
    return [head + brackets[0], *("    " + y for item in items for y in item), brackets[1] + tail]


def _stacked(x: Any) -> bool:
    """Whether a value holds a sequence of parts, which stand one a line however short."""
    if isinstance(x, (tuple, list)):
        return any(_is_part(y) or _stacked(y) for y in x) and not (len(x) == 2 and isinstance(x[0], str))
    return _is_part(x) and any(_stacked(getattr(x, f.name)) for f in dataclasses.fields(x))


def _is_part(x: Any) -> bool:
    return dataclasses.is_dataclass(x) and not isinstance(x, type)


def _shown(x: Any, defaults: bool) -> list[str]:
    return [f.name for f in dataclasses.fields(x) if defaults or not _is_default(f, getattr(x, f.name))]


def _is_default(field: dataclasses.Field[Any], value: Any) -> bool:
    if field.default is not dataclasses.MISSING:
        default = field.default
    elif field.default_factory is not dataclasses.MISSING:
        default = field.default_factory()
    else:
        return False
    return type(default) is type(value) and bool(default == value)


def _inline(x: Any, defaults: bool = False) -> str:
    if _is_part(x):
        inside = ", ".join(f"{n}={_inline(getattr(x, n), defaults)}" for n in _shown(x, defaults))
        return f"{type(x).__name__}({inside})"
    if isinstance(x, tuple):
        return f"({', '.join(_inline(y, defaults) for y in x)}{',' * (len(x) == 1)})"
    if isinstance(x, list):
        return f"[{', '.join(_inline(y, defaults) for y in x)}]"
    if isinstance(x, Mapping):
        return f"{{{', '.join(f'{_inline(k, defaults)}: {_inline(v, defaults)}' for k, v in x.items())}}}"
    if callable(x):
        return str(getattr(x, "__name__", repr(x)))
    return repr(x)


def difference(parent: Method, child: Method) -> list[str]:
    """What was done to `parent` to make `child`, one change a line; empty where they do the same.

    `PPOClip.high: 0.2 -> 0.28` names a field as `--set` does (in the child). Parts that were added, removed or
    replaced, and stages that were moved into a combinator (`Refill`, `When`) or out of one, are told with the place
    they stand in.
    """
    if type(parent) is not type(child):
        return [f"recipes: {' then '.join(r.name for r in recipes_of(child))}"]
    names = {id(part): name for name, part in addresses(child).items()}
    out: list[str] = []
    for f in dataclasses.fields(type(parent)):
        if f.name not in CITATIONS:
            _compare(getattr(parent, f.name), getattr(child, f.name), f.name, names, out)
    return out


def _compare(old: Any, new: Any, place: str, names: dict[int, str], out: list[str]) -> None:
    if _is_part(old) and type(old) is type(new):
        for f in dataclasses.fields(new):
            where = names.get(id(new), f"{place} {type(new).__name__}")
            _compare(getattr(old, f.name), getattr(new, f.name), f"{where}.{f.name}", names, out)
    elif isinstance(old, tuple) and isinstance(new, tuple) and any(map(_is_part, _parts(old) + _parts(new))):
        _sequences(list(old), list(new), place, names, out)
    elif isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in dict.fromkeys([*old, *new]):
            if key not in new:
                out.append(f"{place}: removed {key!r} ({_inline(old[key])})")
            elif key not in old:
                out.append(f"{place}: added {key!r} ({_inline(new[key])})")
            else:
                _compare(old[key], new[key], f"{place}[{key!r}]", names, out)
    elif type(old) is not type(new) or old != new:
        arrow = "replaced" if _is_part(old) or _is_part(new) else ""
        out.append(
            f"{place}: {arrow} {_inline(old)} by {_inline(new)}"
            if arrow
            else f"{place}: {_inline(old)} -> {_inline(new)}"
        )


def _parts(items: Any) -> list[Any]:
    """The parts of a sequence, also of one of (name, part) pairs."""
    return [y[1] if isinstance(y, tuple) and len(y) == 2 else y for y in items]


def _label(x: Any) -> str:
    """What two items of a sequence must have in common to be taken for the same one, changed."""
    if isinstance(x, tuple) and len(x) == 2 and isinstance(x[0], str):
        return f"{x[0]}={_label(x[1])}"
    inner = getattr(x, "loss", None)
    return f"{type(x).__name__}:{type(inner).__name__}" if inner is not None else type(x).__name__


def _sequences(old: list[Any], new: list[Any], place: str, names: dict[int, str], out: list[str]) -> None:
    matcher = SequenceMatcher(None, [_label(x) for x in old], [_label(x) for x in new], autojunk=False)
    for what, a, b, c, d in matcher.get_opcodes():
        if what == "equal":
            for x, y in zip(_parts(old[a:b]), _parts(new[c:d]), strict=True):
                _compare(x, y, place, names, out)
        elif not _moved(old[a:b], new[c:d], place, names, out):
            _exchanged(old[a:b], new[c:d], place, names, out)


def _exchanged(old: list[Any], new: list[Any], place: str, names: dict[int, str], out: list[str]) -> None:
    if len(old) == len(new):
        out += [f"{place}: replaced {_inline(x)} by {_inline(y)}" for x, y in zip(old, new, strict=True)]
        return
    out += [f"{place}: removed {_inline(x)}" for x in old]
    out += [f"{place}: added {_inline(x)}" for x in new]


def _moved(old: list[Any], new: list[Any], place: str, names: dict[int, str], out: list[str]) -> bool:
    """Tell of stages that went into one new combinator, or came out of one old one; whether it was so."""
    for wrapped, (few, many) in ((True, (new, old)), (False, (old, new))):
        for i, holder in enumerate(few):
            inside = getattr(holder, "stages", ())
            same = SequenceMatcher(None, [_label(x) for x in many], [_label(x) for x in inside], autojunk=False)
            if not inside or same.ratio() <= 0.5:
                continue
            bare = f"{type(holder).__name__}({', '.join(_others(holder))})"
            rest = [x for j, x in enumerate(few) if j != i]
            listed = ", ".join(type(x).__name__ for x in inside)
            if wrapped:
                out.append(f"{place}: {listed} inside {bare}")
                _exchanged([], rest, place, names, out)
                _sequences(many, list(inside), place, names, out)
            else:
                out.append(f"{place}: {listed} no longer inside {bare}")
                _exchanged(rest, [], place, names, out)
                _sequences(list(inside), many, place, names, out)
            return True
    return False


def _others(holder: Any) -> list[str]:
    return [f"{n}={_inline(getattr(holder, n))}" for n in _shown(holder, False) if n != "stages"]
