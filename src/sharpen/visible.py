"""Text that a model or a data set wrote, made safe to show: nothing in it may act on a terminal or hide on a page."""

from __future__ import annotations

import unicodedata

HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Categories that show nothing, reorder what is around them, or cannot be encoded."""


def visible(text: str, keep: str = "\n\t") -> str:
    """Replace every character one cannot see (controls, bidirectional overrides, zero-width, surrogates) by its code.

    Escape becomes `⟨U+001B⟩`. `keep` is left as it is.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c in keep else _picture(c) for c in text)


def one_line(text: str, width: int = 0) -> str:
    """`visible` text on one line, cut to `width` characters if that is not 0 (the last then says that it was cut)."""
    flat = " ".join(visible(text).split())
    return flat if not width or len(flat) <= width else flat[: max(0, width - 1)] + "…"


def printable(text: str, encoding: str | None) -> str:
    """What a stream of this encoding can write: characters it lacks become escapes such as `\\u2026`."""
    name = encoding or "utf-8"
    return text.encode(name, errors="backslashreplace").decode(name)


def _picture(c: str) -> str:
    if unicodedata.category(c) not in HIDDEN:
        return c
    return f"⟨U+{ord(c):04X}⟩"
