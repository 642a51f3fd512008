"""A user's reward function: every shape it may have, and every way it may fail."""

import random
import re
import time
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from sharpen.errors import SharpenError
from sharpen.task.base import RewardSpec, Task
from sharpen.task.userfn import UserReward, with_reward
from sharpen.types import Problem, Segment, Trace


def trace_of(problem: Problem, text: str) -> Trace:
    said = Segment(torch.zeros(len(text), dtype=torch.long), trainable=True, text=text)
    return Trace(problem, [Segment(torch.zeros(1, dtype=torch.long), text="the prompt says #7"), said])


def reward(tmp_path: Path, body: str, **kw: Any) -> UserReward:
    path = tmp_path / "mine.py"
    path.write_text(body)
    return UserReward(f"{path}:f", **kw)


ITEMS = [("a" * n, Problem(f"p{n}", "why?", n, None, {"n": n, "pair": (1, 2)})) for n in range(6)]


@pytest.mark.parametrize(
    "body",
    [
        "def f(text, problem):\n    print('hello')\n    return len(text) + problem.answer",
        "async def f(text, problem):\n    return len(text) + problem['answer']",
        "def f(texts, problems):\n    return [len(t) + p.info['n'] for t, p in zip(texts, problems)]",
        "async def f(texts, problems):\n    return tuple(float(len(t) + p.answer) for t, p in zip(texts, problems))",
        "class F:\n    def __call__(self, text, problem):\n        "
        "return len(text) + sum(problem.info['pair']) - 3 + problem.answer\nf = F()",
    ],
)
def test_shapes_and_order(tmp_path: Path, body: str) -> None:
    want = [{"f": float(2 * n)} for n in range(6)]
    for workers in (1, 2):
        with reward(tmp_path, body, workers=workers) as f:
            assert f.scores(ITEMS) == want


def test_order_with_unequal_times(tmp_path: Path) -> None:
    body = "import time\ndef f(text, problem):\n    time.sleep(0.1 * (problem.answer == 0))\n    return problem.answer"
    with reward(tmp_path, body, workers=2) as f:
        assert [s["f"] for s in f.scores(ITEMS)] == [0, 1, 2, 3, 4, 5]
        assert f.scores([]) == []


def test_async_calls_run_together(tmp_path: Path) -> None:
    with reward(
        tmp_path, "import asyncio\nasync def f(text, problem):\n    await asyncio.sleep(0.3)\n    return True"
    ) as f:
        f.scores(ITEMS[:1])
        start = time.monotonic()
        assert f.scores(ITEMS * 4) == [{"f": 1.0}] * 24
        assert time.monotonic() - start < 2.0


def test_bools_dicts_and_number_types(tmp_path: Path) -> None:
    body = "import fractions\ndef f(text, problem):\n    return {'good': True, 'half': fractions.Fraction(1, 2)}"
    with reward(tmp_path, body) as f:
        assert f.scores(ITEMS[:1]) == [{"good": 1.0, "half": 0.5}]


def test_prints_and_input_do_not_reach_the_protocol(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    body = (
        "import os, sys, subprocess\n"
        "def f(text, problem):\n"
        "    print('printed')\n"
        "    os.write(1, b'written\\n')\n"
        "    subprocess.run(['echo', 'echoed'])\n"
        "    return len(sys.stdin.read())\n"
    )
    with reward(tmp_path, body) as f:
        assert f.scores(ITEMS[:2]) == [{"f": 0.0}, {"f": 0.0}]
    out, err = capfd.readouterr()
    assert out == ""
    assert err.split() == ["printed", "written", "echoed"] * 2


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            "def f(text, problem):\n    x = 1\n    return x / 0",
            "at line 3 (return x / 0): ZeroDivisionError: division by zero",
        ),
        (
            "def g():\n    raise KeyError\ndef f(text, problem):\n    return g()",
            "failed, at line 2 (raise KeyError): KeyError.",
        ),
        ("def f(text, problem):\n    return float('nan')", "failed: returned nan, and a reward must be finite."),
        ("def f(text, problem):\n    return {'a': -1e400}", "returned -inf, and a reward must be finite (under 'a')."),
        ("def f(text, problem):\n    return None", "failed: returned None, not a number, a bool or a dict of numbers."),
        (
            "def f(text, problem):\n    return '1'",
            "failed: returned a str ('1'), not a number, a bool or a dict of numbers.",
        ),
        ("def f(text, problem):\n    return {}", "failed: returned an empty dict."),
        ("def f(text, problem):\n    return {1: 2}", "a dict with the key 1, and names of rewards must be strings."),
        ("def f(texts, problems):\n    return [0]", "failed: returned 1 rewards for 2 texts."),
        ("def f(texts, problems):\n    return 0.5", "failed: returned a float (0.5), not a list of rewards."),
        ("import sys\ndef f(text, problem):\n    sys.exit(3)", "at line 3 (sys.exit(3)): it called sys.exit(3)."),
        (
            "def f(text, problem):\n    return problem.gold",
            "AttributeError: a problem has no 'gold'; it has key, prompt, answer, info.",
        ),
        (
            "async def f(text, problem):\n    raise OSError('no net')",
            "at line 2 (raise OSError('no net')): OSError: no net.",
        ),
    ],
)
def test_failures_name_the_place_and_the_example(tmp_path: Path, body: str, said: str) -> None:
    long = "\n" + "x" * 300
    with reward(tmp_path, body) as f, pytest.raises(SharpenError) as caught:
        f.scores([(long, ITEMS[3][1]), ("", ITEMS[4][1])])
    text = str(caught.value)
    assert text.startswith(f"The reward function 'f' of {tmp_path / 'mine.py'} failed")
    assert said in text
    assert f"The problem was 'p3', the text '\\n{'x' * 199}' (the first 200 of 301 characters)." in text
    assert text.endswith("Make it return a finite number, a bool or a dict of numbers for any text a model may write.")
    assert "\n" not in text


def test_the_first_failure_in_order_is_told_whatever_the_workers(tmp_path: Path) -> None:
    body = (
        "import time\n"
        "def f(text, problem):\n"
        "    time.sleep(0.2 if problem.answer == 1 else 0)\n"
        "    return 1 / (problem.answer not in (1, 2))\n"
    )
    for workers in (1, 2):
        with reward(tmp_path, body, workers=workers) as f, pytest.raises(SharpenError, match=r"problem was 'p1'"):
            f.scores(ITEMS)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            "import time\ndef f(text, problem):\n    while problem.answer == 1:\n        time.sleep(9)\n    return 2",
            "did not return within 0.5 s, at line 4 (time.sleep(9)), and was stopped.",
        ),
        (
            "def f(text, problem):\n    if problem.answer == 1:\n        x = 7 ** (10 ** 9)\n    return 2",
            "did not return within 0.5 s, at line 3 (x = 7 ** (10 ** 9)), and was stopped.",
        ),
        (
            "import asyncio\nasync def f(text, problem):\n    await asyncio.sleep(9 * problem.answer)\n    return 2",
            "did not return within 0.5 s, and was stopped.",
        ),
        (
            "import os\ndef f(text, problem):\n    if problem.answer == 1:\n        os._exit(4)\n    return 2",
            "ended the process it ran in: exit status 4.",
        ),
        (
            "import ctypes\ndef f(text, problem):\n    if text == 'a':\n        ctypes.string_at(0)\n    return 2",
            "ended the process it ran in, at line 4 (ctypes.string_at(0)): killed by SIGSEGV.",
        ),
        (
            "import os, signal\ndef f(text, problem):\n    if text == 'a':\n        os.kill(os.getpid(), 9)\n    "
            "return 2",
            "ended the process it ran in: killed by SIGKILL.",
        ),
    ],
)
def test_hangs_and_deaths_and_life_after_them(tmp_path: Path, body: str, said: str) -> None:
    with reward(tmp_path, body, timeout=0.5) as f:
        with pytest.raises(SharpenError) as caught:
            f.scores(ITEMS[:3])
        assert said in str(caught.value)
        assert "The problem was 'p1', the text 'a'." in str(caught.value)
        assert f.scores(ITEMS[:1]) == [{"f": 2.0}]


def test_a_hang_takes_its_children_along(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    body = (
        "import subprocess\ndef f(text, problem):\n    p = subprocess.Popen(['sleep', '60'])\n"
        f"    open({str(mark)!r}, 'w').write(str(p.pid))\n    p.wait()\n"
    )
    with reward(tmp_path, body, timeout=0.5) as f, pytest.raises(SharpenError, match=r"did not return within"):
        f.scores(ITEMS[:1])
    state = Path(f"/proc/{mark.read_text()}/stat")
    for _ in range(100):
        if not state.exists() or state.read_text().split()[2] == "Z":
            break
        time.sleep(0.02)
    assert not state.exists() or state.read_text().split()[2] == "Z"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("def g(text, problem):\n    return 1", "could not be loaded: there is no function 'f' in it (it defines g)."),
        ("f = 3", "could not be loaded: 'f' is a int, not a function."),
        (
            "def f(text):\n    return 1",
            "could not be loaded: it takes (text), not (text, problem) or (texts, problems).",
        ),
        (
            "import nothing_like_it\n",
            "at line 1 (import nothing_like_it): ModuleNotFoundError: No module named 'nothing_like_it'.",
        ),
        ("x = 1\ndef f(:\n", "at line 2 (def f(:): SyntaxError"),
        ("import sys\nsys.exit()", "at line 2 (sys.exit()): it called sys.exit()."),
        ("import os\nos._exit(7)", "could not be loaded: exit status 7."),
    ],
)
def test_files_that_do_not_load(tmp_path: Path, body: str, said: str) -> None:
    with reward(tmp_path, body) as f, pytest.raises(SharpenError) as caught:
        f.scores(ITEMS[:1])
    assert str(caught.value).startswith(f"The reward function 'f' of {tmp_path / 'mine.py'} could not be loaded")
    assert said in str(caught.value)


def test_names_that_lead_nowhere(tmp_path: Path) -> None:
    with pytest.raises(SharpenError, match=r"'mine\.py' does not name a function\. Write path/file\.py:function"):
        UserReward("mine.py")
    with pytest.raises(SharpenError, match=r"There is no file '.*none\.py', which the reward"):
        UserReward(f"{tmp_path / 'none.py'}:f")
    with pytest.raises(SharpenError, match=r"workers=0"):
        reward(tmp_path, "", workers=0)


def test_files_may_import_their_neighbours(tmp_path: Path) -> None:
    (tmp_path / "neighbour.py").write_text("VALUE = 5")
    with reward(tmp_path, "import neighbour\ndef f(text, problem):\n    return neighbour.VALUE") as f:
        assert f.scores(ITEMS[:1]) == [{"f": 5.0}]


class Toy(Task):
    """Problems whose answer is their key."""

    name: ClassVar[str] = "toy"
    rewards = (RewardSpec("correct"),)

    def draw(self, split: str, rng: random.Random) -> Problem:
        return self.fixed(split, 2)[rng.randrange(2)]

    def fixed(self, split: str, n: int) -> list[Problem]:
        return [Problem(f"{split}{i}", "?", str(i)) for i in range(min(n, 2))]

    def verify(self, problem: Problem, trace: Trace) -> dict[str, float]:
        return {"correct": float(trace.text == problem.answer)}


def test_a_task_with_the_users_reward(tmp_path: Path) -> None:
    with reward(tmp_path, "def f(text, problem):\n    return len(text) / 4") as f:
        task = with_reward(Toy(), f)
        assert (task.name, task.main, [r.name for r in task.rewards]) == ("toy", "f", ["correct", "f"])
        one, two = task.fixed("test", 2)
        assert task.verify(one, trace_of(one, "0")) == {"correct": 1.0, "f": 0.25}
        got = task.verify_many([(one, trace_of(one, "0")), (two, trace_of(two, "wxyz"))])
        assert got == [{"correct": 1.0, "f": 0.25}, {"correct": 0.0, "f": 1.0}]
        assert [task.solved(r) for r in got] == [False, True]
        assert [with_reward(Toy(), f, threshold=0.25).solved(r) for r in got] == [True, True]


def test_names_of_a_dict(tmp_path: Path) -> None:
    with reward(
        tmp_path, "def f(text, problem):\n    return {'style': 0.5, 'reward': 1} | ({'more': 1} if text else {})"
    ) as f:
        task = with_reward(Toy(), f)
        assert (task.main, task.names) == ("reward", ("style", "reward"))
        assert with_reward(Toy(), f, main="style").main == "style"
        one = task.fixed("test", 1)[0]
        with pytest.raises(
            SharpenError, match=r"gave more, reward, style for problem 'test0' and style, reward before"
        ):
            task.verify(one, trace_of(one, "x"))
        with pytest.raises(SharpenError, match=r"main reward 'other' is not one that 'f' of .* gives: style, reward"):
            with_reward(Toy(), f, main="other")


def test_names_that_clash(tmp_path: Path) -> None:
    with (
        reward(tmp_path, "def f(text, problem):\n    return {'correct': 1}") as f,
        pytest.raises(SharpenError, match=re.escape("gives a reward named 'correct', and so does task 'toy'")),
    ):
        with_reward(Toy(), f)


@pytest.mark.parametrize(
    ("name", "value"), [("f", "{'won': 1.0, 'lost': 1.0}"), ("lost", "1.0")], ids=["of a dict", "of the function"]
)
def test_the_name_lost_is_taken(tmp_path: Path, name: str, value: str) -> None:
    """It marks the texts that a function never came back from: what is named so would solve nothing."""
    path = tmp_path / "mine.py"
    path.write_text(f"def {name}(text, problem): return {value}")
    found = f"The reward function {name!r} of {path} gives a reward named 'lost', which is the mark of a text that"
    with UserReward(f"{path}:{name}") as f, pytest.raises(SharpenError, match=re.escape(found)):
        with_reward(Toy(), f)


def test_the_name_lost_is_taken_where_the_task_has_it(tmp_path: Path) -> None:
    class Game(Toy):
        rewards = (RewardSpec("won"), RewardSpec("lost"))

    with (
        reward(tmp_path, "def f(text, problem): return 1") as f,
        pytest.raises(SharpenError, match=r"^Task 'toy' gives a reward named 'lost'"),
    ):
        with_reward(Game(), f)


FORKS = """
import os, sys, time
def f(text, problem):
    if os.fork() == 0:
        time.sleep(0.1)
        {end}
    time.sleep(0.2)
    return len(text)
"""


@pytest.mark.parametrize("end", ["return 99.0", "sys.exit(0)", "raise ValueError"])
def test_a_child_that_comes_back_answers_nothing(tmp_path: Path, end: str) -> None:
    """Its reply came first, and was taken for that of the call; that of the call for the next one's."""
    with reward(tmp_path, FORKS.format(end=end)) as mine:
        assert mine.scores(ITEMS[:3]) == [{"f": 0.0}, {"f": 1.0}, {"f": 2.0}]


def test_a_giant_message_is_cut(tmp_path: Path) -> None:
    """Reading it took the square of its length: minutes for 100 MB, whatever the limit of time."""
    began = time.monotonic()
    with (
        reward(tmp_path, "def f(text, problem): raise ValueError('x' * 100_000_000)", timeout=20.0) as mine,
        pytest.raises(SharpenError) as caught,
    ):
        mine.scores(ITEMS[:1])
    assert time.monotonic() - began < 20
    assert "ValueError: " + "x" * 1988 + "..." in str(caught.value)
    assert "x" * 1989 not in str(caught.value)
    assert len(str(caught.value)) < 3000


def test_a_message_cannot_act_on_a_terminal(tmp_path: Path) -> None:
    body = "def f(text, problem): raise ValueError('\\x1b]0;title\\x07\\x1b[2J\\u202e\\ud800' + text)"
    with reward(tmp_path, body) as mine, pytest.raises(SharpenError) as caught:
        mine.scores(ITEMS[1:2])
    said = "ValueError: ⟨U+001B⟩]0;title⟨U+0007⟩⟨U+001B⟩[2J⟨U+202E⟩⟨U+D800⟩a."
    assert said in str(caught.value)


@pytest.mark.parametrize("raised", ["KeyboardInterrupt", "SystemExit", "GeneratorExit"])
def test_an_error_whose_text_raises_is_the_authors_mistake(tmp_path: Path, raised: str) -> None:
    body = f"class E(Exception):\n    def __str__(self): raise {raised}\ndef f(text, problem): raise E"
    with reward(tmp_path, body) as mine, pytest.raises(SharpenError, match=r"failed, at line 3 .*its message cannot"):
        mine.scores(ITEMS[:1])


@pytest.mark.parametrize("name", ["", "\x1b[31m", "\ud800", "a" * 101, "two\nlines", "\u202e"])
def test_names_of_rewards_can_be_seen(tmp_path: Path, name: str) -> None:
    body = f"def f(text, problem): return {{{name!a}: 1.0}}"
    said = "names of rewards must be strings of 1 to 100 characters"
    with reward(tmp_path, body) as mine, pytest.raises(SharpenError, match=said):
        mine.scores(ITEMS[:1])
