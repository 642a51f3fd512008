"""Reading lines, answers and steps."""

import pytest

from sharpen.task.text import final, leading, lines, said, steps_of
from sharpen.types import Problem


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("\n", [""]),
        ("a", ["a"]),
        ("a\n", ["a"]),
        ("a\n\n", ["a", ""]),
        ("a\nb", ["a", "b"]),
        ("a\r\nb", ["a\r", "b"]),
        ("a\u2028b\x0bc\x85d", ["a\u2028b\x0bc\x85d"]),
    ],
)
def test_lines_end_with_line_feeds_alone(text, expected):
    assert lines(text) == expected


@pytest.mark.parametrize(
    ("text", "answer", "steps"),
    [
        ("#7", "7", []),
        ("#7\n", "7", []),
        ("1+1=2\n#2", "2", ["1+1=2"]),
        ("#", "", []),
        ("", None, []),
        ("1+1=2", None, ["1+1=2"]),
        ("#7\n\n", None, ["#7", ""]),
        ("#7\n#7", None, ["#7"]),
        ("#7\n1+1=2", None, ["#7", "1+1=2"]),
        ("1+1=2#2", None, ["1+1=2#2"]),
        (" #7", None, [" #7"]),
        ("##7", None, []),
        ("x#6\n#7", None, ["x#6"]),
    ],
)
def test_answer_is_what_follows_the_only_mark_on_the_last_line(text, answer, steps):
    assert final(text) == answer
    assert steps_of(text) == steps


def test_leading_counts_steps_before_the_first_wrong_one():
    assert [leading(x) for x in ([], [True], [False, True], [True, True, False, True])] == [0, 1, 0, 2]


def test_said_is_the_prompt_and_one_trainable_segment_a_turn():
    trace = said(Problem("k", "ask"), "one", "two")
    assert [(s.text, s.trainable, s.role) for s in trace.segments] == [
        ("ask", False, "user"),
        ("one", True, "assistant"),
        ("two", True, "assistant"),
    ]
    assert trace.text == "onetwo"
