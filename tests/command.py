"""What the tests of the command line share."""

from __future__ import annotations

from typing import NamedTuple

SMALL = ("--max-tokens", "4", "--eval-problems", "0", "--set", "Loop.problems=2", "--set", "Sample.n=2")
"""A run of a second."""

REWARD = """def score(text, problem):
    return (sum(map(ord, text)) % 7) / 7
"""


class Said(NamedTuple):
    """What a command left: its exit status and its two streams."""

    status: int
    out: str
    err: str


def refused(said: Said, *texts: str, status: int = 2) -> str:
    """The one paragraph of a refusal, after checking that it is one and says these things."""
    assert said.status == status, said
    assert "Traceback" not in said.err
    assert said.err.count("\n") == 1, said.err
    assert said.err.startswith("sharpen: ")
    for text in texts:
        assert text in said.err, said.err
    paragraph = said.err.removeprefix("sharpen: ").strip()
    assert paragraph.endswith((".", "?")), paragraph
    return paragraph
