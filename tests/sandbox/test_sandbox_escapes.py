"""Each attempt is a program that really tries, in the real sandbox; what happened is looked at from outside."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import pytest

from escapes import ATTEMPTS, REAL, prelude
from sharpen.sandbox import open_sandbox

PROMISED = {  # what the weaker sandbox keeps a program from as well
    "fill the disk",
    "leave a daemon",
    "leave a daemon that holds the output",
    "daemons that ignore signals",
    "raise the limits" if os.geteuid() else "",
    "stop itself",
    "a busy loop",
    "a busy loop that catches the signal",
    "sleep for ever",
    "sleep through signals",
    "wait for input",
    "a memory bomb",
    "a memory bomb at once",
    "map much memory",
    "output without end",
    "errors without end",
    "output by small parts",
    "deep recursion",
    "deep source",
    "giant numbers",
    "a catastrophic expression",
    "crash the interpreter",
    "leave at once",
    "open files without end",
    "pipes without end",
    "close all and wait",
    "folders too deep to remove",
} - {""}
CASES = [("bubblewrap", name) for name in ATTEMPTS] + [("process", name) for name in ATTEMPTS if name in PROMISED]


def test_how_many_there_are():
    """The number the documentation tells."""
    assert len(ATTEMPTS) == 100
    page = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text()
    assert f"The tests run {len(ATTEMPTS)} programs" in page
    assert set(ATTEMPTS) >= PROMISED


@pytest.mark.parametrize(("sandbox", "name"), CASES, indirect=["sandbox"], ids=lambda x: str(x).replace(" ", "-"))
def test_attempt(sandbox, name, ground):
    code, limits, status = ATTEMPTS[name]
    if "attempt_call" in code and platform.machine() != "x86_64":
        pytest.skip("the numbers of system calls are those of x86_64")
    ran = sandbox.run((prelude(ground) + code).encode(), b"", limits)
    assert ground.harm(ran.out + ran.err) == []
    assert b"GOT" not in ran.out
    assert ran.status in status.split(), ran
    assert len(ran.out) <= limits.output
    assert len(ran.err) <= limits.output
    assert ran.seconds < limits.seconds + 5


@pytest.mark.parametrize("name", REAL, ids=lambda x: x.replace(" ", "-"))
def test_attempts_are_real(name, ground):
    """Where nothing keeps a program from it, it gets what it wants, and that is seen."""
    code, limits, _ = ATTEMPTS[name]
    ran = open_sandbox("process").run((prelude(ground) + code).encode(), b"", limits)
    assert ground.harm(ran.out + ran.err) == [REAL[name]]
