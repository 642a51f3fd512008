"""A recipe as boxes: a source, stages, updates with the actors they train, and what is not as in another recipe."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any

from sharpen.core import Part
from sharpen.recipe import Method, Recipe, Update, recipes_of
from sharpen.recipes import all_recipes
from sharpen.run.compose import compose, difference
from sharpen.view.shelf import Shelved
from sharpen.view.summary import method

HIDDEN = frozenset({"name", "optimiser", "terms", "rows", "actor", "stages", "loss"})
"""Fields that have a box of their own, or stand in the title of one."""

Plain = dict[str, Any]


def picture(run: Shelved) -> Plain:
    """The recipe of a run as text and as boxes, next to its parent and next to the built-in recipe of its name.

    A run whose recipe holds parts of the user's own has the text alone: their code is not imported to be looked at.
    """
    manifest = run.run.manifest()
    recipe = method(manifest)
    out: Plain = {
        "name": manifest.get("name"),
        "composition": manifest.get("composition", ""),
        "about": getattr(recipe, "about", ""),
        "source": getattr(recipe, "source_of", ""),
        "origins": dict(getattr(recipe, "origins", {})),
        "against": [],
        "recipes": [boxes(r, None) for r in recipes_of(recipe)] if recipe else [],
    }
    if recipe is None:
        return out
    known = all_recipes()
    for what, name in (("its parent", recipe.parent), ("the built-in recipe", recipe.name)):
        other = known.get(name)
        if other is not None and (what == "its parent" or difference(other, recipe)):
            out["against"].append(
                {"what": what, "name": name, "lines": difference(other, recipe), "recipes": against(recipe, other)}
            )
    return out


def against(recipe: Method, other: Method) -> list[Plain]:
    """The boxes of each recipe of a method, marked against the one of its name in another method.

    Without one of its name, against the one in its place where both have as many; else all of it was added.
    """
    olds, news = recipes_of(other), recipes_of(recipe)
    named = {r.name: r for r in olds}
    placed = dict(zip(range(len(news)), olds, strict=True)) if len(olds) == len(news) else {}
    return [boxes(new, named.get(new.name) or placed.get(k), added=True) for k, new in enumerate(news)]


def boxes(recipe: Recipe, other: Recipe | None, added: bool = False) -> Plain:
    """One recipe: lists of boxes, each marked `same`, `changed`, `added` or `removed` against `other`.

    Where that is None every box is `same`, or `added` if the recipe was.
    """

    def lane(name: str) -> list[Plain]:
        old: Sequence[Any] | None = [] if added else None
        return _row(_parts(recipe, name), old if other is None else _parts(other, name))

    return {"name": recipe.name} | {name: lane(name) for name in ("source", "collect", "updates", "actors", "loop")}


def _parts(recipe: Recipe, name: str) -> Sequence[Any]:
    found = getattr(recipe, name)
    if name == "actors":
        return [_Actor(n, part) for n, part in found]
    return found if isinstance(found, tuple) else [found]


@dataclasses.dataclass(frozen=True)
class _Actor:
    """An actor with its name."""

    title: str
    part: Any


def _row(new: Sequence[Any], old: Sequence[Any] | None) -> list[Plain]:
    """Boxes for parts in order, and for those of `old` that have no counterpart."""
    if old is None:
        return [_box(x, x) for x in new]
    matcher = SequenceMatcher(None, [_kind(x) for x in old], [_kind(x) for x in new], autojunk=False)
    out = []
    for what, a, b, c, d in matcher.get_opcodes():
        if what == "equal":
            out += [_box(y, x) for x, y in zip(old[a:b], new[c:d], strict=True)]
        else:
            out += [_box(x, x) | {"mark": "removed"} for x in old[a:b]]
            out += [_box(y, None) for y in new[c:d]]
    return out


def _kind(x: Any) -> str:
    """What two parts must have in common to be one part, changed."""
    if isinstance(x, _Actor):
        return x.title
    inner = getattr(x, "loss", None)
    return f"{type(x).__name__}:{x.actor if isinstance(x, Update) else type(inner).__name__ if inner else ''}"


def _box(x: Any, old: Any) -> Plain:
    """A part against its counterpart; one that has none was added."""
    mark = "added" if old is None else "same" if _equal(x, old) else "changed"
    before = x if old is None else old
    box: Plain = {"title": _title(x), "kind": type(x).__name__, "mark": mark, "about": "", "fields": [], "inner": []}
    if isinstance(x, _Actor):
        return box | _part_box(x.part, before.part) | {"title": x.title, "kind": type(x.part).__name__, "mark": mark}
    return box | _part_box(x, before)


def _part_box(x: Any, old: Any) -> Plain:
    inner: list[Plain] = []
    for name in ("terms", "stages"):
        some = getattr(x, name, ())
        if isinstance(some, tuple) and some:
            inner += _row(some, getattr(old, name, ()))
    if isinstance(x, Update):
        inner += [_box(x.rows, old.rows if type(old.rows) is type(x.rows) else None)]
        inner += [_box(x.optimiser, old.optimiser)]
    fields = _fields(x, old)
    if dataclasses.is_dataclass(loss := getattr(x, "loss", None)):
        fields = _fields(loss, getattr(old, "loss", None)) + fields
    return {"about": _about(x), "fields": fields, "inner": inner}


def _fields(x: Any, old: Any) -> list[Plain]:
    """Fields that differ from a part's own default, and those that differ from the counterpart's."""
    if not dataclasses.is_dataclass(x):
        return []
    out = []
    for f in dataclasses.fields(x):
        if f.name in HIDDEN:
            continue
        value, was = getattr(x, f.name), getattr(old, f.name, None)
        changed = type(old) is type(x) and not _equal(value, was)
        if changed or not _default(f, value):
            out.append({"name": f.name, "value": _text(value), "was": _text(was) if changed else None})
    return out


def _default(f: dataclasses.Field[Any], value: Any) -> bool:
    if f.default is not dataclasses.MISSING:
        return _equal(f.default, value)
    if f.default_factory is not dataclasses.MISSING:
        return _equal(f.default_factory(), value)
    return False


def _equal(a: Any, b: Any) -> bool:
    return type(a) is type(b) and bool(a == b)


def _text(value: Any) -> str:
    return " ".join(compose(value).split()) if isinstance(value, Part | tuple | Mapping) else compose(value)


def _title(x: Any) -> str:
    if isinstance(x, Update):
        return f"train {x.actor}"
    inner = getattr(x, "loss", None)
    if inner is not None:
        name = getattr(x, "name", "")
        return f"{type(inner).__name__}{f' ({name})' if name else ''}"
    return type(x).__name__


def _about(x: Any) -> str:
    """The first sentence of what a part's documentation says."""
    said = " ".join((type(getattr(x, "loss", None) or x).__doc__ or "").split("\n\n")[0].split())
    return "" if said.startswith(f"{type(x).__name__}(") else said
