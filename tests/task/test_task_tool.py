"""The tool: what is seen turn by turn, rewards of played traces, solutions by Python, the careless teacher."""

import random
import re

import pytest

from boxes import made
from sharpen.errors import SharpenError
from sharpen.sandbox import choose
from sharpen.task import Tool, desk
from sharpen.task.text import said
from sharpen.task.validate import validate
from sharpen.task.worlds import played
from sharpen.types import Problem

TASK = made("tool")
SOLUTION = (">83+7", ">90*5", ">450-46", "#404")
SUM = Problem(
    "tool:83+7*5-46",
    "83+7*5-46?",
    None,
    SOLUTION,
    {"category": 3, "difficulty": 4, "expression": "83+7*5-46", "limit": 6},
)


def rewards(turns):
    return TASK.verify(SUM, played(SUM, TASK.environment(SUM), turns))


@pytest.mark.parametrize(
    ("turns", "correct", "calls"),
    [
        (SOLUTION, 1, 1),
        ([">(83+7)*5-46", "#404"], 1, 1),
        ([" >1 ", "#404\n"], 1, 1),
        (["#404"], 1, 0),
        (["well", ">1", "#404"], 1, 0.5),
        ([">83+7*5-46", "#72"], 0, 1),
        ([*SOLUTION[:3], "#405"], 0, 1),
        ([*SOLUTION[:3], "# 404"], 0, 1),
        ([*SOLUTION[:3], "#0404"], 0, 1),
        ([*SOLUTION[:3], "#4\u0660\u0664"], 0, 1),
        ([*SOLUTION[:3], "#404#"], 0, 1),
        ([">1"] * 5 + ["#404"], 1, 1),
        ([">1"] * 6 + ["#404"], 0, 1),
        (["#1", "#404"], 0, 0),
        ([""] * 9, 0, 0),
        ([], 0, 0),
    ],
)
def test_rewards(turns, correct, calls):
    assert rewards(turns) == {"correct": correct, "calls": pytest.approx(calls)}


def test_success_is_what_the_trace_says_else_what_turns_earned():
    trace = said(SUM, *SOLUTION)
    assert TASK.verify(SUM, trace)["correct"] == 0
    trace.actions[-1].reward = 1.0
    assert TASK.verify(SUM, trace)["correct"] == 1
    trace.info["success"] = False
    assert TASK.verify(SUM, trace)["correct"] == 0


def test_what_is_seen_turn_by_turn():
    world = TASK.environment(SUM)
    assert world.reset() == "83+7*5-46?"
    assert world.state == ("83+7*5-46?", 6)
    assert world.step(">83+7") == ("90", 0.0, False)
    assert world.step("90*5") == ("!", 0.0, False)
    assert world.step(">90*5") == ("450", 0.0, False)
    assert world.state == ("83+7*5-46?", 3)
    assert world.step("#404") == ("", 1.0, True)
    assert world.step(">1") == ("", 0.0, True)
    assert world.state == ("83+7*5-46?", 0)
    assert world.reset() == "83+7*5-46?"
    assert [world.step(">1")[1:] for _ in range(6)] == [(0.0, False)] * 5 + [(0.0, True)]


@pytest.mark.parametrize(
    ("turn", "seen"),
    [
        ("> 6 * 7 ", "42"),
        (">print(1)\nprint(2)", "1\n2"),
        (">x=5\nprint(x*x)", "25"),
        (">1/0", "!ZeroDivisionError"),
        (">[", "!SyntaxError"),
        (">nothing", "!NameError"),
        (">None", "!nothing"),
        (">", "!nothing"),
        (">'\\0\\x1b[2J\\u2028\u00e9'", "\\x00\\x1b[2J\\u2028\\xe9"),
        (">'x'*60", "x" * 60),
        (">'x'*61", "x" * 60 + "..."),
        (">" + "1+" * 300 + "1", "!long"),
        (">[0]*10**10", "!memory"),
        (">__import__('os').abort()", "!died"),
        (">print('x'*10**6)", "!output"),
        (">raise SystemExit", "!SystemExit"),
        (">x", "!NameError"),
        (">" + "\ud800", "!UnicodeEncodeError"),
    ],
)
def test_what_programs_show(turn, seen):
    assert TASK.environment(SUM).step(turn) == (seen, 0.0, False)


def test_a_busy_loop_ends():
    assert TASK.environment(SUM).step(">9**9**9")[0] == "!time"


def test_nothing_is_kept_between_turns_but_what_was_seen():
    world = TASK.environment(SUM)
    assert world.step(">x=5\nopen('a','w').write('b')")[0] == "!nothing"
    assert world.step(">x")[0] == "!NameError"
    assert world.step(">__import__('os').listdir()")[0] == "[]"


def test_an_equal_program_is_not_run_again():
    before = desk.observed.cache_info()
    world = TASK.environment(SUM)
    assert {world.step(">__import__('random').random()")[0] for _ in range(4)} == {world.step(">__import__('random').random()")[0]}  # fmt: skip  # noqa: E501
    after = desk.observed.cache_info()
    assert (after.misses - before.misses, after.hits - before.hits) == (1, 4)


def test_copies_go_their_own_way():
    world = TASK.environment(SUM)
    world.step(">1")
    other = world.copy()
    assert (other.state, hash(other.state)) == (world.state, hash(world.state))
    world.step("#404")
    assert other.state == ("83+7*5-46?", 5)
    assert other.step("#404") == ("", 1.0, True)


def left_to_right(text):
    """By another way: parentheses around all that stands before each operator."""
    numbers, ops = re.findall("[0-9]+", text), re.findall("[-+*]", text)
    out = numbers[0]
    for op, number in zip(ops, numbers[1:], strict=True):
        out = f"({out}{op}{number})"
    return eval(out)


def test_problems():
    rng, hasty = random.Random(1), 0
    for split in TASK.splits:
        for _ in range(60):
            p = TASK.draw(split, rng)
            text = p.info["expression"]
            assert p.prompt == f"{text}?"
            assert p.solution[-1] == f"#{left_to_right(text)}"
            assert len(p.solution) == len(re.findall("[-+*]", text)) + 1 == p.info["category"] + 1
            for call, after in zip(p.solution, p.solution[1:], strict=False):
                assert re.fullmatch(f"[>#]{eval(call[1:])}.*", after)
                assert eval(call[1:]) >= 0
            assert p.info["limit"] == -(-3 * len(p.solution) // 2)
            assert TASK.environment(p).answer == p.solution[-1][1:]
            hasty += eval(text) != left_to_right(text)
    assert hasty > 40  # Python reckons them otherwise


def test_worked_solutions_are_accepted_and_mutated_ones_are_not():
    for p in TASK.fixed("test", 6):
        good = played(p, TASK.environment(p), p.solution)
        assert TASK.verify(p, good) == {"correct": 1, "calls": 1}
        wrong = [*p.solution[:-1], f"#{int(p.solution[-1][1:]) + 1}"]
        assert TASK.verify(p, played(p, TASK.environment(p), wrong)) == {"correct": 0, "calls": 1}


def episodes(task, n):
    rng = random.Random(2)
    for _ in range(n):
        p, last = task.lesson(rng)
        assert not task.held_out(p)
        said_, seen = ([m["content"] for m in p.prompt if m["role"] == role] for role in ("assistant", "user"))
        assert seen[0] == f"{p.info['expression']}?"
        assert len(seen) == len(said_) + 1
        yield p, [*said_, *last], seen[1:]


def test_lessons_without_slips_are_worked_solutions_and_what_the_tool_says():
    for i, (p, turns, seen) in enumerate(episodes(made("tool", hasty=0.0, sloppy=0.0), 60)):
        assert tuple(turns) == p.solution
        assert seen == [str(eval(t[1:])) for t in turns[:-1]]
        world = TASK.environment(p)
        assert i >= 5 or [world.step(t)[0] for t in turns] == [*seen, ""]


def test_the_hasty_teacher():
    both = one = 0
    for p, turns, seen in episodes(made("tool", hasty=0.6, sloppy=0.0), 600):
        assert seen == [str(eval(t[1:])) for t in turns[:-1]]
        assert turns[-1] == f"#{seen[-1]}"
        together = [t for t in turns if re.fullmatch(r">-?[0-9]+[-+][0-9]+\*[0-9]", t)]
        both += len(together)
        one += sum(bool(re.fullmatch(r">-?[0-9]+[-+][0-9]+", t)) and u[len(s) + 1 : len(s) + 2] == "*" for t, s, u in zip(turns, seen, turns[1:], strict=False))  # fmt: skip  # noqa: E501
        assert (turns[-1] == p.solution[-1]) or together
    assert both / (both + one) == pytest.approx(0.6, abs=0.06)


def test_slips_copy_a_digit_wrongly():
    wrong = every = 0
    for p, turns, seen in episodes(made("tool", hasty=0.0, sloppy=0.2), 400):
        now = [re.match("[0-9]+", p.info["expression"])[0], *seen]
        assert seen == [str(eval(t[1:])) for t in turns[:-1]]
        for turn, meant in zip(turns[:-1], now, strict=False):
            copied = turn[1 : 1 + len(meant)]
            wrong += copied != meant
            every += 1
            assert sum(a != b for a, b in zip(copied, meant, strict=True)) <= 1
    assert wrong / every == pytest.approx(0.2, abs=0.03)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"slack": 0.5}, "slack must be a number from 1 to 100"),
        ({"hasty": 2}, "hasty must be a number from 0 to 1"),
        ({"clip": 1}, "clip must be a whole number from 8 to 4000"),
        ({"sandbox": "bubblewarp"}, "There is no sandbox 'bubblewarp'. Did you mean bubblewrap"),
    ],
)
def test_options_that_are_none_are_refused(fields, told):
    with pytest.raises(SharpenError, match=told):
        made("tool", **fields)


def test_in_the_real_sandbox():
    if why := choose.lacking():
        pytest.skip(why)
    world = Tool().environment(SUM)
    assert world.step(">83+7")[0] == "90"
    assert world.step(">open('/etc/passwd').read()")[0] == "!FileNotFoundError"
    assert world.step(">__import__('socket').socket()")[0] == "!PermissionError"
    assert world.step(">__import__('os').getpid()")[0] == "2"


def test_it_deserves_trust():
    report = validate(TASK, 3, rng=random.Random(0))
    assert report.passed, report.text()
    assert [c.name for c in report.checks if c.passed is None] == ["steps"]


def test_no_votes():
    assert TASK.answer_of("#404") is None
