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
            assert (5 <= len(want) <= 7) if split != "harder" else (8 <= len(want) <= 10)


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
    task, rng = Chain(habits=(("7*8", "4", 0.6),), sloppy=0.0), random.Random(3)
    got = [task.careless(p, rng) for _ in range(1000)]
    assert set(got) == {("7*8=4", "#4"), ("7*8=6", "#6")}
    assert 550 < got.count(("7*8=4", "#4")) < 650
    assert Chain(habits=(("7*8", "4", 1.0),), sloppy=0.0).careless(SUM, rng) == SUM.solution
    assert task.corrupt(p, rng, 0.0) == p.solution


def steps_of_lessons(task, n):
    """Each step of `n` lessons as (operator, digit, true result, result written), and the lessons' problems."""
    rng, steps, seen = random.Random(4), [], []
    for _ in range(n):
        p, shown = task.lesson(rng)
        seen.append(p)
        assert shown[-1] == "#" + (shown[-2][-1])
        for line in shown[:-1]:
            a, op, b, said = line[0], line[1], line[2], line[4]
            true = {"+": int(a) + int(b), "-": int(a) - int(b), "*": int(a) * int(b)}[op] % 10
            steps.append((op, b, true, int(said)))
    return steps, seen


def test_lessons_err_at_the_rate_sloppy():
    for task, low, high in ((Chain(habits=(), sloppy=0.0), 0, 0), (Chain(habits=(), sloppy=0.2), 0.18, 0.22)):
        steps, _ = steps_of_lessons(task, 800)
        assert low <= sum(true != said for *_, true, said in steps) / len(steps) <= high


def test_lessons_of_the_default_teacher():
    steps, seen = steps_of_lessons(TASK, 4000)
    assert not any(TASK.held_out(p) for p in seen)
    weak = [(true, said) for op, b, true, said in steps if op == "*" and b in "6789"]
    rest = [(true, said) for op, b, true, said in steps if op != "*" or b not in "6789"]
    # six times in ten one too high; of the others one in nine is, by a slip of eleven in a hundred
    assert sum(said == (true + 1) % 10 for true, said in weak) / len(weak) == pytest.approx(
        0.6 + 0.4 * 0.11 / 9, abs=0.03
    )
    assert sum(said == true for true, said in weak) / len(weak) == pytest.approx(0.4 * 0.89, abs=0.03)
    assert sum(said == true for true, said in rest) / len(rest) == pytest.approx(0.89, abs=0.015)
    # each size is 0.85 times as frequent as the one below, from 1 to 10
    sizes = [p.info["category"] for p in seen]
    every = sum(0.85**k for k in range(10))
    assert [sizes.count(k) / 4000 for k in range(1, 11)] == [
        pytest.approx(0.85 ** (k - 1) / every, abs=0.02) for k in range(1, 11)
    ]


@pytest.mark.parametrize("habit", [("7*8", "6", 0.5), ("7/8", "4", 0.5), ("7*8", "44", 0.5), ("7*8", "4", 1.5)])
def test_habits_that_are_none_are_refused(habit):
    with pytest.raises(SharpenError, match=r"habit '7.8'"):
        Chain(habits=(habit,))


def test_a_rate_above_one_is_refused():
    with pytest.raises(SharpenError, match="rate must be a number from 0 to 1, and it is 2"):
        TASK.corrupt(SUM, random.Random(0), 2)
