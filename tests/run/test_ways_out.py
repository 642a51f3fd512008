"""A run's folder that somebody else made: nothing outside of it is changed or removed, and nothing hangs."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from test_directory import group

from sharpen.errors import SharpenError
from sharpen.recipe import Policy, check
from sharpen.recipes import recipe
from sharpen.run import checkpoint
from sharpen.run.directory import RunDir
from sharpen.run.naming import default_out
from sharpen.run.setup import Setup

MINE = b"export PATH\n"
"""What a file of the user's holds."""


@pytest.fixture
def run(tmp_path):
    run = RunDir.create(tmp_path / "theirs", {"format": 1, "seed": 3})
    run.append_metrics(0, {"loss": 1.0}, {})
    run.append_rollouts(0, [group(0)])
    with run.lock():
        run.save(1, {"step": 1})
    return run


FILES = ("lock", "log.txt", "metrics.jsonl", "timing.jsonl", "curve.jsonl", "evaluation.json", "engine.log")


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_a_link_is_not_written_through(run, tmp_path, name):
    """`lock` would be emptied, `log.txt` appended to."""
    mine = tmp_path / "bashrc"
    mine.write_bytes(MINE)
    (run.path / name).unlink(missing_ok=True)
    (run.path / name).symlink_to(mine)
    with (
        pytest.raises(SharpenError, match=rf"{name} is a link to \S+bashrc, and a run is written only where all"),
        run.lock(),
    ):
        run.log("rm -rf /")
    assert mine.read_bytes() == MINE


@pytest.mark.parametrize("name", ["rollouts", "checkpoints", "policy", "actors"])
def test_a_folder_that_is_a_link_loses_nothing(run, tmp_path, name):
    mine = RunDir.create(tmp_path / "mine", {"format": 1})
    mine.append_rollouts(0, [group(0)])
    with mine.lock():
        mine.save(1, {"step": 1})
    for folder in (mine.policy, mine.actors):
        folder.mkdir()
        (folder / ".tmp-mine").write_text("kept")
    held = sorted(str(p) for p in mine.path.rglob("*"))
    (run.path / name).rename(tmp_path / "away") if (run.path / name).exists() else None
    (run.path / name).symlink_to(mine.path / name)
    with pytest.raises(SharpenError, match=f"{name} is a link to"), run.lock():
        run.rewind(0)
    assert sorted(str(p) for p in mine.path.rglob("*")) == held


def test_links_deeper_in_the_folder(run, tmp_path):
    (tmp_path / "far").mkdir()
    (run.checkpoints / "000000").symlink_to(tmp_path / "far")
    with pytest.raises(SharpenError, match="000000 is a link to"), run.lock():
        pass
    (run.checkpoints / "000000").unlink()
    state = run.checkpoints / "000001" / "state.json"
    state.rename(tmp_path / "state.json")
    state.symlink_to(tmp_path / "state.json")
    with pytest.raises(SharpenError, match=r"state\.json is a link to"), run.lock():
        pass


def test_half_written_links_are_removed_as_links(run, tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "kept").write_text("x")
    for folder in (run.path, run.checkpoints, run.path / "rollouts"):
        (folder / ".tmp-gone").symlink_to(tmp_path / "far")
    with run.lock():
        assert not list(run.path.rglob(".tmp-*"))
    assert (tmp_path / "far" / "kept").read_text() == "x"
    assert checkpoint.fault(run.checkpoints / "000001", run.identity()) is None


@pytest.mark.parametrize("name", ["log.txt", "rollouts", "actors"])
def test_what_was_moved_aside_comes_back_as_no_link(run, tmp_path, name):
    """A checkpoint that is replaced is called `.tmp-old-` for a moment, and gets its name back after a kill."""
    far = tmp_path / "far"
    far.mkdir()
    (far / ".tmp-mine").write_bytes(MINE)
    (run.path / f".tmp-old-{name}").symlink_to(far)
    there = run.path / name
    if there.exists():
        there.rename(tmp_path / "away")
    with run.lock():
        assert not os.path.lexists(there)
        assert not os.path.lexists(run.path / f".tmp-old-{name}")
    assert (far / ".tmp-mine").read_bytes() == MINE


def test_links_in_what_was_moved_aside_are_refused(run, tmp_path):
    (tmp_path / "mine").write_bytes(MINE)
    aside = run.path / ".tmp-old-actors"
    aside.mkdir()
    (aside / "value").symlink_to(tmp_path / "mine")
    for _ in range(2):
        with (
            pytest.raises(SharpenError, match=r"actors/value is a link to .*/mine, and a run is written only"),
            run.lock(),
        ):
            pass
    assert (tmp_path / "mine").read_bytes() == MINE


def test_a_pipe_does_not_hang_the_run(run):
    (run.path / "metrics.jsonl").unlink()
    os.mkfifo(run.path / "metrics.jsonl")
    with pytest.raises(SharpenError, match=r"metrics\.jsonl is neither a file nor a folder"), run.lock():
        pass


def test_a_run_on_another_disk(run, tmp_path):
    """Its whole folder may be a link."""
    (tmp_path / "here").symlink_to(run.path)
    there = RunDir.open(tmp_path / "here")
    with there.lock():
        there.append_metrics(1, {"loss": 0.5}, {})
    assert [r["step"] for r in run.read_metrics()] == [0, 1]


def test_a_copy_by_hard_links_does_not_grow_with_the_run(run, tmp_path):
    """`cp -al` keeps a state; the run that goes on must not write into it."""
    (tmp_path / "kept").mkdir()
    for name in ("metrics.jsonl", "manifest.json"):
        os.link(run.path / name, tmp_path / "kept" / name)
    was = (tmp_path / "kept" / "metrics.jsonl").read_bytes()
    with run.lock():
        run.append_metrics(1, {"loss": 0.5}, {})
    assert (tmp_path / "kept" / "metrics.jsonl").read_bytes() == was
    assert [json.loads(x)["step"] for x in (run.path / "metrics.jsonl").read_text().splitlines()] == [0, 1]


def test_a_copy_by_hard_links_has_a_lock_of_its_own(run, tmp_path):
    """It may be looked at and gone on with while the run trains."""
    copy = tmp_path / "kept"
    copy.mkdir()
    for name in ("lock", "manifest.json", "engine.log"):
        (run.path / name).touch()
        os.link(run.path / name, copy / name)
    with run.lock():
        with open(run.path / "engine.log", "a") as log:
            log.write("more")
        assert "process" in (run.path / "lock").read_text()
        with RunDir.open(copy).lock():
            pass
    assert (copy / "engine.log").read_text() == ""


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_export_takes_no_file_of_the_user_out(run, tmp_path, name):
    """A link in the model's folder would be followed into what is then given away."""
    run.policy.mkdir()
    (run.policy / "config.json").write_text("{}")
    (tmp_path / "secret").write_text("key")
    (run.policy / name).unlink(missing_ok=True)
    (run.policy / name).symlink_to(tmp_path / "secret")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    words = [sys.executable, "-m", "sharpen", "export", str(run.path), str(tmp_path / "out")]
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert f"{name} is a link or no file" in done.stderr
    assert not (tmp_path / "out").exists()
    assert not Path(tmp_path / ".tmp-out").exists()


def test_a_run_that_has_no_manifest_yet_is_begun_again(tmp_path, monkeypatch):
    """There is nothing to go on with where there was no room for the first file."""

    def full(path, data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("sharpen.run.directory.replace", full)
    with pytest.raises(
        SharpenError, match=r"no room left for the manifest in .* \(or raise the quota\), then start again\.$"
    ):
        RunDir.create(tmp_path / "new", {"format": 1})
    monkeypatch.undo()
    assert RunDir.create(tmp_path / "new", {"format": 1}).manifest() == {"format": 1}


@pytest.mark.parametrize("name", ["../../mine", "/home/mine", "..", ".tmp-value", "a/b", "a\\b", "", "value\n", "a\0b"])
def test_the_name_of_an_actor_leads_nowhere(name):
    """A trained actor replaces the folder `actors/NAME`, and a manifest may call it `../../../Documents`."""
    with pytest.raises(SharpenError, match="is no name for an actor"):
        check(replace(recipe("grpo"), actors=(("policy", Policy()), (name, Policy()))))


def test_names_of_actors():
    for name in ("value", "rm.0", "value-2", "_x"):
        check(replace(recipe("grpo"), actors=(*recipe("grpo").actors, (name, Policy()))))


@pytest.mark.parametrize("name", ["../../mine", "/home/mine", "a/b", "a\nb", "\x1b[2J"])
def test_the_name_of_a_recipe_leads_nowhere(name):
    """Without --out a run is called by its recipe; of one that is made again a manifest says the name."""
    out = default_out(replace(recipe("grpo"), name=name), Setup(seed=3))
    assert out.parent == Path("runs")
    assert set(out.name) <= set("abcdefghijklmnopqrstuvwxyzJ0123456789.-")
    assert out.name.endswith("-chain-seed3")
