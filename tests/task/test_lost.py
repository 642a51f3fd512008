"""A verifier has a time limit, and a worker that dies or overruns loses one sample, loudly."""

import logging
import os
import time
from pathlib import Path

import pytest
import torch

from sharpen.ctx import Ctx
from sharpen.errors import SharpenError
from sharpen.recipes import recipe
from sharpen.reward.verify import Verify
from sharpen.task.userfn import UserReward, bearable, with_reward
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


def test_many_that_hang_are_not_all_waited_for(judged):
    task = judged()
    start = time.monotonic()
    with pytest.raises(SharpenError, match="texts are lost"):
        task.verify_many([(P, said("hang"))] * 200)
    assert time.monotonic() - start < 30  # 200 of them would take 50 s with two workers


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
