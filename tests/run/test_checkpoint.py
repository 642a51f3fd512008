"""Checkpoints are complete or absent, and damage is named."""

import errno
import json
import os
import re
import shutil

import pytest
import torch
from safetensors import SafetensorError

from sharpen.errors import SharpenError
from sharpen.run import checkpoint
from sharpen.run.checkpoint import fault, kept, newest, save
from sharpen.run.files import sha256


def state(k):
    return {"step": k, "weights": {"w": torch.full((4,), float(k)), "n": torch.tensor(k)}, "rng": (3, (1, 2), None)}


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def test_layout_and_round_trip(tmp_path):
    path = save(tmp_path / "checkpoints", 120, state(120))
    assert path == tmp_path / "checkpoints" / "000120"
    assert names(path) == ["manifest.json", "state.json", "tensors.safetensors"]
    manifest = json.loads((path / "manifest.json").read_text())
    assert (manifest["format"], manifest["step"]) == (1, 120)
    assert manifest["files"]["state.json"]["bytes"] == (path / "state.json").stat().st_size
    step, got = newest(tmp_path / "checkpoints")
    assert step == 120
    assert got["weights"]["w"].tolist() == [120.0] * 4
    assert got["weights"]["n"].item() == 120
    assert got["rng"] == (3, (1, 2), None)


def test_none_yet(tmp_path):
    assert newest(tmp_path / "checkpoints") is None


def test_the_loaded_tensors_outlive_the_file(tmp_path):
    save(tmp_path, 1, state(1))
    _, got = newest(tmp_path)
    shutil.rmtree(tmp_path / "000001")
    got["weights"]["w"] += 1
    assert got["weights"]["w"].tolist() == [2.0] * 4


def test_older_ones_go(tmp_path):
    for k in (10, 20, 30, 1_000_000):
        save(tmp_path, k, state(k), keep=2)
    assert names(tmp_path) == ["000030", "1000000"]
    save(tmp_path, 1_000_001, state(1), keep=1)
    assert names(tmp_path) == ["1000001"]
    with pytest.raises(SharpenError, match="Keep 1 or more"):
        save(tmp_path, 2_000_000, state(1), keep=0)


def test_a_step_saved_twice_is_replaced(tmp_path):
    save(tmp_path, 10, state(10))
    save(tmp_path, 10, state(11))
    assert names(tmp_path) == ["000010"]
    assert newest(tmp_path)[1]["step"] == 11


def cut_tensors(path):
    os.truncate(path / "tensors.safetensors", 50)


def flip(path):
    data = bytearray((path / "tensors.safetensors").read_bytes())
    data[-1] ^= 1
    (path / "tensors.safetensors").write_bytes(data)


def flip_state(path):
    text = (path / "state.json").read_text()
    (path / "state.json").write_text(text.replace("20", "21", 1))


def old_format(path):
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps({**manifest, "format": 0}))


def renamed(path):
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps({**manifest, "step": 19}))


def foreign(path):
    (path / "manifest.json").write_text('["something else"]')


DAMAGE = [
    (cut_tensors, r"tensors.safetensors has 50 bytes instead of \d+, so it was cut off or changed"),
    (flip, r"the content of tensors.safetensors is not what was written \(its SHA-256 differs\)"),
    (flip_state, r"the content of state.json is not what was written"),
    (old_format, r"it has format 0 and this version of sharpen reads 1"),
    (renamed, r"its manifest says iteration 19"),
    (foreign, r"manifest.json is not one that sharpen wrote"),
    (lambda p: (p / "manifest.json").unlink(), r"manifest.json is missing"),
    (lambda p: (p / "state.json").unlink(), r"state.json is missing"),
    (lambda p: (p / "manifest.json").write_bytes(b""), r"manifest.json is not one that sharpen wrote"),
]


@pytest.mark.parametrize(("damage", "wrong"), DAMAGE, ids=range(len(DAMAGE)))
def test_damage_is_named_and_the_newest_good_one_too(tmp_path, damage, wrong):
    for k in (10, 15, 20):
        save(tmp_path, k, state(k), keep=3)
    damage(tmp_path / "000020")
    text = (
        rf"^Checkpoint {re.escape(str(tmp_path))}/000020 cannot be used: {wrong}.*\. The newest good one is 000015: "
        rf"delete 000020 in {re.escape(str(tmp_path))} and run again with --resume to go on from iteration 15\.$"
    )
    with pytest.raises(SharpenError, match=text):
        newest(tmp_path)
    shutil.rmtree(tmp_path / "000020")
    assert newest(tmp_path)[0] == 15


def test_two_bad_ones_and_none_good(tmp_path):
    for k in (10, 15, 20):
        save(tmp_path, k, state(k), keep=3)
    flip(tmp_path / "000015")
    flip(tmp_path / "000020")
    with pytest.raises(
        SharpenError, match=r"newest good one is 000010: delete 000015, 000020 in .* from iteration 10\.$"
    ):
        newest(tmp_path)
    flip(tmp_path / "000010")
    with pytest.raises(SharpenError, match=r"There is no other good one: start anew with another --out"):
        newest(tmp_path)


def test_content_that_cannot_be_decoded(tmp_path):
    """Hashes that fit, written by hand."""
    path = save(tmp_path, 5, state(5))
    (path / "state.json").write_text('{"w": {"$": "tensor", "is": "nowhere"}}')
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["files"]["state.json"] = {
        "bytes": (path / "state.json").stat().st_size,
        "sha256": sha256(path / "state.json"),
    }
    (path / "manifest.json").write_text(json.dumps(manifest))
    assert fault(path) is None
    with pytest.raises(SharpenError, match=r"its content cannot be read: w is not data that sharpen wrote"):
        newest(tmp_path)


def test_killed_between_writing_and_renaming(tmp_path, monkeypatch):
    """The temporary folder is complete, but has no name yet: the older one counts, and the next save clears up."""
    save(tmp_path, 10, state(10))

    def killed(*_):
        raise SystemExit("killed")

    monkeypatch.setattr(checkpoint, "restore", lambda folder: None)
    monkeypatch.setattr(checkpoint.shutil, "rmtree", lambda *a, **k: None)
    monkeypatch.setattr(checkpoint.os, "rename", killed)
    with pytest.raises(SystemExit):
        save(tmp_path, 20, state(20))
    monkeypatch.undo()
    assert names(tmp_path) == [".tmp-new-000020", "000010"]
    assert newest(tmp_path)[0] == 10
    save(tmp_path, 30, state(30))
    assert names(tmp_path) == ["000010", "000030"]


def test_killed_while_replacing_the_same_step(tmp_path):
    """The old folder was moved aside and the new one has no name yet."""
    save(tmp_path, 10, state(10))
    os.rename(tmp_path / "000010", tmp_path / ".tmp-old-000010")
    (tmp_path / ".tmp-new-000010").mkdir()
    checkpoint.clean(tmp_path)
    assert names(tmp_path) == ["000010"]
    assert newest(tmp_path)[1]["step"] == 10


def test_killed_while_removing_an_old_one(tmp_path):
    save(tmp_path, 10, state(10))
    (tmp_path / ".tmp-gone-000005").mkdir()
    (tmp_path / ".tmp-gone-000005" / "state.json").write_text("{")
    (tmp_path / ".tmp-stray").write_text("x")
    assert [p.name for p in kept(tmp_path)] == ["000010"]
    checkpoint.clean(tmp_path)
    assert names(tmp_path) == ["000010"]


def test_killed_before_an_old_one_is_removed(tmp_path):
    """The new one has its name, and one too many is there until the run goes on."""
    for k in (10, 20, 30, 40):
        save(tmp_path, k, state(k), keep=9)
    checkpoint.trim(tmp_path, 30)
    assert names(tmp_path) == ["000020", "000030", "000040"]
    checkpoint.trim(tmp_path, 40, keep=1)
    assert names(tmp_path) == ["000040"]
    checkpoint.trim(tmp_path, 0)
    checkpoint.trim(tmp_path / "none", 5)
    assert names(tmp_path) == ["000040"]


def full(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def full_in_rust(*_, **__):
    raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")


def forbidden(*_, **__):
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


@pytest.mark.parametrize(
    ("target", "name", "what", "text"),
    [
        (os, "write", full, r"^There is no room left for the checkpoint of iteration 20 in .* before is intact\. Free"),
        (checkpoint, "save_file", full_in_rust, r"^There is no room left for the checkpoint of iteration 20 in "),
        (
            os,
            "rename",
            forbidden,
            r"^The checkpoint of iteration 20 may not be written in .* another folder with --out\.$",
        ),
        (os, "fsync", lambda fd: forbidden(), r"^The checkpoint of iteration 20 may not be written in "),
    ],
)
def test_a_disk_that_refuses_costs_only_the_new_one(tmp_path, monkeypatch, target, name, what, text):
    save(tmp_path, 10, state(10))
    monkeypatch.setattr(target, name, what)
    with pytest.raises(SharpenError, match=text):
        save(tmp_path, 20, state(20), keep=1)
    monkeypatch.undo()
    assert names(tmp_path) == ["000010"]
    assert newest(tmp_path)[1]["step"] == 10


def test_state_that_is_not_plain_writes_nothing(tmp_path):
    save(tmp_path, 10, state(10))
    with pytest.raises(SharpenError, match=r"^hook is a builtins.builtin_function_or_method"):
        save(tmp_path, 20, {"hook": len})
    assert names(tmp_path) == ["000010"]
