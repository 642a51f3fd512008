"""Whether two answers are the same mathematics, by `math_verify`. Runs in a worker process and imports nothing of
sharpen.

`math_verify` bounds its own time with `SIGALRM`, which works in the main thread only and cannot stop the interpreter
inside one long operation. Here its alarms are off, and the process that calls it is what is ended.
"""

import logging

from math_verify import parse, verify

# it warns that its alarms are off, which is meant
logging.getLogger("math_verify").setLevel(logging.ERROR)


def agree(said: str, gold: str) -> bool:
    """Whether the answer `said` equals the answer `gold`. Raises `ValueError` when `gold` cannot be read."""
    right = _parsed(gold)
    if not right:
        raise ValueError(f"math_verify cannot read the gold answer {gold!r}")
    return bool(verify(right, _parsed(said), timeout_seconds=None, raise_on_error=True))


def _parsed(answer: str) -> list[object]:
    return list(parse(f"\\boxed{{{answer}}}", parsing_timeout=None, raise_on_error=False))
