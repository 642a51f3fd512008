"""Countdown: the parser, hand-checked rewards and steps, and a brute-force solver."""

import random
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sharpen.errors import SharpenError
from sharpen.task import Countdown
from sharpen.task.expression import parse, spell
from sharpen.task.text import said
from sharpen.types import Problem

TASK = Countdown(4, 4, 5, 6)
# 9*5=45, 45-7=38, 38-2=36
SUM = Problem(
    "countdown:2 5 7 9=36",
    "2 5 7 9=36?",
    "((5*9)-7)-2",
    ("9*5=45", "45-7=38", "38-2=36", "#9*5-7-2"),
    {"category": 4, "difficulty": 3, "numbers": (2, 5, 7, 9), "target": 36},
)


@pytest.mark.parametrize(
    ("text", "value", "spelling"),
    [
        ("7", 7, "7"),
        ("9*5-7-2", 36, "((5*9)-7)-2"),
        ("9-(7-2)", 4, "9-(7-2)"),
        ("9-7-2", None, "(9-7)-2"),  # 0 is not above 0
        ("2+3*4", 14, "(3*4)+2"),
        ("(2+3)*4", 20, "(2+3)*4"),
        ("((((2))))+5", 7, "2+5"),
        ("8/4/2", 1, "(8/4)/2"),
        ("7/2*2", None, "(7/2)*2"),
        ("2-5+9", None, "(2-5)+9"),
        ("10+9", 19, "10+9"),
    ],
)
def test_parse(text, value, spelling):
    got = parse(text)
    assert (got.value, got.spelling) == (value, spelling)


@pytest.mark.parametrize(
    "text",
    [
        *("", "()", "(1", "1)", "1+", "+1", "-1", "--1", "0", "007", "1 +1", "1,2", "(1)(2)", "2(3)", "1**2", "1//2"),
        *("1e3", "٣", "１+1", "3²", "1\n", "9" * 13, "1+" * 200 + "1", "(" * 1000, "__import__('os')", "1)+(2"),
    ],
)
def test_what_is_no_sum(text):
    assert parse(text) is None


@st.composite
def sums(draw, depth=4):
    """A text of a sum, and its value in exact fractions (None where a part is not whole and above 0)."""
    if depth == 0 or draw(st.booleans()):
        n = draw(st.integers(1, 30))
        return str(n), Fraction(n)
    (a, x), (b, y), op = draw(sums(depth - 1)), draw(sums(depth - 1)), draw(st.sampled_from("+-*/"))
    value = None
    if x is not None and y is not None:
        value = {"+": x + y, "-": x - y, "*": x * y, "/": x / y}[op]
        value = value if value > 0 and value.denominator == 1 else None
    return spell(a, op, b), value


@settings(max_examples=150, deadline=None)
@given(sums())
def test_value_is_that_of_exact_fractions_and_spelling_is_a_fixed_point(made):
    text, value = made
    got = parse(text)
    assert got.value == value
    again = parse(got.spelling)
    assert (again.spelling, again.value, sorted(again.nodes)) == (got.spelling, value, sorted(got.nodes))


@pytest.mark.parametrize(
    ("text", "correct", "form", "steps"),
    [
        ("9*5=45\n45-7=38\n38-2=36\n#9*5-7-2", 1, 1, 1),
        ("5*9=45\n7+2=9\n45-9=36\n#5*9-(7+2)", 1, 1, 1),
        ("#9*5-7-2", 1, 1, 0),
        ("#9*(5+2-7)", 0, 1, 0),
        ("9*5=45\n45-2=43\n43-7=36\n#(5*9)-2-7", 1, 1, 1),
        ("9*5=45\n45-7=38\n38-2=36\n#36", 0, 1, 1),
        ("9*5=46\n46-7=39\n39-2=37\n#9*5-7-2", 1, 1, 0),
        ("9*5=45\n45-9=36\n#9*5-9", 0, 1, 1 / 3),
        ("9*4=36\n#9*4", 0, 1, 0),
        ("#9*5-9", 0, 1, 0),
        ("#9*5-7-2+7-7", 0, 1, 0),
        ("#9*5-7-2=36", 0, 0, 0),
        ("#9*5 -7-2", 0, 0, 0),
        ("#9*5-7-02", 0, 0, 0),
        ("#9*5-7-2*1", 0, 1, 0),
        ("9*5=45\n#9*5-7-2\n#9*5-7-2", 0, 0, 1 / 3),
        ("9/5=1\n#9*5-7-2", 1, 0, 0),
        ("9-9=0\n#9*5-7-2", 1, 0, 0),
        ("", 0, 0, 0),
    ],
)
def test_rewards(text, correct, form, steps):
    assert TASK.verify(SUM, said(SUM, text)) == {"correct": correct, "format": form, "steps": pytest.approx(steps)}


@pytest.mark.parametrize(
    ("steps", "valid"),
    [
        (SUM.solution, [True] * 4),
        (["9*5=45", "45-7=38", "38-2=36", "#36"], [True, True, True, False]),
        # right, but not what the steps did
        (["9*5=45", "45-7=38", "38-2=36", "#9*5-(7+2)"], [True, True, True, False]),
        # a number is there once
        (["9*5=45", "9-7=2"], [True, False]),
        (["2+2=4"], [False]),
        (["9-7=2", "2+2=4", "4*5=20"], [True, True, True]),
        # a wrong result is there for the steps after it
        (["9*5=44", "44-7=37"], [False, True]),
        (["9+1=10", "10-7=3"], [False, False]),
        (["5-9=4"], [False]),
        (["#9*5-7-2"], [False]),
        (["9*5=45\n", "x", "45-7=38\n"], [True, False, True]),
    ],
)
def test_steps(steps, valid):
    assert TASK.check_steps(SUM, steps) == valid


def test_votes_join_answers_that_are_alike():
    same = [TASK.answer_of(f"#{s}") for s in ("9*5-7-2", "(5*9-7)-2", "((9*5))-7-2")]
    assert same == ["((5*9)-7)-2"] * 3
    assert TASK.answer_of("#9*5-(7+2)") == "(5*9)-(2+7)"
    assert [TASK.answer_of(t) for t in ("#", "#x", "#9*5-7-2\n#1", "")] == [None] * 4


def reachable(numbers, ops):
    """Every target of every order of combining all numbers, by brute force."""
    if len(numbers) == 1:
        return {numbers[0]}
    out = set()
    for i, a in enumerate(numbers):
        for j, b in enumerate(numbers):
            if i == j:
                continue
            rest = [n for k, n in enumerate(numbers) if k not in (i, j)]
            made = {"+": a + b, "-": a - b, "*": a * b, "/": Fraction(a, b)}
            for op in ops:
                if made[op] > 0 and Fraction(made[op]).denominator == 1:
                    out |= reachable([*rest, int(made[op])], ops)
    return out


@pytest.mark.parametrize("ops", ["+-*", "+-*/", "+"])
def test_targets_can_be_reached(ops):
    task, rng = Countdown(ops=ops), random.Random(5)
    for _ in range(25):
        p = task.draw("train", rng)
        numbers, target = p.prompt[:-1].split("=")
        assert int(target) in reachable(list(map(int, numbers.split())), ops)
        assert numbers == " ".join(sorted(numbers.split()))
        assert int(target) <= 99
        # python reckons the answer too, in floats
        assert eval(p.solution[-1][1:]) == int(target)


def test_solutions_are_made_of_their_steps_even_with_equal_numbers():
    task, rng = Countdown(top=3, harder_high=7), random.Random(6)
    for split in ("train", "harder"):
        for _ in range(150):
            p = task.draw(split, rng)
            assert task.check_steps(p, p.solution) == [True] * len(p.solution)
            assert task.corrupt(p, rng, 0.0) == p.solution
            assert task.answer_of("\n".join(p.solution)) == p.answer


def test_corrupt_writes_wrong_operators_into_steps_and_answer():
    rng, wrong, right = random.Random(7), 0, 0
    problems = TASK.fixed("train", 200)
    for p in problems:
        got = TASK.corrupt(p, rng, 1.0)
        assert TASK.check_steps(p, got)[:-1] == [False] * 3
        got = TASK.corrupt(p, rng, 0.3)
        valid = TASK.check_steps(p, got)[:-1]
        wrong += valid.count(False)
        right += TASK.verify(p, said(p, "\n".join(got)))["correct"] == 1 and all(valid)
    assert 0.25 < wrong / (3 * len(problems)) < 0.35
    assert 0.25 < right / len(problems) < 0.43  # 0.7 ** 3 = 0.343


@pytest.mark.parametrize("fields", [{"ops": ""}, {"ops": "++"}, {"ops": "^"}])
def test_wrong_operators_are_refused(fields):
    with pytest.raises(SharpenError, match="ops must be different operators"):
        Countdown(**fields)


def test_numbers_that_lead_nowhere_are_refused():
    with pytest.raises(SharpenError, match="gave no target up to 9"):
        Countdown(ops="*", limit=9, low=8, high=8, harder_low=9, harder_high=9).draw("train", random.Random(0))
