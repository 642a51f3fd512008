"""Reading a worked solution: one step a line, and the answer on the last line after a `#`.

Only ASCII counts: lines end with a line feed (no other separator), digits are `0` to `9`. Every function here is linear
in the length of the text and raises for no text.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from sharpen.types import Problem, Segment, Trace

MARK = "#"
"""What the answer line begins with. It occurs nowhere else in a well-formed text."""


def lines(text: str) -> list[str]:
    """The lines of a text, without the line feeds. One line feed at the very end opens no further line."""
    return text.removesuffix("\n").split("\n") if text else []


def final(text: str) -> str | None:
    """What stands after the `#` of the answer line.

    None unless the text has exactly one `#` and it opens the last line: a text that names several answers, or goes on
    after its answer, has given none.
    """
    if text.count(MARK) != 1:
        return None
    last = lines(text)[-1]
    return last[1:] if last.startswith(MARK) else None


def steps_of(text: str) -> list[str]:
    """The lines before the answer line; all lines where the last one is no answer line."""
    found = lines(text)
    return found[:-1] if found and found[-1].startswith(MARK) else found


def leading(judged: Sequence[bool]) -> int:
    """How many steps stand before the first wrong one; this is also the index of the first wrong step."""
    return next((i for i, ok in enumerate(judged) if not ok), len(judged))


def said(problem: Problem, *turns: str) -> Trace:
    """A trace in which the model said these texts, one trainable segment each, after the prompt (no tokens)."""
    none = torch.zeros(0, dtype=torch.int64)
    prompt = Segment(none, text=str(problem.prompt))
    return Trace(problem, [prompt, *(Segment(none, trainable=True, role="assistant", text=t) for t in turns)])
