"""A run that an earlier version began and that was killed is gone on with: the format of checkpoints stays readable.

`stored/` was made by `store.py`: PPO, of a model of 8 numbers a token, killed in its fourth iteration.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from sharpen.cli.main import main
from sharpen.cli.options import find_recipe
from sharpen.overrides import override
from sharpen.run.checkpoint import FORMAT, newest
from sharpen.run.directory import RunDir
from sharpen.run.manifest import describe

STORED = Path(__file__).with_name("stored")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    shutil.copytree(STORED, tmp_path / "stored")
    monkeypatch.chdir(tmp_path / "stored")
    # what is kept is the format: a part that has got a field since makes it no other run
    told = json.loads(Path("run/manifest.json").read_bytes())
    recipe = override(find_recipe("ppo"), told["origin"]["set"])
    Path("run/manifest.json").write_text(json.dumps(told | {"recipe": describe(recipe)}))
    path = Path("run/checkpoints/000002/manifest.json")
    now = {"run": RunDir(Path("run")).identity()}
    path.write_text(json.dumps(json.loads(path.read_bytes()) | now))
    return tmp_path / "stored"


def test_it_is_gone_on_with(folder, capsys):
    """Its first lines stay byte for byte. Of the others the metrics are the expected ones to three digits: another
    platform or version of PyTorch may round otherwise, and what lies below is not compared. Of the distance between
    sampler and trainer, which is nothing but rounding, it is compared that it is none.
    """
    expected = json.loads((folder / "expected.json").read_text())
    kept = (folder / "run" / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    assert len(kept) == 3  # the third is of an iteration after the checkpoint, and is made again
    assert main(["train", "--resume", "--out", "run"]) == 0
    lines = (folder / "run" / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    assert lines[:2] == kept[:2]
    assert [json.loads(x)["step"] for x in lines] == [0, 1, 2, 3]
    for line, wanted in zip(lines, expected, strict=True):
        found = json.loads(line)["metrics"]
        assert found.keys() == wanted.keys()
        for name, x in wanted.items():
            rounding = name.startswith(("agreement/", "reference/"))
            assert found[name] == pytest.approx(0.0 if rounding else x, rel=1e-3, abs=1e-4), name
    assert (folder / "run" / "actors" / "value" / "config.json").exists()
    assert "4/4" in capsys.readouterr().out


def test_it_is_small_and_of_todays_format(folder):
    """When this fails a new format was made: keep this run beside one of the new format."""
    assert sum(p.stat().st_size for p in STORED.rglob("*") if p.is_file()) < 200_000
    told = json.loads((folder / "run" / "checkpoints" / "000002" / "manifest.json").read_text())
    assert told["format"] == FORMAT
    assert newest(folder / "run" / "checkpoints")[0] == 2
