"""Programs: rewards by hand, worked solutions and their mutations, hidden inputs, lessons."""

import random

import pytest

from boxes import made
from sharpen.errors import SharpenError
from sharpen.sandbox import choose
from sharpen.task import Code
from sharpen.task.code import LONGEST, source
from sharpen.task.programs import ASKED, DIGITS, FOLD, counts, expression, hidden, parts, value, written
from sharpen.task.text import said
from sharpen.task.validate import validate
from sharpen.types import Problem

TASK = made("code")
ASKS = Problem(
    "code:>3 *2 sum",
    ">3 *2 sum?",
    "x=[v for v in x if v>3]\nx=[v*2 for v in x]\nreturn sum(x)",
    ("x=[v for v in x if v>3]", "x=[v*2 for v in x]", "return sum(x)"),
    {"category": 3, "difficulty": 2, "operations": ">3 *2 sum"},
)
INPUTS = hidden("code:>3 *2 sum")


def judged(*texts):
    return TASK.verify_many([(ASKS, said(ASKS, text)) for text in texts])


def test_rewards():
    table = {
        ASKS.answer: (1, 1, 1),
        "return sum(2*v for v in x if v>3)": (1, 1, 1),
        "return 2*sum(filter(lambda v: v>3, x))   \n\n": (1, 1, 1),
        "s=0\nfor v in x:\n if v>3: s+=2*v\nreturn s": (1, 1, 1),
        "x=[v for v in x if v>3]\nprint(x)\nreturn sum(x)*2": (1, 1, 1),
        # no numbers come to 0, all others to more
        "return 0": (0, 1 / 8, 1),
        "x=[v for v in x if v>=3]\nx=[v*2 for v in x]\nreturn sum(x)": (0, None, 1),
        "return sum(v*2 for v in x)": (0, None, 1),
        # types are told apart, and only plain values count
        "return float(sum(2*v for v in x if v>3))": (0, 0, 1),
        "return [sum(2*v for v in x if v>3)]": (0, 0, 1),
        "return str(sum(2*v for v in x if v>3))": (0, 0, 1),
        "return (sum(2*v for v in x if v>3),)": (0, 0, 0),
        "return x[0]*0+sum(2*v for v in x if v>3)": (0, 7 / 8, 0),
        "return sum(x) sum(x)": (0, 0, 0),
        "x=[v*2 for v in x if v>3]": (0, 0, 1),  # it returns None, which is a plain value
        "#3": (0, 0, 0),
        "": (0, 0, 0),
        " \n ": (0, 0, 0),
        "while 1: pass": (0, 0, 0),
        "return 1\x00": (0, 0, 0),
        "return '\ud800'": (0, 0, 0),
        "return " + "1+" * LONGEST + "1": (0, 0, 0),
        "import os\nos._exit(0)": (0, 0, 0),
        "global f\nf=lambda x: 7\nreturn 7": (0, 0, 1),
    }
    for (text, want), got in zip(table.items(), judged(*table), strict=True):
        for name, number in zip(("correct", "passed", "runs"), want, strict=True):
            assert number is None or got[name] == pytest.approx(number), (text[:60], got)
        assert 0 <= got["passed"] < 1 or got["correct"] == 1


def test_what_a_body_is():
    assert source("a\n b\nc") == "def f(x):\n a\n  b\n c\n"
    assert TASK.answer_of(" \nreturn 1 \n\n") == "return 1"
    assert TASK.answer_of("if x:\n return 1 ") == "if x:\n return 1"
    assert TASK.answer_of("") is None
    assert TASK.answer_of(" \n \n") is None


@pytest.mark.parametrize(
    ("operations", "x", "result"),
    [
        ("even", [1, 2, -4, 0], [2, -4, 0]),
        ("odd", [1, 2, -3], [1, -3]),
        (">3", [3, 4], [4]),
        (">=3", [3, 4], [3, 4]),
        ("<3", [3, 2], [2]),
        ("<=3", [3, 2, 4], [3, 2]),
        ("+4 *2 -1", [1, 2], [9, 11]),
        ("sort rev", [2, 3, 1], [3, 2, 1]),
        ("sum", [1, 2], 3),
        ("len", [5, 5], 2),
        ("max", [1, 7, 2], 7),
        ("min", [], 0),
        ("max", [], 0),
        ("even len", [1, 3], 0),
    ],
)
def test_values_by_hand(operations, x, result):
    assert value(operations.split(), x) == result


def test_all_that_is_written_is_what_is_reckoned():
    """Every operation, with every digit, run by Python here."""
    every = [s + d for s in (*ASKED, ">=", "<=") for d in DIGITS.get(s[0], DIGITS.get(s, "")) or [""]]
    assert len(every) == len({expression(o) for o in every}) == 2 + 40 + 9 + 9 + 8 + 2 + 4
    for operation in every:
        space = {}
        exec(source("\n".join(written([operation]))), space)
        for x in INPUTS:
            assert space["f"](list(x)) == value([operation], x)


def test_worked_solutions_are_accepted_and_mutated_ones_are_not():
    rng, pairs, want = random.Random(1), [], []
    for split in TASK.splits:
        for p in TASK.fixed(split, 12):
            operations = p.info["operations"].split()
            assert tuple(written(operations)) == p.solution
            assert "\n".join(p.solution) == p.answer
            at = rng.randrange(len(operations))
            sign, digit = parts(operations[at])[0], operations[at][-1]
            without = [o for i, o in enumerate(operations) if i != at]
            mutants = [without or None]
            if sign in "<>":
                mutants.append([*operations[:at], f"{sign}={digit}", *operations[at + 1 :]])
            for one in (operations, *filter(None, mutants)):
                text = "\n".join(written(one))
                pairs.append((p, said(p, text)))
                want.append(float(one == operations))
    assert [r["correct"] for r in TASK.verify_many(pairs)] == want
    assert len(want) > 70


def test_hidden_inputs_come_of_the_key_alone_and_stand_in_no_prompt():
    assert hidden("a") == hidden("a") != hidden("b")
    assert INPUTS[0] == []
    assert [5 <= len(x) <= 8 for x in INPUTS] == [False] + [True] * 7
    assert {type(v) for x in INPUTS for v in x} == {int}
    p = TASK.fixed("test", 1)[0]
    assert TASK.inputs(p) == hidden(p.key)
    assert not any(str(x)[1:-1] in str(p) for x in TASK.inputs(p)[1:])
    other = Problem(p.key, "Write it.", p.answer, p.solution, p.info)
    assert TASK.verify(other, said(other, p.answer))["correct"] == 1


@pytest.mark.parametrize(
    ("operations", "matters"),
    [
        ("sum", True),
        ("sort sum", False),
        ("rev sort", False),
        ("sort rev", True),
        ("even odd len", False),
        (">3 <3 len", False),
        ("*4 even", False),
        ("even >3", False),  # as >=3
        ("even >4", True),
        ("rev rev", False),
    ],
)
def test_operations_that_do_not_matter_are_not_asked_for(operations, matters):
    every = [list(range(-6, 13)), [3, -2, 8, 4, 1], []]
    assert counts(operations.split(), every) is matters


def test_equal_texts_run_once(monkeypatch):
    import sharpen.task.code as module

    seen = []
    real = module.call_many
    monkeypatch.setattr(module, "call_many", lambda box, questions, *more: seen.append(len(questions)) or real(box, questions, *more))  # fmt: skip  # noqa: E501
    other = TASK.fixed("train", 1)[0]
    texts = ["return 0", "return 0 ", "return sum(2*v for v in x if v>3)", "", "return 0"]
    got = TASK.verify_many([*((ASKS, said(ASKS, t)) for t in texts), (other, said(other, "return 0"))])
    assert seen == [3]
    assert [r["runs"] for r in got] == [1, 1, 1, 0, 1, 1]
    assert [r["correct"] for r in got[:5]] == [0, 0, 1, 0, 0]
    assert TASK.verify_many([]) == []


def written_by_teacher(task, n):
    rng = random.Random(2)
    out = []
    for _ in range(n):
        p, lines = task.lesson(rng)
        asked = p.info["operations"].split()
        assert not task.held_out(p)
        assert len(lines) == len(asked)
        out += list(zip(asked, p.solution, lines, strict=True))
    return out


def test_lessons_without_slips_are_worked_solutions():
    assert all(want == got for _, want, got in written_by_teacher(made("code", habits=(), sloppy=0.0), 200))


def test_lessons_of_the_default_teacher():
    lines = written_by_teacher(TASK, 3000)
    bounds = [(want, got) for o, want, got in lines if o[0] in "<>"]
    rest = [(want, got) for o, want, got in lines if o[0] not in "<>"]
    meant = [got == want.replace(">", ">=").replace("<", "<=") for want, got in bounds]
    assert sum(meant) / len(meant) == pytest.approx(0.6, abs=0.03)
    assert sum(want == got for want, got in bounds) / len(bounds) == pytest.approx(0.4 * 0.92, abs=0.03)
    assert sum(want == got for want, got in rest) / len(rest) == pytest.approx(0.92, abs=0.015)


def test_slips_are_of_the_same_kind():
    task, rng = made("code", habits=(), sloppy=1.0), random.Random(3)
    for o in ("even", "rev", "sum", ">3", "*2"):
        got = {task.meant(o, rng) for _ in range(200)}
        assert o not in got
        if o in FOLD:
            assert got == set(FOLD) - {o}
        elif o[-1].isdigit():
            assert got == {o[0] + d for d in DIGITS[o[0]] if d != o[1]}
        else:
            assert got == {"even", "odd", "sort", "rev"} - {o}


@pytest.mark.parametrize("habit", [(">", ">", 0.5), (">", "sum", 0.5), ("max", "even", 0.5), (">", "more", 0.5), ("even", "+", 0.5), (">", ">=", 1.5)])  # fmt: skip  # noqa: E501
def test_habits_that_are_none_are_refused(habit):
    with pytest.raises(SharpenError, match=f"habit '{habit[0]}'"):
        made("code", habits=(habit,))


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"sandbox": "none"}, "There is no sandbox 'none'"),
        ({"cpu": 0}, "Task 'code': cpu must be a whole number from 1 to 600, and it is 0"),
        ({"seconds": -1}, "`seconds` of a sandbox must be a number above 0"),
        ({"memory": 1}, "memory must be a whole number from 32"),
        ({"workers": -1}, "workers must be a whole number from 0"),
    ],
)
def test_options_that_are_none_are_refused(fields, told):
    with pytest.raises(SharpenError, match=told):
        made("code", **fields)


def test_a_missing_sandbox_is_told_when_the_task_is_made(monkeypatch):
    choose.lacking.cache_clear()
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SharpenError, match=r"bubblewrap \(`bwrap`\) is not installed"):
        Code()
    choose.lacking.cache_clear()


def test_where_it_runs_does_not_change_what_is_taught():
    assert TASK.identity() == made("code", cpu=2, seconds=5.0, memory=128, workers=3).identity()
    assert TASK.identity() != made("code", habits=()).identity()


def test_in_the_real_sandbox():
    if why := choose.lacking():
        pytest.skip(why)
    task = Code()
    asked = [(p, said(p, "\n".join(p.solution))) for p in task.fixed("test", 6)]
    spoilt = [(p, said(p, "return open('/etc/passwd').read()")) for p in task.fixed("test", 2)]
    got = task.verify_many([*asked, *spoilt])
    assert got == [{"correct": 1, "passed": 1, "runs": 1}] * 6 + [{"correct": 0, "passed": 0, "runs": 0}] * 2


def test_it_deserves_trust():
    report = validate(TASK, 4, rng=random.Random(0))
    assert report.passed, report.text()
    checks = {c.name: c for c in report.checks}
    assert [n for n, c in checks.items() if c.passed is None] == ["shuffled lines", "shuffled steps", "steps"]
    assert checks["empty"].figures["main"] == 0
    assert checks["other solution"].figures["broken"] == 0
