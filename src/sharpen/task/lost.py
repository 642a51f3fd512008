"""Texts that a verifier never came back from: how they are marked, and how many of them may be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sharpen.errors import SharpenError

LOST = "lost"
"""The entry among the rewards of a text on which the function overran or died: 1."""

LOST_SHARE = 0.01
LOST_AT_LEAST = 3
"""More lost texts than this share of those judged, and at least that many, are too many."""


class LostError(SharpenError):
    """More texts are lost than may be. What goes on after other errors of a task does not after this one."""


def bearable(n: int) -> int:
    """How many of `n` texts may be lost: 1 %, and always two."""
    return max(LOST_AT_LEAST - 1, int(LOST_SHARE * n))


@dataclass
class Tally:
    """How many texts one verifier has judged in this process, and lost, those that it judged one at a time included.

    A run that is resumed starts to count anew. The counts decide when a run stops with an error, never what it
    computes.
    """

    judged: int = 0
    lost: int = 0

    def patience(self, n: int) -> int:
        """How many of `n` more texts may be lost."""
        return max(0, min(bearable(n), bearable(self.judged + n) - self.lost))

    def add(self, found: Sequence[Mapping[str, float] | SharpenError], n: int) -> None:
        """Count what was found on `n` texts judged together, maybe not all of them; an error is a lost one.

        Raises `LostError` where more are lost than may be of those `n`, or of all so far.
        """
        errors = [x for x in found if isinstance(x, SharpenError)]
        self.judged += len(found)
        self.lost += len(errors)
        for lost, judged, most, when in (
            (len(errors), len(found), bearable(n), ""),
            (self.lost, self.judged, bearable(self.judged), " judged so far"),
        ):
            if errors and lost > most:
                raise LostError(
                    f"{lost} of {judged} texts{when} are lost, as the function that judges them did not come back, and "
                    f"more than {most} are too many to go on. One of them: {errors[0]}"
                )
