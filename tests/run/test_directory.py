"""The folder of a run: made once, written by one process, cut back without a trace."""

import errno
import json
import math
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import torch

from sharpen.errors import SharpenError
from sharpen.run.directory import RunDir
from sharpen.run.rollouts import read_rollouts
from sharpen.types import Group, Problem, Segment, Trace


def a_run(tmp_path):
    return RunDir.create(tmp_path / "runs" / "a", {"format": 1, "seed": 3})


def group(step):
    return Group(p := Problem(f"p{step}", "?"), [Trace(p, [Segment(torch.arange(3), True)], reward=float(step))])


def iterate(run, first, last):
    for step in range(first, last):
        run.append_metrics(step, {"loss": 1 / (step + 1), "kl": math.nan}, {"traces": 4 * (step + 1)})
        run.append_timing(step, {"seconds": 0.25})
        run.append_rollouts(step, [group(step)])


def test_create_and_open(tmp_path):
    run = a_run(tmp_path)
    assert RunDir.open(tmp_path / "runs" / "a").manifest() == {"format": 1, "seed": 3}
    assert sorted(os.listdir(run.path)) == ["lock", "manifest.json"]
    assert [p.name for p in (run.checkpoints, run.policy, run.evaluation, run.report)] == [
        "checkpoints",
        "policy",
        "evaluation.json",
        "report.html",
    ]
    assert run.read_metrics() == []
    assert run.newest() is None


def test_an_empty_folder_will_do(tmp_path):
    assert RunDir.create(tmp_path, {}).manifest() == {}


def test_a_used_folder_is_refused(tmp_path):
    run = a_run(tmp_path)
    run.append_metrics(0, {}, {})
    with pytest.raises(
        SharpenError,
        match=r"a holds a run already \(1 iterations\)\. Go on with it by `sharpen train --resume --out \S+a`, or",
    ):
        RunDir.create(run.path, {"seed": 4})
    assert run.manifest()["seed"] == 3
    for name in "bcde":
        (tmp_path / name).write_text("")
    with pytest.raises(
        SharpenError, match=r"is not empty \(it holds b, c, d, \.\.\.\), .* Choose another with --out\.$"
    ):
        RunDir.create(tmp_path, {})


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(SharpenError, match=r"^The run could not be written in .*file/run \(Not a directory\)\. "):
        RunDir.create(tmp_path / "file" / "run", {})

    def forbidden(*_, **__):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "open", forbidden)
    with pytest.raises(SharpenError, match=r"^The lock may not be written in .* choose another folder with --out\.$"):
        RunDir.create(tmp_path / "x", {})


def test_what_is_not_a_run(tmp_path):
    with pytest.raises(SharpenError, match=r"^The run .*/gone is not there\. "):
        RunDir.open(tmp_path / "gone")
    with pytest.raises(SharpenError, match=r"holds no manifest\.json, so it is not a run"):
        RunDir.open(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(SharpenError, match=r"manifest\.json cannot be read"):
        RunDir.open(tmp_path)


def test_metrics_are_valid_json_lines(tmp_path):
    run = a_run(tmp_path)
    run.append_metrics(0, {"loss": 0.1, "kl": math.nan, "up": math.inf, "down": -math.inf, "n": 3}, {"traces": 8})
    text = (run.path / "metrics.jsonl").read_text()
    assert text == (
        '{"step": 0, "metrics": {"loss": 0.1, "kl": "NaN", "up": "Infinity", "down": "-Infinity", "n": 3}, '
        '"cost": {"traces": 8}}\n'
    )
    (record,) = run.read_metrics()
    assert math.isnan(record["metrics"].pop("kl"))
    assert record == {
        "step": 0,
        "metrics": {"loss": 0.1, "up": math.inf, "down": -math.inf, "n": 3},
        "cost": {"traces": 8},
    }
    run.append_metrics(1, {"loss": np.float32(0.5), "n": np.int64(2)}, {})
    assert run.read_metrics()[1]["metrics"] == {"loss": 0.5, "n": 2}
    with pytest.raises(TypeError, match="'loss' is a Tensor, not a number"):
        run.append_metrics(1, {"loss": torch.zeros(())}, {})


def test_a_resumed_run_leaves_the_same_files(tmp_path):
    """One run goes through; one is killed in iteration 5, half a line written, and goes on from the checkpoint of 3."""
    whole, broken = RunDir.create(tmp_path / "whole", {}), RunDir.create(tmp_path / "broken", {})
    with whole.lock():
        iterate(whole, 0, 3)
        whole.save(3, {"x": 1})
        iterate(whole, 3, 8)
        whole.flush()
    with broken.lock():
        iterate(broken, 0, 3)
        broken.save(3, {"x": 1})
        iterate(broken, 3, 5)
        broken.flush()
        iterate(broken, 5, 6)
    for name in ("metrics.jsonl", "timing.jsonl"):
        os.truncate(broken.path / name, (broken.path / name).stat().st_size - 7)
    again = RunDir.open(broken.path)
    assert [r["step"] for r in again.read_metrics()] == [0, 1, 2, 3, 4]
    with again.lock():
        step, state = again.newest()
        assert (step, state) == (3, {"x": 1})
        again.rewind(step)
        iterate(again, 3, 8)
        again.flush()
    for name in ("metrics.jsonl", "timing.jsonl"):
        assert (again.path / name).read_bytes() == (whole.path / name).read_bytes()
    assert list(read_rollouts(again)) == list(read_rollouts(whole))
    assert sorted(os.listdir(again.path / "rollouts")) == ["000000-000002.parquet", "000003-000007.parquet"]


def test_rewind_cuts_at_the_step(tmp_path):
    run = a_run(tmp_path)
    iterate(run, 0, 6)
    run.flush()
    run.rewind(4)
    assert [r["step"] for r in run.read_metrics()] == [0, 1, 2, 3]
    assert [r["step"] for r in run.read_timing()] == [0, 1, 2, 3]
    assert [r["problem"] for r in read_rollouts(run)] == ["p0", "p1", "p2", "p3"]
    run.rewind(0)
    assert run.read_metrics() == run.read_timing() == list(read_rollouts(run)) == []


@pytest.mark.parametrize("tail", [b'{"step": 2, "met', b"\0\0\0\n", b"{}\n", b'{"step": 2}'])
def test_a_half_written_last_line(tmp_path, tail):
    run = a_run(tmp_path)
    iterate(run, 0, 2)
    path = run.path / "metrics.jsonl"
    good = path.read_bytes()
    path.write_bytes(good + tail)
    assert [r["step"] for r in run.read_metrics()] == [0, 1]
    run.rewind(2)
    assert path.read_bytes() == good


def test_a_damaged_line_in_the_middle_is_named(tmp_path):
    run = a_run(tmp_path)
    iterate(run, 0, 3)
    path = run.path / "metrics.jsonl"
    path.write_bytes(path.read_bytes().replace(b'{"step": 1', b'{"step" 1'))
    with pytest.raises(SharpenError, match=r"^Line 2 of .*metrics\.jsonl is not a record that sharpen wrote"):
        run.read_metrics()
    with pytest.raises(SharpenError, match=r"^Line 2 of "):
        run.rewind(2)


def test_a_line_is_never_glued_to_half_a_line(tmp_path):
    run = a_run(tmp_path)
    iterate(run, 0, 1)
    os.truncate(run.path / "metrics.jsonl", 10)
    with pytest.raises(ValueError, match="ends in a half-written line; rewind"):
        iterate(run, 1, 2)


def test_a_full_disk_leaves_whole_lines(tmp_path, monkeypatch):
    run = a_run(tmp_path)
    iterate(run, 0, 1)
    good = (run.path / "metrics.jsonl").read_bytes()
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:5]))
    with pytest.raises(SharpenError, match=r"^There is no room left for metrics\.jsonl in "):
        run.append_metrics(1, {"loss": 1.0}, {})
    assert (run.path / "metrics.jsonl").read_bytes() == good


OTHER = """
import sys
from sharpen.run.directory import RunDir
with RunDir.open(sys.argv[1]).lock():
    print("locked", flush=True)
    sys.stdin.readline()
"""


def test_only_one_process_writes(tmp_path):
    run = a_run(tmp_path)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    args = [sys.executable, "-c", OTHER, str(run.path)]
    with subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env) as other:
        assert other.stdout.readline() == "locked\n"
        text = rf"^{re.escape(str(run.path))} is being written by process {other.pid} on .*\. Wait until that has ended"
        with pytest.raises(SharpenError, match=text), run.lock():
            pass
        assert run.read_metrics() == []
        other.kill()
        other.wait()
    with run.lock():
        assert (run.path / "lock").read_text().startswith(f"process {os.getpid()} on ")
    with run.lock():
        pass


def test_the_lock_removes_what_was_left_half_written(tmp_path):
    run = a_run(tmp_path)
    for folder in (run.path, run.checkpoints, run.path / "rollouts"):
        (folder / ".tmp-x").mkdir(parents=True)
    with run.lock():
        assert [p.name for p in run.path.rglob(".tmp-*")] == []


def test_a_model_that_was_moved_aside_gets_its_name_back_where_it_was(tmp_path):
    """Killed between moving the old model aside and giving the new one its name, for both kinds of model."""
    run = a_run(tmp_path)

    def writes(text):
        return lambda folder: (folder.mkdir(), (folder / "w").write_text(text))

    def put(run, text):
        run.put_actor("value", writes(text))
        run.put_policy(writes(text))

    with run.lock():
        put(run, "old")
    for target in (run.actors / "value", run.policy):
        target.rename(target.with_name(f".tmp-old-{target.name}"))
        writes("new")(target.with_name(f".tmp-{target.name}"))
    with run.lock():
        assert sorted(os.listdir(run.path)) == ["actors", "lock", "manifest.json", "policy"]
        assert os.listdir(run.actors) == ["value"]
        assert (run.actors / "value" / "w").read_text() == (run.policy / "w").read_text() == "old"
        put(run, "new")
    assert sorted(os.listdir(run.path)) == ["actors", "lock", "manifest.json", "policy"]
    assert (run.actors / "value" / "w").read_text() == (run.policy / "w").read_text() == "new"


def test_a_checkpoint_too_many_goes_when_the_run_goes_on(tmp_path):
    """Killed when the new one had its name, and the oldest was not yet removed."""
    run = a_run(tmp_path)
    with run.lock():
        for k in (1, 2, 3):
            run.save(k, {}, keep=9)
        run.rewind(3)
    assert sorted(os.listdir(run.checkpoints)) == ["000002", "000003"]


def test_evaluation_and_log(tmp_path):
    run = a_run(tmp_path)
    run.write_evaluation({"accuracy": 0.5})
    run.write_evaluation({"accuracy": 0.75, "by": [{"low": math.nan}]})
    assert json.loads(run.evaluation.read_text()) == {"accuracy": 0.75, "by": [{"low": "NaN"}]}
    run.log("one")
    run.log("two\n")
    assert (run.path / "log.txt").read_text() == "one\ntwo\n"


def test_a_checkpoint_brings_the_records_along(tmp_path):
    run = a_run(tmp_path)
    iterate(run, 0, 2)
    assert run.save(2, [torch.ones(1)]) == run.checkpoints / "000002"
    assert [r["step"] for r in read_rollouts(run.path)] == [0, 1]
    assert run.newest() == (2, [torch.ones(1)])
