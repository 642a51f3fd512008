"""Finding stop strings in text that grows by a token at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

BROKEN = "\ufffd"
"""What decoders write for bytes that are not yet a whole character."""


class StopStrings:
    """Whether the newest token completed one of some strings.

    Most tokens cannot: the last character of a completed string is written by the newest token, so a token whose own
    text has none of those characters needs no look at the text. For the others only the last few tokens are decoded.
    """

    def __init__(self, strings: Sequence[str], decode: Callable[[Sequence[int]], str]) -> None:
        self.strings = tuple(strings)
        self.decode = decode
        self.longest = max(len(s) for s in self.strings)
        self.last = frozenset(s[-1] for s in self.strings)
        # decoders may drop a space at the edge of a text, so a token's own text does not tell whether it writes one
        self.blank = any(c.isspace() for c in self.last)
        self.pieces: dict[int, tuple[bool, int]] = {}

    def piece(self, token: int) -> tuple[bool, int]:
        """Whether the token may complete a string, and the number of characters it writes when it stands alone."""
        known = self.pieces.get(token)
        if known is None:
            text = self.decode((token,))
            may = self.blank or not text or BROKEN in text or not self.last.isdisjoint(text)
            known = self.pieces[token] = (may, len(text))
        return known

    def completed(self, tokens: Sequence[int]) -> bool:
        """Whether the text of `tokens` contains a stop string, given that it did not before the last of them."""
        may, size = self.piece(tokens[-1])
        if not may:
            return False
        # the start of a window may be a torn character of up to 4 bytes or have lost a space
        enough = self.longest + size + 4
        window = self.longest + 4
        while True:
            text = self.decode(tokens[-window:])
            if any(s in text for s in self.strings):
                whole = text if window >= len(tokens) else self.decode(tokens)
                return any(s in whole for s in self.strings)
            if window >= len(tokens) or len(text) >= enough:
                return False
            window *= 2
