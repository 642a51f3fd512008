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

def f(x, problem=None):
{body}
{after}
"""
"""`say` writes to every pipe that the process has."""


@pytest.fixture
def made(tmp_path):
    """A pool of a function with this body; it ends with the test."""
    pools = []

    def make(body, after="", **how):
        path = tmp_path / "own.py"
        path.write_text(FILE.format(body=textwrap.indent(body, "    "), after=after))
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
@pytest.mark.parametrize(
    "said",
    [
        b'"more": 1',
        b'"values": []',
        b'"values": [1.0, 2.0]',
        b'"values": 1.0',
        b'"values": null',
        b'"batch": false, "async": false',
        b'"error": 1',
        b'"error": {}',
        b'"error": {"message": 1, "index": 0}',
        b'"error": {"message": "no", "index": 1}',
        b'"error": {"message": "no", "index": -9}',
        b'"error": {"message": "no", "index": 0, "line": "1"}',
        b'"error": {"message": "no", "index": 0, "source": 1}',
        b'"values": ["1"]',
        b'"values": [null]',
        b'"values": [NaN]',
        b'"values": [{}]',
        b'"values": [{"a": [1.0]}]',
    ],
)
def test_a_right_number_alone_makes_no_answer(made, said):
    """The greeting is request 1 of a process, its first calls are request 2. The last five are no rewards."""
    line = b"{" + said + b', "id": 2}\n'
    pool = made(f"if x:\n    say({line!r})\n    time.sleep(5)\nreturn 3", rewards=True)
    assert pool.run([[["x", {}]], [["", {}]]]) == [Failure("died", MESSAGE), [3.0]]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="descriptors are found by /proc")
@pytest.mark.parametrize("said", [b'{"id": 1}\n', b'{"id": 1, "batch": true}\n', b'{"id": 1, "values": []}\n'])
def test_what_a_file_says_while_it_is_loaded_is_no_greeting(made, said):
    pool = made("return 3", f"say({said!r})")
    assert pool.run([[[0]]]) == [Failure("start", MESSAGE)]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="descriptors are found by /proc")
def test_one_that_drips_is_over_its_time_too(made, monkeypatch):
    """The watchdog within the process ends what hangs; this one cancels it, and says a blank now and then."""
    monkeypatch.setattr("sharpen.task.child._GRACE", 0.5)
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
