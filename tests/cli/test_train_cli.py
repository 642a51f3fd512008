"""`sharpen train` when all is well: what is printed, what is on disk, and resuming to the bit."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from command import SMALL, refused

FOUR = ("--set", "Loop.iterations=4", "--checkpoint-every", "2")


MINE = """from __future__ import annotations
from dataclasses import dataclass, replace
from sharpen.loss.policy import PPOClip
from sharpen.recipe import Term, Update
from sharpen.recipes.policy import grpo

@dataclass(frozen=True)
class Mine(PPOClip):
    bonus: float = 0.5

mine = replace(grpo, name="mine", updates=(Update((Term(Mine()), grpo.updates[0].terms[1])),))
"""


def names(folder: str | Path) -> list[str]:
    return sorted(p.name for p in Path(folder).iterdir())


def same(a: Path, b: Path) -> bool:
    """Whether two runs ended in the same state: records byte for byte, weights and optimiser to the bit."""
    x, y = (load_file(run / "checkpoints" / "000004" / "tensors.safetensors") for run in (a, b))
    states = [(run / "checkpoints" / "000004" / "state.json").read_bytes() for run in (a, b)]
    return (
        (a / "metrics.jsonl").read_bytes() == (b / "metrics.jsonl").read_bytes()
        and states[0] == states[1]
        and x.keys() == y.keys()
        and all(torch.equal(x[k], y[k]) for k in x)
    )


def test_a_run_prints_its_course_and_leaves_everything(train):
    said = train("grpo", "--eval-problems", "3", "--eval-samples", "2", *FOUR)
    assert said.status == 0
    assert said.err == ""
    lines = said.out.splitlines()
    assert lines[:3] == [
        "measuring the model before training",
        "1/1 100 %  accuracy   0.0 %  left 0 s",
        "training with grpo",
    ]
    assert lines[3].startswith("1/4  25 %  reward   0.")
    assert "\x1b" not in said.out  # not a terminal: plain lines
    assert "  reward score" in said.out
    assert lines[-1] == "Run: run"
    words = " ".join(said.out.split())
    assert "Of 1 greedy answer to new problems of the training kind, 0 went from wrong to right and 0 from" in words
    assert re.search(
        r"Tokens: [0-9]+ generated, [0-9]+ prompt, [0-9]+ scored, [0-9]+ trained, in 4 iterations\.", words
    )
    assert re.search(r"Training took [0-9.]+ s: [0-9.]+ % collecting, [0-9.]+ % learning\.", words)
    timing = [json.loads(x) for x in Path("run/timing.jsonl").read_text().splitlines()]
    assert all(0 < t["collecting"] < t["seconds"] for t in timing)
    assert names("run") == [
        "checkpoints",
        "evaluation.json",
        "lock",
        "manifest.json",
        "metrics.jsonl",
        "policy",
        "report.html",
        "rollouts",
        "timing.jsonl",
    ]
    assert names("run/checkpoints") == ["000002", "000004"]
    assert [json.loads(x)["step"] for x in Path("run/metrics.jsonl").read_text().splitlines()] == [0, 1, 2, 3]
    told = json.loads(Path("run/manifest.json").read_text())
    assert told["max_tokens"] == 4
    assert told["origin"]["set"] == ["Loop.problems=2", "Sample.n=2", "Loop.iterations=4"]
    measured = json.loads(Path("run/evaluation.json").read_text())["splits"]["test"]
    assert set(measured["before"]["rewards"]) == {"score", "correct", "unjudged"}


def test_a_finished_run_is_not_trained_again(train, sharpen):
    train("grpo", *FOUR)
    before = {p: (p.stat().st_mtime_ns, p.stat().st_ino) for p in Path("run").rglob("*") if p.is_file()}
    said = sharpen("train", "--resume", "--out", "run")
    assert said.status == 0
    assert said.out.startswith("The run in run is finished; nothing was trained.\n")
    assert said.out.endswith("Run: run\n")
    assert {p: (p.stat().st_mtime_ns, p.stat().st_ino) for p in Path("run").rglob("*") if p.is_file()} == before


def test_json_is_one_document_and_nothing_else(train):
    said = train("grpo", "--eval-problems", "3", "--eval-samples", "2", *FOUR, "--json")
    assert (said.status, said.err) == (0, "")
    told = json.loads(said.out)
    assert list(told) == ["run", "recipe", "evaluation", "cost", "findings"]
    assert told["cost"]["updates"] == 4
    assert told["evaluation"]["test"]["after"]["samples"] == 2


def test_a_dry_run_explains_and_writes_nothing(train, sharpen, monkeypatch):
    monkeypatch.setenv("SHARPEN_CACHE", str(Path("cache").absolute()))
    said = train("grpo", *FOUR, "--dry-run")
    assert said.status == 0
    assert said.out.splitlines()[0] == (
        "an iteration: 2 problems -> at most 4 traces of at most 4 tokens = at most 16 generated tokens"
    )
    assert names(".") == ["data.jsonl", "reward.py"]
    told = json.loads(train("grpo", *FOUR, "--dry-run", "--json").out)
    assert (told["recipe"], told["task"]) == ("grpo", "data.jsonl")
    assert (told["plan"]["traces"], told["plan"]["iterations"]) == (4, 4)
    # the nano model is drawn up, not trained
    assert "93," not in sharpen("train", "grpo", "--dry-run", "--max-tokens", "9").err
    assert names(".") == ["data.jsonl", "reward.py"]


@pytest.mark.parametrize("recipe", ["sft", "expert-iteration"])
def test_other_recipes(train, recipe):
    assert train(recipe, *FOUR, own=False).status == 0
    assert len(Path("run/metrics.jsonl").read_text().splitlines()) == 4


def test_a_recipe_of_ones_own(train, sharpen):
    Path("mine.py").write_text(MINE)
    assert train("mine.py:mine", *FOUR, "--set", "Mine.bonus=0.25").status == 0
    assert "Mine(bonus=0.25)" in json.loads(Path("run/manifest.json").read_text())["composition"]
    assert sharpen("train", "--resume", "--out", "run").status == 0


def test_a_default_directory_is_a_new_one_each_time(sharpen, tiny):
    words = ("train", "sft", "--model", tiny, "--task", "data.jsonl", *SMALL[:-2], "--set", "Loop.iterations=1")
    for _ in range(2):
        assert sharpen(*words).status == 0
    assert names("runs") == ["sft-data-seed0", "sft-data-seed0-2"]


@pytest.fixture
def whole(train):
    """An uninterrupted run."""
    assert train("grpo", *FOUR).status == 0
    return Path("run").rename("whole")


def test_ctrl_c_kill_and_a_closed_pipe_lose_nothing(sharpen, whole, tiny):
    """Processes that end in five ways; each goes on as if nothing had been."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    words = ["train", "grpo", "--model", tiny, "--task", "data.jsonl", "--reward", "reward.py:score", *SMALL, *FOUR]
    script = Path(__file__).parents[1] / "interrupted.py"
    done = subprocess.run(
        [sys.executable, script, *map(str, words)], env=env, capture_output=True, text=True, timeout=200, check=True
    )
    ended = json.loads(done.stdout)
    killed = -signal.SIGKILL
    statuses = {how: e["status"] for how, e in ended.items()}
    assert statuses == {"int": 130, "kill": killed, "write": killed, "records": killed, "head": 0}
    assert "Stopping after this iteration, to keep it. Press Ctrl-C again to stop at once." in ended["int"]["out"]
    assert ended["int"]["err"] == (
        "sharpen: Stopped after iteration 3 of 4; nothing is lost. Go on from iteration 3 with `sharpen train --resume "
        "--out int`.\n"
    )
    assert names("int/checkpoints") == ["000002", "000003"]
    assert "report.html" in names("int")
    assert "Stopped after iteration 3" in Path("int/log.txt").read_text()
    assert names("kill/checkpoints") == ["000002"]
    assert names("write/checkpoints") == [".tmp-new-000004", "000002"]
    assert len(Path("records/metrics.jsonl").read_text().splitlines()) == 4
    # nobody reads its lines any more, and it has trained to the end
    assert ended["head"] == {"status": 0, "out": "training with grpo\n", "err": ""}
    assert same(Path("head"), whole)
    for how in ("int", "kill", "write", "records"):
        assert sharpen("train", "--resume", "--out", how).status == 0
        assert same(Path(how), whole), how
        assert not list(Path(how).rglob(".tmp-*"))


class Killed(BaseException):
    """Stands for SIGKILL."""


def test_the_report_of_an_earlier_end_is_no_sign_of_a_finished_run(train, sharpen, monkeypatch):
    """Stopped by Ctrl-C, which leaves a report; gone on with, and killed when all but the last report was there."""
    from sharpen.loop import Trainer
    from sharpen.run import ending, session

    def ends(*_):
        raise KeyboardInterrupt

    def killed(*_):
        raise Killed

    with monkeypatch.context() as m:
        m.setattr(Trainer, "_describe", ends)
        assert train("grpo", *FOUR, "--eval-problems", "3", "--eval-samples", "2").status == 130
    early = Path("run/report.html").read_text()
    with monkeypatch.context() as m:
        m.setattr(session, "tell", killed)
        m.setattr(ending, "tell", lambda *_: None)
        with pytest.raises(Killed):
            sharpen("train", "--resume", "--out", "run")
    assert Path("run/policy/config.json").exists()
    said = sharpen("train", "--resume", "--out", "run")
    assert said.status == 0
    assert "nothing was trained" not in said.out
    late = Path("run/report.html").read_text()
    assert "Did it learn?" in late
    assert late != early
    assert "nothing was trained" in sharpen("train", "--resume", "--out", "run").out


def test_a_resumed_run_shows_where_it_is(train, sharpen, monkeypatch):
    from sharpen.loop import Trainer

    old = Trainer._describe

    def stop(self, groups):
        if self.ctx.step == 2:
            raise KeyboardInterrupt
        return old(self, groups)

    with monkeypatch.context() as m:
        m.setattr(Trainer, "_describe", stop)
        said = train("grpo", *FOUR)
    assert said.status == 130
    assert said.err == "sharpen: Stopped at once. Go on from iteration 2 with `sharpen train --resume --out run`.\n"
    lines = sharpen("train", "--resume", "--out", "run").out.splitlines()
    assert lines[0] == "training with grpo"
    assert [x[:5] for x in lines[1:3]] == ["3/4  ", "4/4 1"]


def files(folder: str) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(Path(folder).rglob("*")) if p.is_file()}


def test_a_broken_checkpoint_is_told_and_going_on_as_told_gives_the_same_run(whole, sharpen):
    """One flipped bit in the newest. Nothing is touched; without it the run goes on from the older one."""
    shutil.copytree(whole, "run")
    shutil.rmtree("run/policy")
    path = Path("run/checkpoints/000004/tensors.safetensors")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    before = files("run/checkpoints")
    text = refused(
        sharpen("train", "--resume", "--out", "run"),
        "Checkpoint run/checkpoints/000004 cannot be used: the content of tensors.safetensors is not what was written",
        "The newest good one is 000002: delete 000004 in run/checkpoints and run again with --resume to go on from",
    )
    assert text.endswith("from iteration 2.")
    assert files("run/checkpoints") == before
    shutil.rmtree("run/checkpoints/000004")
    assert sharpen("train", "--resume", "--out", "run").status == 0
    assert same(Path("run"), whole)


def test_a_checkpoint_of_another_run_is_told(whole, train, sharpen):
    """Of the same recipe and another seed, which would go on without a word."""
    assert train("grpo", *FOUR, "--seed", "1", "--out", "other").status == 0
    shutil.copytree(whole, "run")
    shutil.rmtree("run/policy")
    shutil.rmtree("run/checkpoints/000004")
    shutil.copytree("other/checkpoints/000004", "run/checkpoints/000004")
    refused(
        sharpen("train", "--resume", "--out", "run"),
        "run/checkpoints/000004 cannot be used: it is of another run (another recipe, setup or seed)",
        "The newest good one is 000002: delete 000004 in ",
    )
