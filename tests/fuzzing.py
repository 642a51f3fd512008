"""What fuzz tests share: how many inputs, texts of every kind, mutations of a worked solution, and a watchdog.

An ordinary run tries few inputs, the same each time; `SHARPEN_FUZZ=20000` tries that many, others each time.
"""

from __future__ import annotations

import faulthandler
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from sharpen.task.garbage import ALPHABETS, TRICKS

MANY = int(os.environ.get("SHARPEN_FUZZ", "0"))
FEW = 25
LONG = 100_000
SECONDS = 2.0
"""The most that one text of up to `LONG` characters may take, on a busy machine."""


def fuzz(few: int = FEW, share: float = 1.0):
    """Settings of a fuzz test; `share` of the many inputs where each is dear."""
    return settings(
        max_examples=max(1, int(MANY * share)) if MANY else few,
        deadline=None,
        derandomize=not MANY,
        database=None,
        suppress_health_check=list(HealthCheck),
        print_blob=bool(MANY),
    )


@contextmanager
def within(seconds: float = SECONDS) -> Iterator[None]:
    """Fail if the body takes longer; end the process if it does not even come back to the interpreter."""

    def late(*_: object) -> None:
        raise TimeoutError(f"more than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    faulthandler.dump_traceback_later(seconds + 60, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


EVERY = st.characters(exclude_categories=())  # halves of surrogates and unassigned ones too
PIECES = [
    *TRICKS, "#", "#9", "#yes", "#no", "\n", "?7", "\n?7", "\\boxed{", "}", "{", "\\boxed{7}", "<answer>", "</answer>",
    "####", "The answer is ", "9**9**9", "1e999", "-0", "00", "1,000", "50%", "1/2", "\\frac{1}{2}", "nan", "inf", "A)",
    "(B)", "C.", " or ", "\u0667", "\uff17", "\u00b2", "\u200b", "\ufeff", "\u202e", "\x00", "\r", "\u2028", "\x0b",
    "e\u0301", "+", "-", "*", "/", "(", ")", "=", ">", "A-B", "ab>c", "3+4=7", "take", "u", "open", " ", "\t",
    "<!--", "-->", "# ",
]  # fmt: skip


def texts() -> st.SearchStrategy[str]:
    """Any text: all of unicode, noise over small alphabets, pieces that mean something, one piece very often."""
    noise = st.one_of([st.text(st.sampled_from(sorted(set(a))), max_size=80) for a in ALPHABETS])
    pieces = st.lists(st.sampled_from(PIECES), max_size=14).map("".join)
    often = st.tuples(st.sampled_from(PIECES), st.integers(1, LONG), st.sampled_from(["", "1", "#", "\\boxed{", "x"]))
    endless = often.map(lambda x: (x[2] + x[0] * (x[1] // len(x[0])) + x[2])[:LONG])
    return st.one_of(st.text(EVERY, max_size=60), noise, pieces, pieces, endless)


@st.composite
def mutated(draw: st.DrawFn, lines: Sequence[str]) -> str:
    """The lines of a worked solution after up to four changes that a model could make."""
    now = list(lines)
    for _ in range(draw(st.integers(0, 4))):
        kind = draw(st.sampled_from(["drop", "twice", "swap", "digit", "insert", "early", "join", "letter", "piece"]))
        at = draw(st.integers(0, max(0, len(now) - 1)))
        if not now:
            break
        line = now[at]
        if kind == "drop":
            del now[at]
        elif kind == "twice":
            now.insert(at, line)
        elif kind == "swap":
            to = draw(st.integers(0, len(now) - 1))
            now[at], now[to] = now[to], now[at]
        elif kind == "insert":
            now.insert(at, draw(st.sampled_from([*lines, *PIECES])))
        elif kind == "early":
            now.insert(0, now[-1])
        elif kind == "join" and at + 1 < len(now):
            now[at : at + 2] = [line + draw(st.sampled_from(["", " ", "\r\n", "\u2028"])) + now[at + 1]]
        elif line:
            i = draw(st.integers(0, len(line) - 1))
            pool = {"digit": "0123456789", "letter": "ABCDEFabcdef"}.get(kind, "")
            new = draw(st.sampled_from(pool)) if pool else draw(st.sampled_from(PIECES))
            now[at] = line[:i] + new + line[i + (kind != "piece") :]
    return draw(st.sampled_from(["\n", "\n", "\n", "\n\n"])).join(now) + draw(st.sampled_from(["", "", "\n", " "]))
