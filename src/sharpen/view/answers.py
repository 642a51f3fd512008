"""Answers of the server as JSON, and questions read strictly."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from starlette.datastructures import QueryParams
from starlette.responses import Response

from sharpen.errors import SharpenError, near
from sharpen.run.lines import valid
from sharpen.visible import visible

T = TypeVar("T", int, float)

TRUTH = {"": None, "yes": True, "no": False}
"""How a truth value is asked for; an empty one filters nothing."""


def answer(data: Any, status: int = 200) -> Response:
    """Data as JSON. Numbers that are not finite are strings, and characters that cannot be seen are shown as codes."""
    text = json.dumps(valid(seen(data)), allow_nan=False, separators=(",", ":"))
    return Response(text, status, {"Cache-Control": "no-store"}, "application/json")


def refusal(text: str, status: int) -> Response:
    """A message for people."""
    return answer({"error": " ".join(text.split())}, status)


def seen(x: Any) -> Any:
    """A JSON tree whose texts hold nothing that hides or acts; other objects as their text."""
    if x is None or isinstance(x, (bool, int, float)):
        return x
    if isinstance(x, str):
        return visible(x)
    if isinstance(x, Mapping):
        return {visible(str(k)): seen(v) for k, v in x.items()}
    if isinstance(x, (list, tuple)):
        return [seen(y) for y in x]
    return visible(str(x))


class Question:
    """What is asked for in an address, by name; everything has a meaning when it is left out."""

    def __init__(self, query: QueryParams) -> None:
        self.query = query

    def text(self, name: str, most: int = 200) -> str:
        """A text; '' by default."""
        return self.query.get(name, "")[:most]

    def one_of(self, name: str, known: tuple[str, ...]) -> str:
        """One of some words, the first by default."""
        said = self.query.get(name, "") or known[0]
        if said not in known:
            raise SharpenError(f"{name}={said!r} is unknown. {near(said, known)}")
        return said

    def truth(self, name: str) -> bool | None:
        """yes, no, or None."""
        said = self.query.get(name, "")
        if said not in TRUTH:
            raise SharpenError(f"{name}={said!r} must be yes, no, or nothing.")
        return TRUTH[said]

    def whole(self, name: str, low: int = 0, high: int = 2**53) -> int | None:
        """A whole number in a range, or None."""
        return self._number(name, int, low, high)

    def number(self, name: str) -> float | None:
        """A finite number, or None."""
        return self._number(name, float, -1e308, 1e308)

    def _number(self, name: str, kind: type[T], low: T, high: T) -> T | None:
        said = self.query.get(name, "")
        if not said:
            return None
        try:
            value = kind(said)
        except ValueError:
            value = None
        if value is None or not low <= value <= high:
            what = "a whole number" if kind is int else "a number"
            raise SharpenError(f"{name}={said!r} must be {what} from {low:g} to {high:g}.")
        return value
