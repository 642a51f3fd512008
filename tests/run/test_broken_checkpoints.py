"""No checkpoint that was changed by a bit, cut, emptied, swapped or written by a newer version is gone on from."""

import json
import os
import shutil

import pytest
import torch

from sharpen.errors import SharpenError
from sharpen.run.checkpoint import FILES, FORMAT, fault, load, newest, save
from sharpen.run.directory import RunDir

ALL = (*FILES, "manifest.json")


def state(k):
    return {"step": k, "weights": {"w": torch.full((3,), float(k))}, "rng": (3, (1, 2), None), "last": {"a": 0.25}}


@pytest.fixture
def path(tmp_path):
    return save(tmp_path, 20, state(20), run="mine")


@pytest.mark.parametrize("name", ALL)
def test_every_bit_of_every_file_is_vouched_for(path, name):
    """Each single flipped bit, in names, digits, spaces and numbers: about ten thousand of them."""
    whole = (path / name).read_bytes()
    assert fault(path, "mine") is None
    missed = []
    with open(path / name, "r+b") as file:
        for i, byte in enumerate(whole):
            for bit in range(8):
                file.seek(i)
                file.write(bytes([byte ^ (1 << bit)]))
                file.flush()
                if fault(path, "mine") is None:
                    missed.append((i, bit))
            file.seek(i)
            file.write(bytes([byte]))
        file.flush()
    assert missed == []
    assert fault(path, "mine") is None


@pytest.mark.parametrize("name", ALL)
def test_every_length_but_the_right_one(path, name):
    whole = (path / name).read_bytes()
    for length in range(len(whole)):
        (path / name).write_bytes(whole[:length])
        assert fault(path, "mine") is not None, length
    (path / name).write_bytes(whole + b"\n")
    if name != "manifest.json":  # there a line feed at the end says nothing
        assert f"{name} has {len(whole) + 1} bytes instead of {len(whole)}" in fault(path, "mine")
    (path / name).write_bytes(whole)
    assert fault(path, "mine") is None


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def empty(path, name):
    (path / name).write_bytes(b"")


def newer(path, _):
    told = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps(told | {"format": FORMAT + 1, "chunks": []}))


def foreign(path, _):
    """A good one of another run, under this one's name."""
    shutil.rmtree(path)
    save(path.parent, 20, state(20), keep=9, run="another")


def a_folder(path, name):
    (path / name).unlink()
    (path / name).mkdir()


BROKEN = [
    *((empty, name, rf"{name} has 0 bytes instead of \d+") for name in FILES),
    (empty, "manifest.json", "manifest.json is not one that sharpen wrote"),
    (newer, "", rf"it has format {FORMAT + 1} and this version of sharpen reads {FORMAT}; the version that wrote it "),
    (foreign, "", r"it is of another run \(another recipe, setup or seed\)"),
    (a_folder, "tensors.safetensors", "tensors.safetensors is missing"),
    (a_folder, "manifest.json", r"manifest.json cannot be read \(Is a directory\)"),
]


@pytest.mark.parametrize(("breaks", "name", "wrong"), BROKEN, ids=range(len(BROKEN)))
def test_the_refusal_names_the_newest_good_one_and_deletes_nothing(tmp_path, breaks, name, wrong):
    for k in (10, 15, 20):
        save(tmp_path, k, state(k), keep=3, run="mine")
    breaks(tmp_path / "000020", name)
    before = contents(tmp_path)
    with pytest.raises(SharpenError, match=rf"000020 cannot be used: {wrong}") as caught:
        newest(tmp_path, "mine")
    text = str(caught.value)
    assert "\n" not in text
    assert text.endswith(
        f"The newest good one is 000015: delete 000020 in {tmp_path} and run again with --resume to go on from "
        "iteration 15."
    )
    assert contents(tmp_path) == before
    shutil.rmtree(tmp_path / "000020")
    assert newest(tmp_path, "mine")[0] == 15


def test_a_foreign_one_is_no_good_one_either(tmp_path):
    """What is recommended is of this run."""
    save(tmp_path, 10, state(10), run="mine")
    save(tmp_path, 15, state(15), keep=2, run="another")
    save(tmp_path, 20, state(20), keep=3, run="mine")
    os.truncate(tmp_path / "000020" / "state.json", 3)
    with pytest.raises(SharpenError, match=r"newest good one is 000010: delete 000015, 000020 in "):
        newest(tmp_path, "mine")


def test_one_that_does_not_say_whose_it_is(tmp_path):
    """As earlier versions wrote them."""
    path = save(tmp_path, 10, state(10))
    told = json.loads((path / "manifest.json").read_text())
    del told["run"]
    (path / "manifest.json").write_text(json.dumps(told))
    assert load(path, "mine")[1]["weights"]["w"].tolist() == [10.0] * 3


def test_runs_are_told_apart_by_recipe_setup_and_seed(tmp_path):
    """Not by when or where they were made, nor by versions."""
    told = {"recipe": {"part": "a"}, "setup": {"task": "b"}, "seed": 3, "created": "today", "versions": {}}
    runs = [
        RunDir.create(tmp_path / str(i), told | change)
        for i, change in enumerate(
            (
                {},
                {"created": "later", "versions": {"torch": "3"}},
                {"seed": 4},
                {"setup": {}},
                {"recipe": {"part": "c"}},
            )
        )
    ]
    names = [run.identity() for run in runs]
    assert names[0] == names[1]
    assert len(set(names)) == 4
    with runs[0].lock():
        runs[0].save(1, state(1))
    for run, same in zip(runs[1:], (True, False, False, False), strict=True):
        shutil.copytree(runs[0].checkpoints, run.checkpoints)
        if same:
            assert run.newest()[0] == 1
        else:
            with pytest.raises(SharpenError, match="it is of another run"):
                run.newest()
