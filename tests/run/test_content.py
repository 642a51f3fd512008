"""Digests of what a run was made of: which files, and what counts of a folder."""

from __future__ import annotations

import hashlib

import pytest

from sharpen.run.content import changed, contents, digest
from sharpen.run.setup import Setup


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    (folder / "config.json").write_bytes(b"{}")
    (folder / "sub" / "w").write_bytes(b"1")
    return folder


def sha(data):
    return hashlib.sha256(data).hexdigest()


def test_of_a_folder(model):
    told = f"config.json\0{sha(b'{}')}\nsub/w\0{sha(b'1')}\n"
    assert digest(model) == sha(told.encode())
    assert digest(model / "sub" / "w") == sha(b"1")


def test_what_tools_leave_in_a_models_folder_is_no_part_of_it(model):
    """`hf download --local-dir` writes into `.cache`, a clone has a `.git`; both change and the model does not."""
    was = digest(model)
    for name in (".cache/huggingface/download/config.json.metadata", ".git/index", "sub/.keep", ".gitattributes"):
        (model / name).parent.mkdir(parents=True, exist_ok=True)
        (model / name).write_text(name)
    assert digest(model) == was
    (model / "sub" / "w").write_bytes(b"2")
    assert changed({str(model): was}) == [f"{model} is not what it was"]


def test_a_file_below_a_hidden_folder_is_a_file(tmp_path):
    """Only what is hidden in the folder counts as hidden, not where the folder lies."""
    folder = tmp_path / ".models" / "mine"
    folder.mkdir(parents=True)
    (folder / "w").write_bytes(b"1")
    assert digest(folder) == sha(f"w\0{sha(b'1')}\n".encode())


@pytest.mark.parametrize("task", ["mine.py:T", "confident:mine.py:T", "confident:confident:mine.py:T"])
def test_which_files(tmp_path, monkeypatch, task):
    monkeypatch.chdir(tmp_path)
    for name in ("mine.py", "reward.py", "recipe.py", "rows.jsonl", "chain"):
        (tmp_path / name).write_text(name)
    setup = Setup(task=task, reward="reward.py:f", task_options={"path": "rows.jsonl", "low": 3})
    assert contents("recipe.py:r", setup) == {
        n: sha(n.encode()) for n in ("recipe.py", "mine.py", "reward.py", "rows.jsonl")
    }
    assert contents(None, Setup(task="chain")) == {}
    assert contents("grpo", Setup(task="rows.jsonl")) == {"rows.jsonl": sha(b"rows.jsonl")}
