"""The one exception a user is meant to read."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SharpenError(Exception):
    """Something the user can mend: the message is one paragraph saying what, where and what to do.

    The command line prints the message alone and exits with status 2; every other exception is a defect of the library.
    """


class Elsewhere(SharpenError):  # noqa: N818 - it is where, not what
    """An error of another process of the same run, which has told it; its text is that of the other one."""


def option(name: str) -> str:
    """What a field is called on the command line: `--eval-problems` for `eval_problems`."""
    return f"--{name.replace('_', '-')}"


def near(name: str, known: Iterable[str]) -> str:
    """A sentence that helps after a wrong name: the near ones if there are any, else all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if close:
        return f"Did you mean {' or '.join(close)}?"
    return f"Known: {', '.join(names)}." if names else "There is none."
