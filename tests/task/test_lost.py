"""A verifier has a time limit, and a worker that dies or overruns loses one sample, loudly."""

import logging
import os
import random
import time
from pathlib import Path

import pytest
import torch

from sharpen.ctx import Ctx
from sharpen.errors import SharpenError
from sharpen.recipes import recipe
from sharpen.reward.verify import Verify
from sharpen.task.base import RewardSpec
from sharpen.task.checks import garbage_range, long_texts
from sharpen.task.lost import LostError, Tally, bearable
from sharpen.task.userfn import UserReward, with_reward
from sharpen.types import Group, Problem, Segment, Trace
from toy import Copy

P = Problem("copy:7", "7?", "7", ("7",), {"digit": 7})
SYNC = """
import os, time
def f(text, problem):
    if text == 'die':
        os._exit(3)
    if text == 'hang':
        time.sleep(60)
    if text == 'raise':
        raise ValueError('a bug')
    return {'f': -2.0 if text == 'bad' else -1.0 if text == 'fair' else float(text == '7'), 'g': 5.0}
"""
ASYNC = SYNC.replace("def f", "async def f").replace("time.sleep(60)", "await __import__('asyncio').sleep(60)")
BATCH = (
    SYNC.replace("def f", "def one")
    + "def f(texts, problems):\n    return [one(t, p) for t, p in zip(texts, problems)]"
)
CROWD = """
import asyncio, os
n = 0
async def f(text, problem):
    global n
    n += 1
    await asyncio.sleep(0.01)
    if n > 1:
        os._exit(3)
    n -= 1
    return {'f': float(len(text)), 'g': 0}
"""


def said(text: str) -> Trace:
    none = torch.zeros(0, dtype=torch.int64)
    return Trace(P, [Segment(none, text="7?"), Segment(none, trainable=True, role="assistant", text=text)])


@pytest.fixture
def judged(tmp_path: Path):
    made = []

    def make(body: str = SYNC, threshold: float = 1.0):
        (tmp_path / "mine.py").write_text(body)
        made.append(UserReward(f"{tmp_path / 'mine.py'}:f", timeout=0.5, workers=2))
        return with_reward(Copy(), made[-1], names=("f", "g"), threshold=threshold)

    yield make
    for user in made:
        user.close()


@pytest.mark.parametrize("body", [SYNC, ASYNC], ids=["sync", "async"])
@pytest.mark.parametrize(
    ("lost", "why"),
    [("die", "ended the process it ran in: exit status 3"), ("hang", "did not return within 0.5 s")],
)
def test_one_text_is_lost_and_the_others_are_judged(judged, body, lost, why, caplog):
    task = judged(body)
    texts = ["7", "fair", lost, "bad", "7", "x"]
    with caplog.at_level(logging.WARNING, "sharpen.task.userfn"):
        got = task.verify_many([(P, said(t)) for t in texts])
    assert [r["f"] for r in got] == [1.0, -1.0, -2.0, -2.0, 1.0, 0.0]  # no better than the worst of the others
    assert [r["g"] for r in got] == [5.0, 5.0, 0.0, 5.0, 5.0, 5.0]  # nor above 0
    assert [r.get("lost") for r in got] == [None, None, 1.0, None, None, None]
    assert [task.solved(r) for r in got] == [True, False, False, False, True, False]
    (line,) = [r.getMessage() for r in caplog.records]
    assert line.startswith("One text is lost and counts as not solved. The reward function 'f' of ")
    assert why in line
    assert f"The problem was 'copy:7', the text '{lost}'." in line


def test_a_lost_text_is_not_solved_though_0_would_be(judged):
    task = judged(threshold=0.0)
    (got,) = task.verify_many([(P, said("die"))])
    assert (got["f"], task.solved(got), task.solved({**got, "lost": 0.0})) == (0.0, False, True)


def test_what_the_function_raises_stops_everything(judged):
    with pytest.raises(SharpenError, match=r"ValueError: a bug\. The problem was 'copy:7', the text 'raise'"):
        judged().verify_many([(P, said(t)) for t in ("7", "die", "raise", "7")])


@pytest.mark.parametrize("body", [SYNC, ASYNC], ids=["sync", "async"])
def test_a_function_that_cannot_start_again_stops_everything(judged, body):
    """Its file was broken while the run went on: nothing is wrong until a process dies and another is to start."""
    task = judged(body)
    assert task.verify_many([(P, said("7"))])[0]["f"] == 1.0
    Path(task.user.path).write_text("def f(:\n")
    found = r"could not be loaded, at line 1 \(def f\(:\): SyntaxError: .* Mend the file"
    with pytest.raises(SharpenError, match=found):
        task.verify_many([(P, said(t)) for t in ("die", "7", "7", "7", "7")])


def test_a_batch_that_dies_stops_everything_for_nobody_knows_where(judged):
    with pytest.raises(SharpenError, match="ended the process it ran in"):
        judged(BATCH).verify_many([(P, said(t)) for t in ("7", "die")])


@pytest.mark.parametrize(("n", "deaths", "too_many"), [(4, 2, False), (4, 3, True)])
def test_too_many_lost_stop_the_run(judged, n, deaths, too_many):
    task = judged()
    pairs = [(P, said("die" if i < deaths else "7")) for i in range(n)]
    if too_many:
        allowed = deaths - 1
        with pytest.raises(SharpenError, match=rf"{deaths} of \d+ texts are lost, .* more than {allowed} are too many"):
            task.verify_many(pairs)
    else:
        assert sum(task.solved(r) for r in task.verify_many(pairs)) == n - deaths


def test_how_many_may_be_lost():
    assert [bearable(n) for n in (1, 4, 299, 300, 399, 1000)] == [2, 2, 2, 3, 3, 10]


def test_texts_judged_one_at_a_time_are_counted_together(judged):
    """Two are lost at most; those who go on all the same lose no further one."""
    task = judged()
    lost = [task.verify(P, said(t)).get("lost") for t in ("die", "7", "die")]
    assert lost == [1.0, None, 1.0]
    for lost, judged_so_far in ((3, 4), (4, 6)):
        with pytest.raises(LostError, match=rf"^{lost} of {judged_so_far} texts judged so far are lost, .* than 2 are"):
            task.verify(P, said("die"))
        assert task.verify(P, said("7"))["f"] == 1.0


def test_what_is_counted():
    """Of 297 texts one may be lost after two have been, once 300 are judged; of a call as many as both counts bear."""
    tally, died, fine = Tally(), SharpenError("x"), {"f": 1.0}
    tally.add([died, died, *[fine] * 295], 297)
    assert (tally.judged, tally.lost) == (297, 2)
    assert [tally.patience(n) for n in (1, 2, 3, 102, 103, 1000)] == [0, 0, 1, 1, 2, 10]
    tally.add([fine, fine, died], 3)
    with pytest.raises(
        LostError, match=r"^4 of 301 texts judged so far are lost, .* more than 3 are too many to go on"
    ):
        tally.add([died], 1)
    tally.add([fine] * 9698, 9698)
    assert tally.patience(100) == 2
    with pytest.raises(LostError, match=r"^3 of 50 texts are lost, .* more than 2 are too many to go on"):
        tally.add([died] * 3 + [fine] * 47, 100)


@pytest.mark.parametrize("check", [garbage_range, long_texts])
def test_a_check_does_not_wait_for_all_texts_of_a_function_that_dies(judged, check):
    """It goes on after what a function raises, and says so; after too many lost texts it does not."""
    task = judged("import os\ndef f(text, problem):\n    os._exit(3)")
    with pytest.raises(LostError, match="3 of 3 texts judged so far are lost"):
        check(task, [P] * 5, random.Random(0))


@pytest.mark.parametrize("body", [SYNC, ASYNC], ids=["sync", "async"])
def test_many_that_hang_are_not_all_waited_for(judged, body):
    task = judged(body)
    start = time.monotonic()
    with pytest.raises(SharpenError, match="texts are lost"):
        task.verify_many([(P, said("hang"))] * 200)
    assert time.monotonic() - start < 30  # 200 of them would take 50 s with two workers


def test_async_calls_that_returned_are_not_made_again(judged, tmp_path):
    """A call may cost money: only the one that did not return is made again, by itself."""
    calls = tmp_path / "calls"
    noted = f"    open({str(calls)!r}, 'a').write(text + ' ')\n"
    task = judged(ASYNC.replace("problem):\n", "problem):\n" + noted, 1))
    got = task.verify_many([(P, said(t)) for t in ("7", "hang", "x", "fair")])
    assert [r["f"] for r in got] == [1.0, -1.0, 0.0, -1.0]
    assert calls.read_text().split() == ["7", "hang", "x", "fair", "hang"]


def test_async_calls_that_die_only_together_are_judged_by_themselves(judged):
    """More chunks die than texts may be lost, and none is: those behind them are judged as well."""
    task = judged(CROWD)
    task.user.concurrent = 2
    assert [r["f"] for r in task.verify_many([(P, said("x" * k)) for k in range(12)])] == [float(k) for k in range(12)]


def test_the_stage_marks_and_counts_it(judged):
    task = judged()
    ctx = Ctx(recipe("grpo"), task, {})
    group = Group(P, [said(t) for t in ("7", "die", "7", "x")])
    Verify()([group], ctx)
    assert [t.solved for t in group.traces] == [True, False, True, False]
    assert [t.info.get("lost") for t in group.traces] == [None, True, None, None]
    assert set(group.traces[1].rewards) == {"correct", "short", "f", "g"}
    assert ctx.metrics.take()["verifier/lost"] == 0.25
    Verify()([Group(P, [said("7")])], ctx)
    assert "verifier/lost" not in ctx.metrics.take()


def test_a_task_may_have_a_reward_named_lost():
    class Game(Copy):
        rewards = (RewardSpec("correct"), RewardSpec("lost"))

        def verify(self, problem, trace):
            return {"correct": 1.0, "lost": 1.0}

    ctx = Ctx(recipe("grpo"), Game(), {})
    trace = said("7")
    Verify()([Group(P, [trace])], ctx)
    assert (trace.solved, trace.rewards, trace.info) == (True, {"correct": 1.0, "lost": 1.0}, {})
    assert "verifier/lost" not in ctx.metrics.take()


def test_a_function_that_dies_on_its_first_text_stops_a_run_before_it_begins(tmp_path):
    (tmp_path / "mine.py").write_text("import os\ndef f(text, problem): os._exit(3)")
    with UserReward(f"{tmp_path / 'mine.py'}:f") as user, pytest.raises(SharpenError, match="exit status 3"):
        with_reward(Copy(), user)


def test_no_process_is_left(judged):
    task = judged()
    task.verify_many([(P, said(t)) for t in ("7", "die", "7")])
    alive = [w.process.pid for w in task.user.pool._idle]
    task.user.close()
    for pid in alive:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
