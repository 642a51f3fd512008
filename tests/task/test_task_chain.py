"""Chains: hand-checked rewards and steps."""

import random

import pytest

from sharpen.errors import SharpenError
from sharpen.task import Chain
from sharpen.task.text import said
from sharpen.types import Problem

TASK = Chain()
# 3+4=7, 7*7=49 -> 9, 9-2=7
SUM = Problem(
    "chain:3+4*7-2",
    "3+4*7-2?",
    "7",
    ("3+4=7", "7*7=9", "9-2=7", "#7"),
    {"category": 3, "difficulty": 3, "expression": "3+4*7-2"},
)
GOLD = "3+4=7\n7*7=9\n9-2=7\n#7"


@pytest.mark.parametrize(
    ("text", "correct", "form", "steps"),
    [
        (GOLD, 1, 1, 1),
        (GOLD + "\n", 1, 1, 1),
        ("#7", 1, 1, 0),
        ("3+4=7\n#7", 1, 1, 1 / 3),
        ("3+4=7\n7*7=9\n9-2=7", 0, 0, 1),
        ("3+4=7\n7*7=9\n9-2=7\n#8", 0, 1, 1),
        ("3+4=8\n8*7=6\n6-2=4\n#4", 0, 1, 0),
        ("3+4=7\n7*7=8\n8-2=6\n#6", 0, 1, 1 / 3),
        ("7*7=9\n3+4=7\n9-2=7\n#7", 1, 1, 0),
        ("3+4=7\n9-2=7\n7*7=9\n#7", 1, 1, 1 / 3),
        (GOLD.replace("#7", "9-2=7\n#7"), 1, 1, 1),
        ("well\n" + GOLD, 1, 0, 0),
        ("", 0, 0, 0),
        # known tricks against extraction
        ("#7\n#7", 0, 0, 0),
        ("#6\n#7", 0, 0, 0),
        ("#6 #7", 0, 0, 0),
        (GOLD + "\n#7", 0, 0, 1),
        (GOLD + "\n\n", 0, 0, 1),
        (GOLD + " ", 0, 0, 1),
        (GOLD + "\r", 0, 0, 1),
        ("# 7", 0, 0, 0),
        ("#07", 0, 0, 0),
        ("#+7", 0, 0, 0),
        ("#17", 0, 0, 0),
        ("#7.0", 0, 0, 0),
        ("#７", 0, 0, 0),
        ("#٧", 0, 0, 0),
        ("#⁷", 0, 0, 0),
        ("#" + "7" * 5000, 0, 0, 0),
        ("3+4=7 \n#7", 1, 0, 0),
        ("3+٤=7\n#7", 1, 0, 0),
    ],
)
def test_rewards(text, correct, form, steps):
    assert TASK.verify(SUM, said(SUM, text)) == {"correct": correct, "format": form, "steps": pytest.approx(steps)}


def test_only_what_the_model_wrote_is_read():
    asked = Problem(SUM.key, "say #7", SUM.answer, SUM.solution, SUM.info)
    assert TASK.verify(asked, said(asked, ""))["correct"] == 0
    assert TASK.verify(asked, said(asked, "#7"))["correct"] == 1


def test_zero_has_one_spelling():
    zero = Problem("chain:5-5", "5-5?", "0", ("5-5=0", "#0"), {"category": 1, "difficulty": 1, "expression": "5-5"})
    got = [TASK.verify(zero, said(zero, t))["correct"] for t in ("#0", "#-0", "#00", "#+0", "#", "#O", "#10")]
    assert got == [1, 0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("steps", "valid"),
    [
        (GOLD.split("\n"), [True] * 4),
        (["3+4=7\n", "7*7=9\n", "9-2=7\n", "#7"], [True] * 4),
        # an error carried on well is one wrong step
        (["3+4=8", "8*7=6", "6-2=4", "#4"], [False, True, True, True]),
        (["3+4=8", "8*7=6", "6-2=4", "#7"], [False, True, True, False]),
        (["3+4=7", "8*7=6", "6-2=4", "#4"], [True, False, True, True]),
        # a line of another form takes no place, nor does a step that is not next
        (["hm", "3+4=7", "7*7=9"], [False, True, True]),
        (["7*7=9", "3+4=7", "7*7=9"], [False, True, True]),
        (["3+4=7", "3+4=7", "7*7=9"], [True, False, True]),
        (["#7"], [False]),
        (["3+4=7", "#7", "7*7=9"], [True, False, False]),
        ([*GOLD.split("\n"), "#7"], [True, True, True, True, False]),
        ([], []),
    ],
)
def test_steps(steps, valid):
    assert TASK.check_steps(SUM, steps) == valid


def test_solutions_by_plain_arithmetic():
    rng = random.Random(1)
    for split in TASK.splits:
        for _ in range(100):
            p = TASK.draw(split, rng)
            assert p.key == "chain:" + p.prompt[:-1]
            value, want = int(p.prompt[0]), []
            for op, d in zip(p.prompt[1:-1:2], p.prompt[2::2], strict=True):
                new = {"+": value + int(d), "-": value - int(d), "*": value * int(d)}[op] % 10
                want.append(f"{value}{op}{d}={new}")
                value = new
            assert p.solution == (*want, f"#{value}")
            assert p.answer == str(value)
            assert p.info["category"] == p.info["difficulty"] == len(want)
            assert (5 <= len(want) <= 6) if split != "harder" else (7 <= len(want) <= 8)


def test_votes_are_digits():
    assert [TASK.answer_of(t) for t in (GOLD, "#7", "#07", "#7\n#7", "", "7")] == ["7", "7", None, None, None, None]


def test_corrupt_errs_at_its_rate_and_carries_on():
    rng, wrong, steps = random.Random(2), 0, 0
    for p in TASK.fixed("train", 300):
        got = TASK.corrupt(p, rng, 0.3)
        valid = TASK.check_steps(p, got)
        assert valid[-1]  # the answer follows from what was claimed
        assert len(got) == len(p.solution)
        wrong, steps = wrong + valid[:-1].count(False), steps + len(valid) - 1
    assert 0.26 < wrong / steps < 0.34
    assert TASK.corrupt(SUM, rng, 0.0) == SUM.solution
    assert TASK.check_steps(SUM, TASK.corrupt(SUM, rng, 1.0)) == [False, False, False, True]


def test_habits_are_wrong_facts_at_their_own_rate():
    p = Problem("chain:7*8", "7*8?", "6", ("7*8=6", "#6"), {"category": 1, "difficulty": 1, "expression": "7*8"})
    task, rng = Chain(habits=(("7*8", "4", 0.6),)), random.Random(3)
    got = [task.corrupt(p, rng, 0.0) for _ in range(1000)]
    assert set(got) == {("7*8=4", "#4"), ("7*8=6", "#6")}
    assert 550 < got.count(("7*8=4", "#4")) < 650
    assert Chain(habits=(("7*8", "4", 1.0),)).corrupt(SUM, rng, 0.0) == SUM.solution


def test_lessons_err_at_the_rate_sloppy():
    rng = random.Random(4)
    for task, low, high in ((Chain(sloppy=0.0), 0, 0), (Chain(sloppy=0.2), 0.16, 0.24)):
        judged = []
        for _ in range(300):
            p, shown = task.lesson(rng)
            assert task.split_of(p) == "train"
            judged += task.check_steps(p, shown)[:-1]
        assert low <= judged.count(False) / len(judged) <= high


@pytest.mark.parametrize("habit", [("7*8", "6", 0.5), ("7/8", "4", 0.5), ("7*8", "44", 0.5), ("7*8", "4", 1.5)])
def test_habits_that_are_none_are_refused(habit):
    with pytest.raises(SharpenError, match=r"habit '7.8'"):
        Chain(habits=(habit,))


def test_a_rate_above_one_is_refused():
    with pytest.raises(SharpenError, match="rate must be a number from 0 to 1, and it is 2"):
        TASK.corrupt(SUM, random.Random(0), 2)
