"""The command line in process: a tiny model in a folder, a tiny task in a file, and a way to run a command."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from command import REWARD, SMALL, Said
from sharpen.cli.main import main
from toy import nano_actor


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an untrained model with a character tokenizer and a context of 64."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    nano_actor().export(folder)
    return folder


@pytest.fixture
def sharpen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Run a command in an empty folder that holds `data.jsonl` and `reward.py`."""
    monkeypatch.chdir(tmp_path)
    rows = [{"prompt": f"{d}+1=", "answer": str(d + 1), "solution": str(d + 1)} for d in range(60)]
    Path("data.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    Path("reward.py").write_text(REWARD)

    def run(*words: object) -> Said:
        capsys.readouterr()
        status = main([str(w) for w in words])
        out, err = capsys.readouterr()
        return Said(status, out, err)

    return run


@pytest.fixture
def train(sharpen: Callable[..., Said], tiny: Path) -> Callable[..., Said]:
    """`sharpen train RECIPE` of the tiny model on the tiny task into `run`; later words win."""

    def run(recipe: str = "grpo", *words: object, own: bool = True) -> Said:
        reward = ("--reward", "reward.py:score") if own else ()
        small = SMALL if recipe != "sft" else SMALL[:-2]
        return sharpen(
            "train", recipe, "--model", tiny, "--task", "data.jsonl", "--out", "run", *reward, *small, *words
        )

    return run
