"""Worker processes: what they say is their answer to what was asked, in time, in bounded memory, or they are ended."""

import sys
import textwrap
import time

import pytest

from sharpen.task.pool import Failure, Pool

MESSAGE = "something else than its answer came from its process: it must not write to the pipes it finds"


FILE = """
import faulthandler, os, time

def say(data):
    for fd in range(3, 20):
        try:
            if os.readlink(f"/proc/self/fd/{{fd}}").startswith("pipe:"):
                os.write(fd, data)
        except OSError:
            pass

def f(x):
{body}
"""
"""`say` writes to every pipe that the process has."""


@pytest.fixture
def made(tmp_path):
    """A pool of a function with this body; it ends with the test."""
    pools = []

    def make(body, **how):
        path = tmp_path / "own.py"
        path.write_text(FILE.format(body=textwrap.indent(body, "    ")))
        pools.append(Pool(path, "f", **how))
        return pools[-1]

    yield make
    for pool in pools:
        pool.close()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="descriptors are found by /proc")
@pytest.mark.parametrize(
    "said",
    [b'{"values": [true], "id": 1}\n', b'{"values": [true]}\n', b"no json\n", b"[1]\n", b"[" * 30_000 + b"\n"],
)
def test_what_a_function_writes_to_the_protocol_is_no_answer(made, said):
    """Not even in the right form: the real answer follows it, and would be taken for that of the next request."""
    pool = made(f"if x:\n    say({said!r})\n    time.sleep(0.2)\nreturn x")
    assert pool.run([[[0]], [[1]], [[2]], [[0]]]) == [[0], Failure("died", MESSAGE), Failure("died", MESSAGE), [0]]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="descriptors are found by /proc")
def test_one_that_drips_is_over_its_time_too(made, monkeypatch):
    """The watchdog within the process ends what hangs; this one cancels it, and says a blank now and then."""
    monkeypatch.setattr("sharpen.task.pool._GRACE", 0.5)
    body = "faulthandler.cancel_dump_traceback_later()\nwhile x:\n    say(b' ')\n    time.sleep(0.05)\nreturn 3"
    pool = made(body, timeout=0.5)
    began = time.monotonic()
    assert pool.run([[[1]], [[0]]]) == [Failure("timeout", "did not return within 0.5 s"), [3]]
    assert time.monotonic() - began < 30


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the bound is of Linux")
def test_memory_is_bounded(made):
    pool = made("return len(bytes(x))", memory=64 << 20)
    answers = pool.run([[[200 << 20]], [[8 << 20]]])
    assert answers[0].kind == "raised"
    assert answers[0].message == "MemoryError"
    assert answers[1] == [8 << 20]
    assert made("return len(bytes(x))").run([[[200 << 20]]]) == [[200 << 20]]
