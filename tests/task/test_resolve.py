"""From what a user writes to a task."""

import random
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from sharpen.errors import SharpenError
from sharpen.task.base import Task
from sharpen.task.files import Files
from sharpen.task.hf import HF
from sharpen.task.resolve import task_of
from sharpen.types import Problem, Trace


@dataclass(frozen=True)
class Toy(Task):
    """A built-in task as another module would have it."""

    name: ClassVar[str] = "toy"
    low: int = 1
    share: float = 0.5
    deep: bool = False
    label: str | None = None

    def draw(self, split: str, rng: random.Random) -> Problem:
        return Problem("k", "p")

    def fixed(self, split: str, n: int) -> list[Problem]:
        return []

    def verify(self, problem: Problem, trace: Trace) -> dict[str, float]:
        return {"correct": 0.0}


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sharpen.task.resolve.builtin", lambda: {"toy": Toy})


def test_built_in_tasks_with_typed_options() -> None:
    assert task_of("toy") == Toy()
    assert task_of("toy", low="3", share="1e-1", deep="yes", label="x") == Toy(3, 0.1, True, "x")
    assert task_of("toy", low=3, share=2, deep=True, label="none") == Toy(3, 2.0, True, None)


def test_files_and_data_sets(tmp_path: Path) -> None:
    task = task_of(str(tmp_path / "a.jsonl"), rules="#,tag", match="number", test="b.jsonl", test_share="0.2")
    assert task == Files(str(tmp_path / "a.jsonl"), "b.jsonl", rules=("#", "tag"), match="number", test_share=0.2)
    assert isinstance(task_of("Data.PARQUET"), Files)
    assert task_of("hf:openai/gsm8k", config="main", format="gsm8k") == HF("openai/gsm8k", "gsm8k", "main")


@pytest.mark.parametrize(
    ("spec", "options", "said"),
    [
        (
            "toi",
            {},
            "There is no task 'toi'. Did you mean toy? Or give gym:NAME, hf:ID_OR_PATH, FILE.py:CLASS, or a file",
        ),
        ("toy", {"lo": 1}, "Task toy has no option 'lo'. Did you mean low?"),
        ("toy", {"low": "1.5"}, "Task toy: low: '1.5' is not a whole number. Give another value."),
        ("toy", {"low": True}, "Task toy: low: True is not a whole number."),
        ("toy", {"share": "half"}, "Task toy: share: 'half' is not a number."),
        ("toy", {"deep": "maybe"}, "Task toy: deep: 'maybe' is not true or false."),
        ("toy", {"label": 3}, "Task toy: label: 3 is not text."),
        (
            "a.jsonl",
            {"match": "maths"},
            "Task a.jsonl: match: 'maths' is not one of auto, exact, number, math, choice. Did you mean math?",
        ),
        ("a.jsonl", {"path": "b"}, "Task a.jsonl has no option 'path'."),
        ("a.jsonl", {"rules": 3}, "Task a.jsonl: rules: 3 is not a list, with commas between."),
        ("hf:", {}, "The task 'hf:' names no data set."),
    ],
)
def test_wrong_specs(spec: str, options: dict[str, object], said: str) -> None:
    with pytest.raises(SharpenError) as caught:
        task_of(spec, **options)
    assert said in str(caught.value)
