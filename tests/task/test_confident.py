"""A confidence stated after the answer: read, kept from the task, taught, and refused where there is no text."""

import random

import pytest

from sharpen.errors import SharpenError
from sharpen.task import Chain, Grid
from sharpen.task.base import RewardSpec
from sharpen.task.confident import Confident, confidence, stated
from sharpen.task.resolve import task_of
from sharpen.task.text import said
from sharpen.task.validate import validate
from toy import Copy


@pytest.mark.parametrize(
    ("text", "before", "q"),
    [
        ("1+1=2\n#2\n?9", "1+1=2\n#2", 1.0),
        ("#2\n?0\n", "#2", 0.0),
        ("#2\n?3", "#2", 1 / 3),
        ("?5", "", 5 / 9),
        ("#2\n?5\n\n", "#2\n?5\n\n", None),
        ("#2\n?5 ", "#2\n?5 ", None),
        ("#2?5", "#2?5", None),
        ("#2\n?55", "#2\n?55", None),
        ("#2\n?5\n#2", "#2\n?5\n#2", None),
        ("#2\n?4\n?5", "#2\n?4", 5 / 9),
        ("", "", None),
    ],
)
def test_what_is_a_confidence_line(text, before, q):
    assert stated(text) == (before, q if q is None else pytest.approx(q))


def test_the_task_never_sees_the_line():
    task = Confident(Copy())
    (p,) = task.fixed("test", 8)[7:]
    assert task.verify(p, said(p, "7\n?2")) == {"correct": 1.0, "short": 1.0, "layout": 1.0}
    assert task.verify(p, said(p, "8\n?2")) == {"correct": 0.0, "short": 1.0, "layout": 1.0}
    assert task.verify(p, said(p, "7")) == {"correct": 1.0, "short": 1.0, "layout": 0.0}
    assert task.verify(p, said(p, "?2")) == {"correct": 0.0, "short": 0.0, "layout": 0.0}
    assert task.verify(p, said(p, "7\n", "?2"))["correct"] == 1.0  # steps of their own change nothing
    assert confidence(said(p, "7\n", "?9")) == 1.0
    assert task.answer_of("7\n?2") == "7"
    assert task.solved(task.verify(p, said(p, "7\n?0")))


def test_it_is_the_task_in_everything_else():
    task = Confident(Chain(low=2, high=3, harder_low=4, harder_high=4))
    assert (task.name, task.main, task.splits) == ("chain+confidence", "correct", ("train", "test", "harder"))
    assert task.gives == {"answer", "solution", "confidence"}
    assert task.max_tokens == task.task.max_tokens + 4
    assert [p.prompt for p in task.fixed("test", 5)] == [p.prompt for p in task.task.fixed("test", 5)]
    assert task.identity()["task"] == task.task.identity()
    p = task.draw("train", random.Random(3))
    assert p.solution == (*task.task.draw("train", random.Random(3)).solution, "?9")


def test_lessons_state_every_confidence_whatever_the_answer():
    task, rng = Confident(Copy()), random.Random(0)
    digits = [task.lesson(rng)[1][-1] for _ in range(500)]
    assert {f"?{d}" for d in range(10)} == set(digits)
    assert max(map(digits.count, set(digits))) < 80


def test_it_can_be_trusted():
    report = validate(Confident(Chain()), 20, rng=random.Random(0))
    assert report.passed, report.text()


def test_by_name_with_the_options_of_the_task():
    assert task_of("confident:chain", low="3", high="4", harder_low="5") == Confident(Chain(3, 4, 5))
    with pytest.raises(SharpenError, match="The task 'confident:' names no task"):
        task_of("confident:")
    with pytest.raises(SharpenError, match=r"There is no task 'chian'\. Did you mean chain"):
        task_of("confident:chian")


def test_worlds_and_rewards_of_the_same_name_are_refused():
    with pytest.raises(SharpenError, match="Task 'grid' is an environment"):
        Confident(Grid())

    class Laid(Copy):
        rewards = (*Copy.rewards, RewardSpec("layout"))

    with pytest.raises(SharpenError, match="has a reward 'layout' already"):
        Confident(Laid())
