"""The text of each token, by the tokenizer that a run exported with its policy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from sharpen.view.shelf import Shelved

Decode = Callable[[Sequence[int]], str]

HALF = "\ufffd"
"""What a decoder writes for a character of which bytes are still missing."""


def decoder(run: Shelved) -> Decode | None:
    """What turns tokens of a run into text; None where the run has no tokenizer (yet)."""
    path = run.file("policy/tokenizer.json")
    try:
        stat = path.stat()
    except OSError:
        return None
    return _decoder(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(8)
def _decoder(path: Path, size: int, time: int) -> Decode | None:
    from tokenizers import Tokenizer

    try:
        tokenizer: Any = Tokenizer.from_file(str(path))
    except Exception:  # the package raises nothing narrower; without tokens a trace is shown by segments
        return None

    def decode(tokens: Sequence[int]) -> str:
        return str(tokenizer.decode(list(tokens), skip_special_tokens=False))

    return decode


def pieces(tokens: Sequence[int], decode: Decode) -> list[str]:
    """What each token adds to the text; '' for one that only begins a character, which its last token adds.

    Each token is decoded with those since the last whole one before it, for decoders drop or add blanks at the start.
    """
    out: list[str] = []
    start = read = 0
    for k in range(len(tokens)):
        before, now = decode(tokens[start:read]), decode(tokens[start : k + 1])
        if now.endswith(HALF) and k + 1 < len(tokens) and k - read < 8:
            out.append("")
            continue
        out.append(now[len(before) :])
        start, read = read, k + 1
    return out
