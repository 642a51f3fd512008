"""Files of one's own as tasks."""

import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from sharpen.errors import SharpenError
from sharpen.task.files import Files
from sharpen.types import Problem, Segment, Trace


def trace_of(problem: Problem, text: str) -> Trace:
    return Trace(problem, [Segment(torch.zeros(1, dtype=torch.long), trainable=True, text=text)])


def write(path: Path, rows: list[Any]) -> str:
    path.write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows), encoding="utf-8")
    return str(path)


SUMS = [{"question": f"{n}+1?", "answer": n + 1} for n in range(40)]


def test_numbers(tmp_path: Path) -> None:
    task = Files(write(tmp_path / "sums.jsonl", SUMS), suffix=" Think.")
    assert task.name == "sums.jsonl"
    assert task.splits == ("train", "test")
    train, test = task.fixed("train", 99), task.fixed("test", 99)
    assert len(train) + len(test) == 40
    assert {p.prompt for p in train + test} == {f"{n}+1? Think." for n in range(40)}
    assert task.notes == (
        "sums.jsonl: prompts from column 'question', answers from column 'answer'",
        f"{len(train)} rows to train on and {len(test)} to test on, by the hash of their prompt",
        "answers are compared as numbers (match=number), since all 40 are numbers",
    )
    problem = next(p for p in train + test if p.answer == "7")
    assert task.verify(problem, trace_of(problem, "#7.0")) == {"correct": 1.0, "unjudged": 0.0}
    got = task.verify_many([(problem, trace_of(problem, t)) for t in ("\\boxed{7}", "#8", "7", "", "#7 or 8", "#٧")])
    assert [r["correct"] for r in got] == [1, 0, 0, 0, 0, 0]
    assert task.answer_of("#1,000") == "1000"
    assert task.draw("test", random.Random(1)) in test


def test_the_split_of_a_row_does_not_depend_on_other_rows(tmp_path: Path) -> None:
    one = Files(write(tmp_path / "a.jsonl", SUMS), test_share=0.3)
    two = Files(write(tmp_path / "b.jsonl", [*SUMS[::-1], {"question": "new?", "answer": 1}]), test_share=0.3)
    assert {p.prompt for p in one.fixed("test", 99)} - {"new?"} == {p.prompt for p in two.fixed("test", 99)} - {"new?"}
    assert 5 <= len(one.fixed("test", 99)) <= 20


def test_two_rows_make_two_splits(tmp_path: Path) -> None:
    task = Files(write(tmp_path / "a.jsonl", SUMS[:2]))
    assert (len(task.fixed("train", 9)), len(task.fixed("test", 9))) == (1, 1)


def test_text_chat_solution_and_info(tmp_path: Path) -> None:
    chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Capital of France?"}]
    rows: list[Any] = [
        "",
        {"prompt": chat, "answer": "Paris", "solution": "France.\n\nIts capital.", "info": {"level": 2.5}},
        {"prompt": "Of Italy?", "answer": "Rome", "solution": ["Italy.", "#Rome"]},
        {"prompt": "True?", "answer": True, "solution": "Yes.\n#true"},
    ]
    task = Files(write(tmp_path / "a.jsonl", rows), suffix=" Please.")
    problems = {p.answer: p for s in task.splits for p in task.fixed(s, 9)}
    assert problems["Paris"].prompt == (chat[0], {"role": "user", "content": "Capital of France? Please."})
    assert problems["Paris"].solution == ("France.", "Its capital.", "\\boxed{Paris}")
    assert problems["Paris"].info == {"level": 2.5}
    assert problems["Rome"].solution == ("Italy.", "#Rome")
    assert problems["true"].solution == ("Yes.", "#true")
    assert task.gives == {"answer", "solution"}
    assert "answers are compared as text (match=exact), since 3 of 3 are not numbers" in task.notes
    assert task.verify(problems["Paris"], trace_of(problems["Paris"], "#paris."))["correct"] == 1.0
    for p in problems.values():
        assert p.solution is not None
        assert task.verify(p, trace_of(p, "\n".join(p.solution)))["correct"] == 1.0


def test_parquet_and_a_test_file(tmp_path: Path) -> None:
    table = {"q": ["a?", "b?", "c?"], "gold": ["A", "(B)", "C"], "info": [{"k": 1}, None, {"k": 3}]}
    pq.write_table(pa.table(table), tmp_path / "t.parquet")
    test = write(tmp_path / "test.jsonl", [{"q": "c?", "gold": "C"}, {"q": "d?", "gold": "D"}])
    task = Files(str(tmp_path / "t.parquet"), test, prompt="q", match="choice")
    assert [p.prompt for p in task.fixed("train", 9)] == ["a?", "b?"]
    assert [p.prompt for p in task.fixed("test", 9)] == ["c?", "d?"]
    assert task.fixed("train", 1)[0].info == {"k": 1}
    assert "dropped 1 rows of the training data that are in the test data too" in task.notes
    assert "2 rows to train on and 2 to test on, as given" in task.notes
    b = task.fixed("train", 2)[1]
    assert [r["correct"] for r in task.verify_many([(b, trace_of(b, t)) for t in ("#b", "#B. yes", "#A or B")])] == [
        1,
        1,
        0,
    ]


def test_repeats(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [*SUMS[:3], SUMS[1]])
    task = Files(path)
    assert f"dropped 1 rows that repeat an earlier prompt ({path} line 4 repeats {path} line 2)" in task.notes
    path = write(tmp_path / "b.jsonl", [*SUMS[:3], {"question": "1+1?", "answer": 3}])
    with pytest.raises(SharpenError) as caught:
        Files(path).table  # noqa: B018
    assert (
        str(caught.value)
        == f"The same prompt has two answers: '2' ({path} line 2) and '3' ({path} line 4). Remove one of the rows."
    )


def test_numbers_keep_their_digits(tmp_path: Path) -> None:
    big = "1" * 5000
    path = write(
        tmp_path / "a.jsonl",
        [
            '{"question": "a", "answer": 0.10}',
            f'{{"question": "b", "answer": {big}}}',
            '{"question": "c", "answer": 1e400}',
        ],
    )
    task = Files(path)
    answers = {p.prompt: p for s in task.splits for p in task.fixed(s, 9)}
    assert (answers["a"].answer, answers["c"].answer) == ("0.10", "1E+400")
    assert [
        task.verify(answers[k], trace_of(answers[k], f"#{t}"))["correct"]
        for k, t in (("a", ".1"), ("b", big), ("c", "1e400"), ("c", "1e401"))
    ] == [1, 1, 1, 0]


@pytest.mark.parametrize(
    ("rows", "options", "said"),
    [
        ([], {}, "The file FILE has no rows."),
        (["", " "], {}, "The file FILE has no rows."),
        (
            [SUMS[0], '{"question": '],
            {},
            "FILE line 2 is not JSON: Expecting value at column 13. Each line must be one JSON object.",
        ),
        ([SUMS[0], "[1]"], {}, "FILE line 2 is a list, not an object."),
        ([SUMS[0], "[" * 100000], {}, "FILE line 2 is nested too deeply to read."),
        (
            [{"text": "a", "n": 1}],
            {},
            "The file FILE has no column for the prompt: it has text, n, and none of prompt, question, problem, input. "
            "Name the column (prompt=...).",
        ),
        (
            [{"question": "a", "n": 1}],
            {},
            "has no column for the answer: it has question, n, and none of answer, target, gold, label, final_answer.",
        ),
        (
            [SUMS[0]],
            {"prompt": "q"},
            "has no column 'q' for the prompt; it has question, answer. Name one of those (prompt=...).",
        ),
        ([SUMS[0], {"question": "a"}], {}, "FILE line 2 has no 'answer'; it has question."),
        (
            [SUMS[0], {"question": 3, "answer": 1}],
            {},
            "FILE line 2: the prompt ('question') is a number, and must be a string or a list of messages",
        ),
        (
            [SUMS[0], {"question": [{"role": "user"}], "answer": 1}],
            {},
            "FILE line 2: the prompt ('question') is a list, and must be",
        ),
        ([SUMS[0], {"question": " ", "answer": 1}], {}, "FILE line 2: the prompt ('question') is empty."),
        (
            [SUMS[0], {"question": "a", "answer": None}],
            {},
            "FILE line 2: the answer ('answer') is a null, and must be a string or a number.",
        ),
        ([SUMS[0], {"question": "a", "answer": " "}], {}, "FILE line 2: the answer ('answer') is empty, and must be"),
        ([SUMS[0], {"question": "a", "answer": [1]}], {}, "FILE line 2: the answer ('answer') is a list, and must be"),
        (
            [{**SUMS[0], "solution": 5}],
            {},
            "FILE line 1: the solution ('solution') is a number, and must be a string or a list of strings.",
        ),
        ([{**SUMS[0], "info": 5}], {}, "FILE line 1: 'info' is a number, and must be an object."),
        (
            [SUMS[0], {"question": "a", "answer": "many"}],
            {"match": "number"},
            "The answer 'many' (FILE line 2) is not a number, as match=number wants.",
        ),
        ([SUMS[0]], {"match": "choice"}, "The answer '1' (FILE line 1) is not one letter, as match=choice wants."),
        (
            [{"question": "a", "answer": "x\ny"}],
            {"rules": ("#",)},
            "No text can state the answer 'x\\ny' (FILE line 1) under rules=#.",
        ),
        ([SUMS[0]], {}, "has no problem in its split 'test'. Give it more rows."),
    ],
)
def test_bad_files(tmp_path: Path, rows: list[Any], options: dict[str, Any], said: str) -> None:
    path = write(tmp_path / "a.jsonl", rows)
    with pytest.raises(SharpenError) as caught:
        Files(path, **options).table  # noqa: B018
    assert said.replace("FILE", path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bad_bytes_and_places(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(
        b'\xef\xbb\xbf{"question": "a", "answer": 1}\n{"question": "\xff", "answer": 2}\n'
    )
    with pytest.raises(SharpenError, match=r"a\.jsonl line 2 is not UTF-8\. Save the file as UTF-8\."):
        Files(str(tmp_path / "a.jsonl")).table  # noqa: B018
    (tmp_path / "a.parquet").write_text("no parquet")
    with pytest.raises(SharpenError, match=r"a\.parquet cannot be read as Parquet: "):
        Files(str(tmp_path / "a.parquet")).table  # noqa: B018
    with pytest.raises(SharpenError, match=r"There is no file '.*b\.jsonl'"):
        Files(str(tmp_path / "b.jsonl")).table  # noqa: B018
    with pytest.raises(SharpenError, match=r"Unknown way to compare answers: match='maths'. Did you mean math\?"):
        Files("a.jsonl", match="maths")  # type: ignore[arg-type]
    with pytest.raises(SharpenError, match="test_share=1"):
        Files("a.jsonl", test_share=1)
