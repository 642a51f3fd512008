"""A few kills of every sort; `make chaos` has hundreds (`sweep.py`) and 50 of real processes (`drive.py`)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import drive
import pytest

HERE = Path(__file__).parent


def test_killed_wherever_it_touches_the_disk(tmp_path):
    """One place of every 37 of three runs, in children of a process that has imported everything."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), *filter(None, sys.path)]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(HERE / "sweep.py"), str(tmp_path), "37"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stdout + done.stderr
    # three titles, the kills, their sum
    assert lines[-1] == f"{len(lines) - 4} kills, {len(lines) - 4} equal"
    assert len(lines) - 4 >= 9
    assert all(line.endswith(" equal") for line in lines[1:-1] if line[:4].strip().isdigit())


def test_the_comparison_has_teeth(tmp_path):
    """Each kind of difference that it looks for is found when it is put there."""
    import shutil

    import same
    import sweep

    given = sweep.prepare(tmp_path / "given")
    whole = sweep.warm(tmp_path, (*sweep.PPO, *given))
    assert same.differences(whole, whole) == []

    def spoilt(change) -> list[str]:
        run = tmp_path / "spoilt"
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(whole, run)
        change(run)
        # the report tells of the folder it lies in
        return [x for x in same.differences(run, whole) if "report" not in x]

    def appends(name: str):
        return lambda run: (run / name).write_bytes((run / name).read_bytes() + b" ")

    for name in ("curve.jsonl", "evaluation.json", "policy/config.json", "actors/value/head.safetensors"):
        assert spoilt(appends(name)) == [f"other bytes: {name}"]
    assert spoilt(lambda run: (run / ".tmp-x").write_text("")) == ["left over: .tmp-x", "only here: .tmp-x"]
    assert spoilt(lambda run: shutil.rmtree(run / "actors" / "value"))[0].startswith("only there: actors/value/")
    assert spoilt(lambda run: shutil.rmtree(run / "rollouts")) == ["other rollouts"]
    assert spoilt(lambda run: (run / "timing.jsonl").write_text("")) == ["not a line an iteration"]

    def reseeded(run: Path) -> None:
        told = json.loads((run / "manifest.json").read_bytes())
        (run / "manifest.json").write_text(json.dumps(told | {"seed": 9}))

    assert spoilt(reseeded) == ["another manifest"]
    assert "a report of an earlier moment" in same.differences(whole.rename(tmp_path / "moved"), tmp_path / "moved")


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are found by /proc")
def test_real_processes_killed_at_random_moments(tmp_path):
    """Two kills of a real command line with a reward in processes of its own; none of them is left behind."""
    said: list[str] = []
    (result,) = drive.driven(tmp_path, 2, 0, ("grpo",), said.append)
    assert result.differs == [], said
    assert len(result.hits) == 2
    assert said[0].endswith(": equal")
