"""Trackers: what reaches them, and what is said when their package is missing."""

import importlib.util
import math
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from sharpen.errors import SharpenError
from sharpen.run.trackers import tracker


def test_tensorboard_holds_the_numbers(tmp_path):
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    board = tracker("tensorboard", tmp_path)
    board.start({"seed": 3})
    board.log(0, {"loss": 0.5, "kl": math.nan})
    board.log(1, {"loss": 0.25})
    board.end()
    events = reader.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("loss")] == [(0, 0.5), (1, 0.25)]
    assert math.isnan(events.Scalars("kl")[0].value)
    (text,) = events.Tensors("manifest/text_summary")
    assert text.tensor_proto.string_val == [b'    {\n     "seed": 3\n    }']


class Recorder:
    """Stands in for the module and the run of a hosted tracker."""

    def __init__(self):
        self.calls = []

    def init(self, **options):
        self.calls.append(("init", options))
        return self

    def log(self, values, step):
        self.calls.append(("log", values, step))

    def finish(self):
        self.calls.append(("finish",))


def recorded(monkeypatch, name, run, **options):
    fake = Recorder()
    monkeypatch.setitem(sys.modules, name, SimpleNamespace(init=fake.init))
    it = tracker(name, run, **options)
    it.start({"seed": 3})
    it.log(0, {"loss": 0.5})
    it.end()
    return fake.calls


def test_wandb_is_told(monkeypatch, tmp_path):
    run = tmp_path / "a run"
    assert recorded(monkeypatch, "wandb", run, mode="offline") == [
        (
            "init",
            {
                "project": "sharpen",
                "name": "a run",
                "id": "a-run",
                "resume": "allow",
                "config": {"seed": 3},
                "dir": str(run),
                "mode": "offline",
            },
        ),
        ("log", {"loss": 0.5}, 0),
        ("finish",),
    ]


def test_trackio_is_told(monkeypatch):
    assert recorded(monkeypatch, "trackio", Path("runs/b"), project="p") == [
        ("init", {"project": "p", "name": "b", "config": {"seed": 3}, "resume": "allow"}),
        ("log", {"loss": 0.5}, 0),
        ("finish",),
    ]


@pytest.mark.skipif(importlib.util.find_spec("wandb") is None, reason="wandb is not installed")
def test_wandb_offline(tmp_path):
    board = tracker("wandb", tmp_path, mode="offline")
    board.start({"seed": 3})
    board.log(0, {"loss": 0.5})
    board.end()
    assert list((tmp_path / "wandb").glob("offline-run-*"))


@pytest.mark.parametrize(
    ("name", "module", "command"),
    [
        ("tensorboard", "torch.utils.tensorboard", 'pip install "sharpen[view]"'),
        ("wandb", "wandb", "pip install wandb"),
        ("trackio", "trackio", "pip install trackio"),
    ],
)
def test_a_missing_package_is_named_with_the_command(monkeypatch, tmp_path, name, module, command):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SharpenError) as error:
        tracker(name, tmp_path)
    assert str(error.value).startswith(
        f"The tracker {name!r} needs a package that is not installed (import of {module}"
    )
    assert f"`{command}`" in str(error.value)


def test_a_wrong_name():
    with pytest.raises(SharpenError, match=r"^There is no tracker 'wandbb'\. Did you mean wandb\?$"):
        tracker("wandbb", Path())
