"""Checkpoints that somebody wrote who knows the format: their digests are right, what they hold is not."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from command import refused

RUN = ("--set", "Loop.iterations=3", "--checkpoint-every", "1")
GO_ON = ("train", "--resume", "--out", "run")
LAST = Path("run/checkpoints/000003")
GOOD = "The newest good one is 000002: delete 000003 in run/checkpoints and run again with --resume to go on from"


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    return tmp_path_factory.mktemp("kept") / "run"


@pytest.fixture
def run(train, kept):
    """A run of three iterations, made once, whose report is gone."""
    if not kept.exists():
        assert train("grpo", *RUN).status == 0
        Path("run/report.html").unlink()
        Path("run").rename(kept)
    shutil.copytree(kept, "run")


def held():
    return {str(p): p.read_bytes() for p in sorted(Path("run").rglob("*")) if p.is_file() and p.name != "lock"}


def vouch(folder, name, **more):
    data = (folder / name).read_bytes()
    told = json.loads((folder / "manifest.json").read_text())
    told["files"][name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (folder / "manifest.json").write_text(json.dumps(told | more))


def forge(**changes):
    path = LAST / "state.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    vouch(LAST, "state.json")


def tensors(change):
    path = LAST / "tensors.safetensors"
    save_file({k: change(x) for k, x in load_file(path).items()}, path)
    vouch(LAST, path.name)


def rewritten(text):
    (LAST / "state.json").write_text(text)
    vouch(LAST, "state.json")


FORGED = {
    "nothing": lambda: rewritten("{}"),
    "a list": lambda: rewritten("[]"),
    "a hundred thousand brackets": lambda: rewritten("[" * 100_000),
    "an iteration of before": lambda: forge(step=-1),
    "an iteration of no number": lambda: forge(step="3"),
    "another iteration": lambda: forge(step=10**30),
    "a phase of no number": lambda: forge(phase=None),
    "random numbers": lambda: forge(rng=[]),
    "a generator": lambda: forge(gen=7),
    "memories": lambda: forge(states=None),
    "costs": lambda: forge(cost=[]),
    "weights": lambda: forge(weights=3),
    "optimisers": lambda: forge(learners="x"),
    "a tensor that is not there": lambda: forge(gen={"$": "tensor", "is": "nope"}),
    "other types": lambda: tensors(lambda x: x.to(torch.int8)),
}


@pytest.mark.parametrize("what", FORGED)
def test_a_state_that_is_none_is_refused_and_nothing_is_lost(run, sharpen, what):
    FORGED[what]()
    was = held()
    refused(sharpen(*GO_ON), "Checkpoint run/checkpoints/000003 cannot be used: its content", GOOD)
    now = held()
    assert {k: now[k] for k in was if not k.endswith(("log.txt", "report.html"))} == {
        k: x for k, x in was.items() if not k.endswith(("log.txt", "report.html"))
    }
    shutil.rmtree(LAST)
    assert sharpen(*GO_ON).status == 0


def test_a_state_of_another_model(run, sharpen):
    tensors(lambda x: x if x.dtype == torch.uint8 else torch.zeros(3, 3))
    refused(sharpen(*GO_ON), "has shape (3, 3), the model's (100, 16): it is of another model.")


def test_a_state_without_weights(run, sharpen):
    """It would be gone on with from the weights the run began with."""
    forge(weights={})
    said = "The checkpoint holds weights of the actors [], and this recipe has ['policy']"
    refused(sharpen(*GO_ON), said)


HEADERS = {
    "huge": (2**62).to_bytes(8, "little") + b"{}",
    "negative offsets": b'{"gen":{"dtype":"U8","shape":[1],"data_offsets":[-1,0]}}',
    "overlapping": b'{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},'
    b'"gen":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}',
    "a shape beyond all numbers": b'{"gen":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,4]}}',
    "brackets": b"[" * 50_000,
}


@pytest.mark.parametrize("what", HEADERS)
def test_headers_of_tensors(run, sharpen, what):
    text = HEADERS[what]
    data = text if what == "huge" else len(text).to_bytes(8, "little") + text + bytes(4)
    (LAST / "tensors.safetensors").write_bytes(data)
    vouch(LAST, "tensors.safetensors")
    refused(sharpen(*GO_ON), "its content cannot be read: Error while deserializing header", GOOD)


def test_one_state_under_two_numbers(run, sharpen):
    """The copy would be gone on from as if six more iterations had been made."""
    copy = LAST.with_name("000009")
    shutil.copytree(LAST, copy)
    vouch(copy, "state.json", step=9)
    said = refused(sharpen(*GO_ON), "000009 cannot be used", "its state is of iteration 3, so it is a copy of another")
    assert "The newest good one is 000003: delete 000009" in said
    shutil.rmtree(copy)
    assert sharpen(*GO_ON).status == 0


@pytest.mark.parametrize("name", ["０００００９", "٠٠٠٠٠٩", "0000003", "-00009", "000009.bak", " 000009"])
def test_names_that_are_no_numbers_of_ours(run, sharpen, name):
    """Digits of other scripts are digits to Python; none of these is taken for a checkpoint, and none is removed."""
    shutil.copytree(LAST.with_name("000002"), LAST.with_name(name))
    assert sharpen(*GO_ON).status == 0
    assert sorted(p.name for p in LAST.parent.iterdir()) == sorted(["000002", "000003", name])


@pytest.mark.parametrize("change", [{"format": True}, {"format": 1.0}, {"format": "1"}, {"step": 3.0}, {"files": []}])
def test_values_of_other_types(run, sharpen, change):
    told = json.loads((LAST / "manifest.json").read_text()) | change
    (LAST / "manifest.json").write_text(json.dumps(told))
    refused(sharpen(*GO_ON), "Checkpoint run/checkpoints/000003 cannot be used", GOOD)


def test_files_that_a_manifest_names_elsewhere_are_left_alone(run, sharpen):
    Path("mine").write_text("mine")
    told = json.loads((LAST / "manifest.json").read_text())
    told["files"]["../../../mine"] = {"bytes": 4, "sha256": hashlib.sha256(b"mine").hexdigest()}
    (LAST / "manifest.json").write_text(json.dumps(told))
    assert sharpen(*GO_ON).status == 0
    assert Path("mine").read_text() == "mine"
