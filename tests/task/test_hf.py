"""Hugging Face data sets in the formats of GSM8K and MATH, from disk."""

import json
import logging
import threading
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch

from sharpen.errors import SharpenError
from sharpen.task.hf import HF, sentences
from sharpen.task.judge import Judge
from sharpen.task.resolve import task_of
from sharpen.types import Problem, Segment, Trace

GSM = [
    {"question": "Two boxes of 500 pens?", "answer": "There are 2*500=<<2*500=1000>>1000 pens.\nSo 1000.\n#### 1,000"},
    {"question": "Half of 3?", "answer": "3/2=<<3/2=1.5>>1.5\n#### 1.5"},
    {"question": "No answer?", "answer": "None."},
]
MATH = [
    {
        "problem": "What is $\\frac12$ of $\\frac12$?",
        "solution": "We multiply. The product of $a. B$ is $\\frac14$. So it is $\\boxed{\\frac{1}{4}}$.",
        "level": "Level 2",
        "type": "Algebra",
    },
    {"problem": "Solve $x^2=1$.", "solution": "Roots: $\\boxed{\\{-1,1\\}}.$", "level": "Level 1", "type": "Algebra"},
]


def trace_of(problem: Problem, text: str) -> Trace:
    return Trace(problem, [Segment(torch.zeros(1, dtype=torch.long), trainable=True, text=text)])


def folder(path: Path, **splits: list[dict[str, Any]]) -> str:
    path.mkdir()
    for name, rows in splits.items():
        (path / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    return str(path)


@pytest.fixture
def cache(tmp_path: Path) -> str:
    return str(tmp_path / "cache")


def test_gsm8k(tmp_path: Path, cache: str) -> None:
    task = HF(folder(tmp_path / "gsm", train=GSM, test=[{"question": "1+1?", "answer": "#### 2"}]), cache=cache)
    first, second = task.fixed("train", 9)
    assert first.answer == "1000"
    assert first.solution == ("There are 2*500=1000 pens.", "So 1000.", "#### 1000")
    assert (second.answer, task.gives) == ("1.5", {"answer", "solution"})
    assert f"split 'train' of {task.path} is in the format of gsm8k" in task.notes
    assert "dropped 1 rows of split 'train' without a prompt or an answer after ####" in task.notes
    texts = ["#### 1,000", "\\boxed{10^3}", "the answer is $1000.", "#### 1001", "#### 1000 or 1001", ""]
    got = task.verify_many([(first, trace_of(first, t)) for t in texts])
    assert [r["correct"] for r in got] == [1, 1, 1, 0, 0, 0]
    task.judge.pool.close()


def test_math_saved_by_datasets(tmp_path: Path) -> None:
    path = str(tmp_path / "math")
    datasets.DatasetDict(
        {"train": datasets.Dataset.from_list(MATH), "test": datasets.Dataset.from_list(MATH[1:])}
    ).save_to_disk(path)
    task = task_of(f"hf:{path}", workers="1", timeout="30")
    assert isinstance(task, HF)
    (problem,) = task.fixed("train", 9)
    assert problem.answer == "\\frac{1}{4}"
    assert problem.solution == (
        "We multiply.",
        "The product of $a. B$ is $\\frac14$.",
        "So it is $\\boxed{\\frac{1}{4}}$.",
    )
    assert problem.info == {"level": "Level 2", "type": "Algebra"}
    roots = task.fixed("test", 1)[0]
    pairs = [
        (problem, "\\boxed{0.25}"),
        (problem, "\\boxed{\\frac{2}{8}}"),
        (roots, "\\boxed{\\{1, -1\\}}"),
        (roots, "\\boxed{1}"),
    ]
    got = task.verify_many([(p, trace_of(p, t)) for p, t in pairs])
    assert [r["correct"] for r in got] == [1, 1, 1, 0]
    assert task.answer_of("\\boxed{0.25}") == task.answer_of("\\boxed{1/4}") == "1/4"
    task.judge.pool.close()


def test_mathematics_outside_the_main_thread_and_answers_that_hang(caplog: pytest.LogCaptureFixture) -> None:
    judge = Judge("math", timeout=1.0)
    said = ["\\frac{1}{2}", "9^{9^{9^{9}}}", "5 \\vee 6", "5 \\text{ or } 6", "\\frac{10}{2}", "5}{", "x" * 2000, None]
    got: list[dict[str, float]] = []
    ask = [(said[0], "0.5", "a"), *((s, "5", "b") for s in said[1:])]
    with caplog.at_level(logging.WARNING, "sharpen.task.judge"):
        thread = threading.Thread(target=lambda: got.extend(judge.rewards(ask)))
        thread.start()
        thread.join()
    assert [r["correct"] for r in got] == [1, 0, 0, 0, 1, 0, 0, 0]
    assert [r["unjudged"] for r in got] == [0, 1, 0, 0, 0, 0, 0, 0]
    assert "problem b: math_verify did not return within 1 s on the answer '9^{9^{9^{9}}}'" in caplog.text
    judge.pool.close()


def test_integers_are_compared_exactly_and_without_a_process() -> None:
    judge = Judge("math")
    got = judge.rewards([("+072", "72", "a"), ("1" * 30, "1" * 29 + "2", "a"), ("-0", "0", "a"), ("\\pi", "\\pi", "a")])
    assert [r["correct"] for r in got] == [1, 0, 1, 1]
    assert "pool" not in judge.__dict__


def test_one_file_is_split_by_hash(tmp_path: Path, cache: str) -> None:
    folder(tmp_path / "d", all=[{"question": f"{n}?", "answer": f"#### {n}"} for n in range(20)])
    task = HF(str(tmp_path / "d" / "all.jsonl"), cache=cache)
    assert len(task.fixed("train", 99)) + len(task.fixed("test", 99)) == 20


def test_sentences() -> None:
    assert sentences("One. Two is $1.5. X$ now. {A. B} C.\n\nEnd \\[a. B\\] it. \\begin{x}A. B\\end{x}") == (
        "One.",
        "Two is $1.5. X$ now.",
        "{A. B} C.",
        "End \\[a. B\\] it.",
        "\\begin{x}A. B\\end{x}",
    )


def test_bad_data(tmp_path: Path, cache: str) -> None:
    other = folder(tmp_path / "other", train=[{"text": "a", "label": 1}])
    with pytest.raises(
        SharpenError, match=r"has the columns text, label, and not 'question' and 'answer' .gsm8k. nor 'problem' and"
    ):
        HF(other, cache=cache).table  # noqa: B018
    none = folder(tmp_path / "none", train=GSM[2:])
    with pytest.raises(
        SharpenError, match=r"No row of split 'train' of .* has a 'question' and an answer .marked by ####"
    ):
        HF(none, cache=cache).table  # noqa: B018
    with pytest.raises(SharpenError, match=r"has no split 'dev'; it has train. Name one of those"):
        HF(none, train="dev", cache=cache).table  # noqa: B018
    (tmp_path / "x.txt").write_text("a")
    with pytest.raises(SharpenError, match=r"x\.txt is none of \.jsonl, \.json, \.parquet, \.csv"):
        HF(str(tmp_path / "x.txt"), cache=cache).table  # noqa: B018
    (tmp_path / "broken.parquet").write_text("a")
    with pytest.raises(SharpenError, match=r"The data set at .*broken\.parquet cannot be read: ") as caught:
        HF(str(tmp_path / "broken.parquet"), cache=cache).table  # noqa: B018
    assert "\n" not in str(caught.value)
    with pytest.raises(SharpenError, match=r"Unknown format 'gsm' of the data set"):
        HF(none, format="gsm")  # type: ignore[arg-type]


def test_a_hub_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*a: object, **kw: object) -> None:
        raise ConnectionError("Couldn't reach\nthe hub")

    monkeypatch.setattr(datasets, "load_dataset", away)
    with pytest.raises(SharpenError) as caught:
        HF("openai/gsm8k", config="main").table  # noqa: B018
    assert str(caught.value) == (
        "The data set openai/gsm8k is no local file or folder and cannot be loaded from the hub: ConnectionError: "
        "Couldn't reach the hub. "
        "Check its name and the network, log in if it is gated, name a configuration (config=...) if it has several, "
        "or give the path of a copy."
    )
