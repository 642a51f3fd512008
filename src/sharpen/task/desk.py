"""A desk with a calculator: the world of the task `tool`, in which programs run in a sandbox."""

from __future__ import annotations

import functools

from sharpen.sandbox import Limits, open_sandbox
from sharpen.task.base import Environment

CALL, ANSWER = ">", "#"
LONGEST = 400
"""The most characters of a program; a longer one is not run."""

DRIVER = b"""
import sys
text = sys.stdin.buffer.read().decode("utf-8", "surrogatepass").strip()
try:
    try:
        code = compile(text, "<turn>", "eval")
    except SyntaxError:
        exec(compile(text, "<turn>", "exec"), {})
    else:
        value = eval(code, {})
        if value is not None:
            print(value)
except MemoryError:
    raise
except BaseException as error:
    print("!" + type(error).__name__)
"""
"""Runs inside: the value of an expression is printed, a program prints what it likes; of an error its name."""


def plain(text: str, most: int) -> str:
    """A text in printable ASCII and line feeds, cut after `most` characters; what is cut off is three dots."""
    shown = "".join(
        c if c == "\n" or " " <= c <= "~" else c.encode("unicode_escape").decode() for c in text[: most + 1]
    )
    return shown if len(shown) <= most else shown[:most] + "..."


@functools.lru_cache(maxsize=8192)
def observed(sandbox: str, limits: Limits, most: int, text: str) -> str:
    """What is seen of a program: its output, or `!` and why there is none. One that was run lately is not run again."""
    if len(text) > LONGEST:
        return "!long"
    ran = open_sandbox(sandbox).run(DRIVER, text.encode("utf-8", "surrogatepass"), limits)
    if ran.status != "ok":
        return f"!{ran.status}"
    return plain(ran.out.decode("utf-8", "backslashreplace").rstrip("\n"), most) or "!nothing"


class Desk(Environment):
    """A turn that begins with `>` runs the program after it, one that begins with `#` answers and ends the episode.

    The right answer earns 1, everything else 0. What is seen of a program is its output; any other turn is answered by
    `!`. After the end, or when no turn is left, observations are empty.
    """

    def __init__(self, prompt: str, answer: str, limit: int, sandbox: str, limits: Limits, most: int) -> None:
        self.prompt = prompt
        self.answer = answer
        self.limit = limit
        self.sandbox = sandbox
        self.limits = limits
        self.most = most
        self.left = limit

    def reset(self) -> str:
        """The problem."""
        self.left = self.limit
        return self.prompt

    def step(self, text: str) -> tuple[str, float, bool]:
        """One turn."""
        if self.left == 0:
            return "", 0.0, True
        self.left -= 1
        said = text.strip(" \n")
        if said.startswith(ANSWER):
            self.left = 0
            return "", float(said[1:] == self.answer), True
        if self.left == 0:
            return "", 0.0, True
        return observed(self.sandbox, self.limits, self.most, said[1:]) if said.startswith(CALL) else "!", 0.0, False

    @property
    def state(self) -> tuple[str, int]:
        """The problem and the turns left: programs leave nothing behind."""
        return self.prompt, self.left

    def copy(self) -> Desk:
        """Another one in the same state."""
        other = Desk(self.prompt, self.answer, self.limit, self.sandbox, self.limits, self.most)
        other.left = self.left
        return other
