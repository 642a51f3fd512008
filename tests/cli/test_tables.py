"""The end-of-run table, sample solutions and where the run lies."""

from __future__ import annotations

import io
import re

from rich.console import Console

from measured import measured
from sharpen.cli.tables import NOTE, PAIRED, heading, plain_table, rows, show_results
from sharpen.evaluation import Evaluation, Interval, comparisons
from sharpen.run.story import story


def around(x: float) -> Interval:
    return Interval(x - 0.02, x, x + 0.02)


def plain(accuracy: float, wide: float, length: float) -> dict:
    e = Evaluation(500, 16, around(accuracy), pass_at={1: around(accuracy), 16: around(wide)}, length=length)
    return e.to_plain()


DATA = {
    "test": {"before": plain(0.12, 0.6, 81.0), "after": plain(0.745, 0.61, 120.0)},
    "other": {"before": plain(0.5, 0.6, 81.0)},
}

SAMPLE = {
    "problem": "What is\n1 + 1?",
    "answer": 2,
    "before": {"text": "three\x1b[31m [red]", "solved": False},
    "after": {"text": "\n".join(f"line {k}" for k in range(15)), "solved": True},
}


def printed(terminal: bool, samples: tuple = (), where: str = "", data: dict = DATA) -> str:
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=100, color_system="standard" if terminal else None)
    show_results(console, data, samples, where)
    return file.getvalue()


def test_rows_say_before_after_and_change():
    pairs = comparisons(DATA)
    assert rows(pairs[0]) == [
        ("accuracy", "12.0 % (10.0 to 14.0)", "74.5 % (72.5 to 76.5)", "+62.5*", "up"),
        ("pass@16", "60.0 % (58.0 to 62.0)", "61.0 % (59.0 to 63.0)", "+1.0 ", "unclear"),
        ("length", "81", "120", "+39", "unclear"),
    ]
    assert rows(pairs[1])[0] == ("accuracy", "50.0 % (48.0 to 52.0)", "-", "", "unclear")
    assert rows(pairs[1])[-1] == ("length", "81", "-", "", "unclear")
    fallen = comparisons({"test": {"before": plain(0.5, 0.6, 1.0), "after": plain(0.3, 0.6, 1.0)}})[0]
    assert rows(fallen)[0][3:] == ("-20.0*", "down")


def test_heading():
    pairs = comparisons(DATA)
    assert heading(pairs[0]) == "test (new problems of the training kind, 500 problems x 16 samples)"
    assert heading(pairs[1]) == "other (500 problems x 16 samples)"


def test_plain_table_is_aligned_ascii():
    out = plain_table(comparisons(DATA))
    assert out[1:5] == [
        "  measure                  before                  after  change",
        "  accuracy  12.0 % (10.0 to 14.0)  74.5 % (72.5 to 76.5)  +62.5*",
        "  pass@16   60.0 % (58.0 to 62.0)  61.0 % (59.0 to 63.0)   +1.0",
        "  length                       81                    120     +39",
    ]
    assert out[-1] == NOTE
    assert "\n".join(out).isascii()
    assert plain_table([]) == []


def test_plain_output():
    text = printed(False, (SAMPLE,), "runs/a")
    assert text.startswith("The model learned: on new problems of the training kind, the share of right answers rose")
    tail = text[text.index("[wrong") :].splitlines()
    assert tail[:6] == [
        "[wrong -> right] What is 1 + 1?",
        "  expected: 2",
        "  before (wrong):",
        "    three⟨U+001B⟩[31m [red]",
        "  after (right):",
        "    line 0",
    ]
    assert tail[-4:] == ["    line 11", "    (3 more lines)", "", "Run: runs/a"]
    assert max(map(len, text.splitlines())) <= 100
    assert not re.search("[\x00-\x09\x0b-\x1f]", text)


def test_plain_output_keeps_figures_with_their_unit():
    assert not [x for x in printed(False).splitlines() if x.startswith("%")]


def test_terminal_output():
    text = printed(True, (SAMPLE,), "runs/a")
    bare = re.sub("\x1b\\[[0-9;]*m", "", text)
    assert "│ accuracy │ 12.0 % (10.0 to 14.0) │ 74.5 % (72.5 to 76.5) │ +62.5* │" in bare
    assert "\x1b[1;32m+62.5*" in text
    assert "╭─ before: wrong ─" in bare
    assert "╭─ after: right ─" in bare
    # what the model wrote is neither markup nor an escape sequence
    assert "three⟨U+001B⟩[31m [red]" in bare
    assert "\x1b[31mthree" not in text
    # side by side
    first = next(x for x in bare.splitlines() if "three" in x)
    assert "line 0" in first
    assert bare.rstrip().endswith("Run: runs/a")


def test_at_most_three_samples():
    assert printed(False, (SAMPLE,) * 5).count("[wrong -> right]") == 3


def test_nothing_evaluated():
    assert printed(False, data={}, where="runs/a").splitlines() == [
        "There is no evaluation before and after training, so this report cannot say whether the model",
        "learned.",
        "",
        "",
        "Run: runs/a",
    ]


def test_named_rewards_have_lines_of_their_own():
    data = {
        "test": {
            "before": plain(0.1, 0.6, 81.0) | {"rewards": {"format": 0.25}},
            "after": plain(0.1, 0.6, 81.0) | {"rewards": {"format": 0.75, "odd\x1b": 1.0}},
        }
    }
    assert rows(comparisons(data)[0])[-2:] == [
        ("reward format", "0.250", "0.750", "+0.500", "unclear"),
        ("reward odd⟨U+001B⟩", "-", "1.000", "", "unclear"),
    ]


def test_a_single_measurement_has_no_verdict():
    out = printed(False, data={"test": {"after": plain(0.5, 0.6, 81.0)}})
    assert out.splitlines()[0] == "test (new problems of the training kind, 500 problems x 16 samples)"


def test_the_story_stands_before_the_table():
    data = {"test": {"before": measured([0] * 20).to_plain(), "after": measured([0] * 10 + [4] * 10).to_plain()}}
    history = [{"step": 0, "metrics": {}, "cost": {"generated_tokens": 12000}}]
    file = io.StringIO()
    told = story(comparisons(data), history)
    show_results(Console(file=file, width=100), data, where="here", told=told)
    paragraphs = [" ".join(p.split()) for p in file.getvalue().split("\n\n")]
    assert paragraphs[0] == "On new problems of the training kind it learned and widened."
    assert paragraphs[1].startswith("The model learned: on new problems")
    assert paragraphs[2] == (
        "Of 20 greedy answers to new problems of the training kind, 10 went from wrong to right and 0 from right to "
        "wrong (0 were right both times, 10 wrong both times): more right than before."
    )
    assert paragraphs[3] == "Tokens: 12 000 generated, in 1 iteration."
    assert paragraphs[4] == "None of the usual failures was seen."
    assert paragraphs[5].startswith("test (new problems of the training kind, 20 problems x 4 samples)")
    assert paragraphs[6] == PAIRED
    assert paragraphs[7] == "Run: here"
    # nothing was measured: one sentence says so, not two
    file = io.StringIO()
    show_results(Console(file=file, width=100), {}, told=story([], history))
    assert " ".join(file.getvalue().split()).count("cannot say whether the model learned") == 1
    assert "Nothing was measured" not in file.getvalue()
