"""Functions that are called inside: what honest ones return, and what others gain by tricks, which is nothing."""

# ruff: noqa: E501 - programs are lines
from __future__ import annotations

import re
from pathlib import Path

import pytest

from sharpen.sandbox import Called, Limits, Odd, Question, call, call_many, open_sandbox, same

CALLS = [[[3, 4]], [[]], [[7]]]


def ask(sandbox, source, calls=CALLS, **limits):
    return call(sandbox, Question(source, "f", calls), Limits(**limits))


@pytest.mark.parametrize(
    ("source", "values"),
    [
        ("def f(x): return sum(x)", (7, 0, 7)),
        ("f = lambda x: [v * 2 for v in x]", ([6, 8], [], [14])),
        ("def f(x):\n    x.append(1)\n    return x", ([3, 4, 1], [1], [7, 1])),
        ("def f(x): return {'n': len(x), 'x': x, 'b': [True, None, 1.5]}",
         tuple({"n": len(x), "x": x, "b": [True, None, 1.5]} for (x,) in CALLS)),
        ("print('7')\nf = sum", (7, 0, 7)),
        ("def f(x): return x[0]", (3, Odd("IndexError"), 7)),
        ("def f(x): return len(x) == 1", (False, False, True)),
        ("n = 0\ndef f(x):\n    global n\n    n += 1\n    return n", (1, 2, 3)),
        ("f = lambda x: '\\x00\\ud800\\u00e9'", ("\x00\ud800é",) * 3),
        ("f = lambda x: -2 ** 70", (-(2**70),) * 3),
    ],
)  # fmt: skip
def test_values(sandbox, source, values):
    got = ask(sandbox, source)
    assert got.status == "ok"
    assert same(list(got.values), list(values)) or got.values == values
    assert got.clean == (not any(isinstance(v, Odd) for v in values))


def test_whole_numbers_have_at_most_3000_bits(sandbox):
    got = ask(sandbox, "f = lambda n: n", [[2**3000 - 1], [2**3000], [1 - 2**3000], [-(2**3000)]])
    assert got.values == (2**3000 - 1, Odd("OddError"), 1 - 2**3000, Odd("OddError"))


TRICKS = {
    "no function": "x = 1",
    "not callable": "f = 1",
    "a syntax error": "def f(x) return x",
    "an empty text": "",
    "raises": "def f(x): raise ValueError",
    "leaves": "import sys\nsys.exit(0)",
    "leaves at once": "import os\nos._exit(0)",
    "leaves when called": "import os\ndef f(x): os._exit(0)",
    "raises what is no exception": "class E(BaseException): pass\ndef f(x): raise E",
    "an error with an evil name": "class M(type):\n    @property\n    def __name__(c): return 1 / 0\n"
    "class E(Exception, metaclass=M): pass\ndef f(x): raise E",
    "equal to everything": "class A:\n    def __eq__(s, o): return True\n    __hash__ = None\nf = lambda x: A()",
    "an evil repr": "class A(str):\n    def __repr__(s): return '1'\nf = lambda x: A('1')",
    "an int that is none": "class A(int):\n    def __repr__(s): return '\"x\"'\nf = lambda x: A(1)",
    "a list that goes on": "class A(list):\n    def __iter__(s):\n        while True: yield 1\nf = lambda x: A()",
    "a false class": "class A:\n    __class__ = int\nf = lambda x: A()",
    "a list in itself": "a = []\na.append(a)\nf = lambda x: a",
    "deep": "a = []\nfor _ in range(5000): a = [a]\nf = lambda x: a",
    "wide": "f = lambda x: [0] * 10**6",
    "long": "f = lambda x: 'x' * 10**6",
    "a giant": "f = lambda x: 1 << 10**7",
    "not a number": "f = lambda x: float('nan')",
    "infinite": "f = lambda x: float('inf')",
    "a tuple": "f = lambda x: (1, 2)",
    "bytes": "f = lambda x: b'1'",
    "keys that are no text": "f = lambda x: {1: 2}",
    "a generator": "def f(x): yield 1",
    "a coroutine": "async def f(x): return 1",
    "patched builtins": "import builtins\nbuiltins.type = lambda *a: int\nbuiltins.len = lambda x: 0\nf = lambda x: object()",
    "patched exec": "import builtins\nbuiltins.exec = builtins.compile = None\nf = lambda x: object()",
    "patched output": "import sys, io\nsys.stdout = sys.stderr = io.StringIO()\nf = lambda x: object()",
    "patched modules": "import sys\nfor m in list(sys.modules): sys.modules[m] = None\nf = lambda x: object()",
    "patched writer": "import __main__\n__main__.written = lambda *a: '1'\nf = lambda x: object()",
    "patched frames": "import sys\nt = sys._getframe(1)\nwhile t:\n    t.f_globals['written'] = lambda *a: ''\n    t = t.f_back\nf = lambda x: object()",
    "patched os.write": "import os\nos.write = lambda fd, b: len(b)\nf = lambda x: object()",
    "answers before": "import os\nfor fd in range(3, 64):\n    try: os.write(fd, b'[[0,1],[0,1],[0,1]]\\n')\n    except OSError: pass\nf = sum",
    "answers in a call": "import os\ndef f(x):\n    for fd in range(3, 64):\n        try: os.write(fd, b'[[0,1]')\n        except OSError: pass\n    return 1",
    "answers and leaves, twice": "import os\nfor fd in range(3, 64):\n    try: os.write(fd, b'[[0,1],[0,1],[0,1]]\\n' * 2)\n    except OSError: pass\nos._exit(0)",
    "answers too many": "import os\nfor fd in range(3, 64):\n    try: os.write(fd, b'[[0,1],[0,1],[0,1],[0,1]]\\n')\n    except OSError: pass\nos._exit(0)",
    "answers what is no JSON": "import os\nfor fd in range(3, 64):\n    try: os.write(fd, b'[[0,NaN],[0,Infinity],[0,-Infinity]]\\n')\n    except OSError: pass\nos._exit(0)",
    "answers a number too large": "import os\nfor fd in range(3, 64):\n    try: os.write(fd, b'[[0,1e999],[0,-1e999],[0,1e400]]\\n')\n    except OSError: pass\nos._exit(0)",
    "answers a deep error": "import os\nfor fd in range(3, 64):\n    try: os.write(fd, b'[' + b','.join([b'[1,' + b'[' * 900 + b']' * 900 + b']'] * 3) + b']\\n')\n    except OSError: pass\nos._exit(0)",
    "answers with a wrong form": 'import os\nfor fd in range(3, 64):\n    try: os.write(fd, b\'{"0":1,"0":2}\\n\')\n    except OSError: pass\nos._exit(0)',
    "answers deep": "import os\nfor fd in range(3, 64):\n    try: os.write(fd, b'[' * 60000 + b']' * 5)\n    except OSError: pass\nos._exit(0)",
    "answers bytes": "import os\nfor fd in range(3, 64):\n    try: os.write(fd, b'\\xff\\xfe\\x00')\n    except OSError: pass\nos._exit(0)",
    "answers without end": "import os\nwhile True:\n    for fd in range(3, 64):\n        try: os.write(fd, b' ' * 65536)\n        except OSError: pass",
    "closes the descriptor": "import os\nos.closerange(0, 64)\nf = sum",
    "lets a child answer": "import os\npid = os.fork()\nif pid: os._exit(0)\nf = sum",
    "both answer": "import os\nos.fork()\nf = sum",
    "a thread that answers later": "import threading, time, os\ndef g():\n    time.sleep(.2)\n    os.write(3, b'1')\nthreading.Thread(target=g).start()\nf = lambda x: object()",
    "at the end": "import atexit, os\natexit.register(lambda: os.write(3, b'[[0,1],[0,1],[0,1]]\\n'))\nf = lambda x: object()",
    "looks for the answers": "import gc, os, sys\nneedle = '-'.join(['the', 'right', 'answers'])\n"
    "def has(o):\n    try: return o is not globals() and needle in str(o)\n    except BaseException: return False\n"
    "n = sum(map(has, gc.get_objects()))\n"
    "os.lseek(0, 0, 0)\ndata = os.read(0, 1 << 20) + repr((dict(os.environ), sys.orig_argv)).encode()\n"
    "f = lambda x: [n > 0, data.count(needle.encode())]",
    "looks for the answers in memory": "try: data = open('/proc/self/mem', 'rb').read()\nexcept OSError: data = b''\nf = lambda x: data.decode('latin1')",
    "surrogates": "f = '\ud800'",
    "a zero byte": "f = sum\0",
    "another encoding": "# coding: utf-7\nf = sum +ACM-",
    "ten million bytes": "#" + "x" * 10_000_000,
    "ten million brackets": "f = " + "(" * 10_000_000,
    "deep recursion": "def f(x): return f(x)",
    "a busy loop": "def f(x):\n    while True: pass",
    "a memory bomb": "def f(x): return [0] * 10**10",
    "swallows the end": "def f(x):\n    while True:\n        try:\n            while True: pass\n        except BaseException: pass",
}
"""Programs that want to seem right without being it."""


def odd(why, status="ok"):
    return Called(status, (Odd(why),) * 3)


ERRORS = {
    "KeyError": ["no function", "an empty text", "ten million bytes"],
    "TypeError": ["not callable"],
    "SyntaxError": ["a syntax error", "surrogates", "ten million brackets"],
    "ValueError": ["raises"],
    "SystemExit": ["leaves"],
    "E": ["raises what is no exception"],
    "RecursionError": ["deep recursion"],
    "RuntimeError": ["a thread that answers later"],  # it cannot be started
    "BlockingIOError": ["lets a child answer", "both answer"],  # there is no child
    "OddError": [
        *("equal to everything", "an evil repr", "an int that is none", "a list that goes on", "a false class"),
        *("a list in itself", "deep", "wide", "long", "a giant", "a tuple", "bytes", "keys that are no text"),
        *("a generator", "a coroutine", "patched exec", "patched output", "patched modules", "patched writer"),
        "at the end",
    ],
    "no message": [
        *("leaves at once", "leaves when called", "not a number", "infinite", "patched frames", "patched os.write"),
        *("answers before", "answers in a call", "answers and leaves, twice", "answers too many"),
        *("answers what is no JSON", "answers a number too large", "answers with a wrong form", "answers deep"),
        "answers bytes",
    ],
}
"""What stands in the place of each value, where the program itself ended well."""
ENDS = {
    "died": ["an error with an evil name", "patched builtins", "closes the descriptor"],
    "output": ["answers without end"],
    "time": ["a busy loop", "swallows the end"],
    "memory": ["a memory bomb"],
}
SAID = {
    **{name: [odd(why)] for why, names in ERRORS.items() for name in names},
    **{name: [odd(status, status)] for status, names in ENDS.items() for name in names},
    # what is said as the name of an error is cut; but json may find it too deep, by how deep its caller stands
    "answers a deep error": [odd("[" * 60), odd("no message")],
    # older releases of Python 3.11 have another word for it
    "a zero byte": [odd("SyntaxError"), odd("ValueError")],
    "another encoding": [Called("ok", (7, 0, 7))],  # honest after all: `f = sum #`
    "looks for the answers": [Called("ok", ([False, 0],) * 3)],
    "looks for the answers in memory": [Called("ok", ("", "", ""))],  # there is no /proc
}
"""How each of them ends, and what it has said: in two cases one of two things."""


def test_how_many_tricks_there_are():
    assert len(TRICKS) == len(SAID) == 61
    assert SAID.keys() == TRICKS.keys()
    page = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text()
    assert f"and {len(TRICKS)} that want to seem right" in page
    table = page.partition("## What was tried")[2].partition("\n## ")[0]
    assert sum(int(n) for n in re.findall(r"\| (\d+) \|", table)) == 100 + 61


@pytest.mark.parametrize("name", TRICKS, ids=lambda x: x.replace(" ", "-"))
def test_tricks_gain_nothing(bubblewrap, name):
    assert repr(ask(bubblewrap, TRICKS[name])) in map(repr, SAID[name])  # so that True is not 1


def test_what_is_there_would_be_found(bubblewrap):
    """The program that looks for the answers, where they are: among the arguments."""
    got = ask(bubblewrap, TRICKS["looks for the answers"], [[["the-right-answers"]]])
    assert repr(got.values) == "([True, 1],)"


def test_two_that_answer_have_none(bubblewrap):
    """Where it may have children, the message of the child makes that of the parent void."""
    got = ask(bubblewrap, "import os, time\nif os.fork(): os.wait()\nf = sum", processes=4)
    assert got.values == (Odd("no message"),) * 3


def test_a_guess_is_but_a_guess(bubblewrap):
    """One who writes the message himself has said values of his own, which are compared as all others."""
    source = "import os\nfor fd in range(3, 64):\n    try: os.write(fd, b'[[0,7],[0,0],[0,8]]\\n')\n    except OSError: pass\nos._exit(0)"
    got = ask(bubblewrap, source)
    assert got.values == (7, 0, 8)
    assert [same(v, sum(x)) for v, (x,) in zip(got.values, CALLS, strict=True)] == [True, True, False]


def test_many_keep_their_order(bubblewrap):
    asked = [Question(f"def f(x): return x + {i}", "f", [[i], [0]]) for i in range(12)]
    for workers in (1, 3):
        got = call_many(bubblewrap, asked, Limits(), workers)
        assert [g.values for g in got] == [(2 * i, i) for i in range(12)]
    assert call_many(bubblewrap, [], Limits(), 2) == []


@pytest.mark.parametrize(
    ("a", "b", "equal"),
    [
        (1, 1, True),
        (1, True, False),
        (0, False, False),
        (1, 1.0, False),
        (1.0, 1.0, True),
        (0.0, -0.0, True),
        (float("nan"), float("nan"), False),
        ("1", 1, False),
        ("a", "a", True),
        (None, None, True),
        (None, 0, False),
        ([], [], True),
        ([1, [2]], [1, [2]], True),
        ([1, [2]], [1, [True]], False),
        ([1], [1, 2], False),
        ([1, 2], [2, 1], False),
        ([], {}, False),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ({"a": 1}, {"a": True}, False),
        ({"a": 1}, {"b": 1}, False),
        ((1,), (1,), False),
        (Odd("x"), Odd("x"), False),
    ],
)
def test_same(a, b, equal):
    assert same(a, b) is equal
    assert same(b, a) is equal


def test_what_is_too_deep_is_not_the_same():
    a = b = 1
    for _ in range(40):
        a, b = [a], [b]
    assert not same(a, b)


def test_types_are_told_apart_on_the_way_out():
    got = ask(open_sandbox("process"), "f = lambda x: [True, 1, 1.0, '1', None]")
    assert [type(v) for v in got.values[0]] == [bool, int, float, str, type(None)]
