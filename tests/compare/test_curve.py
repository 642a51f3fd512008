"""What a run measures while it trains: where, on what, and that it is the same run with and without."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

import sharpen
from command import REWARD
from sharpen.cli.main import main
from sharpen.errors import SharpenError
from sharpen.run.directory import RunDir
from sharpen.run.ending import Stopped
from sharpen.run.manifest import describe
from sharpen.run.setup import NEWER, Setup, setup_from
from sharpen.run.watching import Silent
from toy import nano_actor

SHORT = {"eval_problems": 2, "eval_samples": 4, "max_tokens": 4, "device": "cpu", "checkpoint_every": 2}
SET = ["Loop.iterations=2", "Loop.problems=2", "Sample.n=2"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """An untrained model, a task and a reward that half of all answers get."""
    folder = tmp_path_factory.mktemp("place")
    nano_actor().export(folder / "tiny")
    rows = [{"prompt": f"{d}+1=", "answer": str(d + 1)} for d in range(400)]
    (folder / "data.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    (folder / "reward.py").write_text(EVEN + REWARD)
    return folder


EVEN = """def even(text, problem):
    return float(sum(map(ord, text)) % 2 == 0)


"""


def train(place, out, **options):
    given = {"model": place / "tiny", "reward": f"{place}/reward.py:even", "set": SET, **SHORT, **options}
    return sharpen.train("rloo", str(place / "data.jsonl"), out=out, **given)


def files(path: Path) -> dict[str, bytes]:
    """What must be the same to the byte."""
    names = ("metrics.jsonl", "evaluation.json", "policy/model.safetensors")
    return {n: (path / n).read_bytes() for n in names}


class After(Silent):
    """Ctrl-C after so many iterations."""

    def __init__(self, n):
        self.n = n
        self.left = None

    def phase(self, title, total, start=0, shows="loss"):
        self.left = self.n if shows == "iterations" else None

    def update(self, step, metrics, tokens_per_second=0.0):
        if self.left is not None:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGINT)


def test_a_curve_changes_no_bits_and_a_resumed_one_is_the_same(place, tmp_path):
    budget = {"budget": "12-iterations"}
    plain = train(place, tmp_path / "plain", **budget)
    options = budget | {"measure_every": 0.25, "measure_problems": 5, "measure_samples": 4}
    curved = train(place, tmp_path / "curved", **options)
    assert len(plain.history) == 12
    assert files(plain.path) == files(curved.path)
    assert RunDir.open(plain.path).read_curve() == []
    points = RunDir.open(curved.path).read_curve()
    assert [p["step"] for p in points] == [0, 3, 6, 9, 12]
    assert [p["spent"] for p in points] == [0, 3, 6, 9, 12]
    assert points[0]["cost"]["generated_tokens"] == 0
    assert [p["cost"] for p in points[1:]] == [curved.history[k]["cost"] for k in (2, 5, 8, 11)]
    for p in points:
        assert len(p["problems"]) == 5
        assert p["accuracy"] == pytest.approx(sum(p["problems"]) / 5)
        assert p["pass@1"] == pytest.approx(p["accuracy"])
        assert p["pass@4"] == pytest.approx(sum(x > 0 for x in p["problems"]) / 5)

    out = tmp_path / "cut"
    with pytest.raises(Stopped, match=r"Stopped after iteration 7 \(7 iterations of 12\); nothing is lost"):
        train(place, out, watcher=After(7), **options)
    (out / "curve.jsonl").write_bytes((out / "curve.jsonl").read_bytes() + b'{"step": 8, "half')
    again = sharpen.train("rloo", out=out, set=SET, resume=True)
    assert files(again.path) == files(curved.path)
    assert (out / "curve.jsonl").read_bytes() == (curved.path / "curve.jsonl").read_bytes()


def test_points_by_iterations_and_by_tokens(place, tmp_path):
    run = train(place, tmp_path / "a", budget="5-iterations", measure_every=2, measure_samples=1, measure_problems=3)
    points = RunDir.open(run.path).read_curve()
    assert [p["step"] for p in points] == [0, 2, 4, 5]
    assert set(points[0]) == {"step", "cost", "spent", "accuracy", "pass@1", "maj@1", "problems"}
    run = train(place, tmp_path / "b", budget="50-tokens", measure_every=0.5, measure_samples=1, measure_problems=3)
    tokens = [h["cost"]["generated_tokens"] for h in run.history]
    assert tokens[-2] < 50 <= tokens[-1]
    half = next(k for k, x in enumerate(tokens, 1) if x >= 25)
    assert [p["step"] for p in RunDir.open(run.path).read_curve()] == [0, half, len(tokens)]
    # without a budget a share is one of the iterations
    run = train(place, tmp_path / "c", set=["Loop.iterations=4", *SET[1:]], measure_every=0.5, measure_samples=1)
    assert [p["step"] for p in RunDir.open(run.path).read_curve()] == [0, 2, 4]


def test_what_is_refused(place, tmp_path):
    for options, text in [
        ({"budget": "5-cakes"}, "'5-cakes' is no budget"),
        ({"measure_every": -1.0}, "`--measure-every -1.0` must be 0"),
        ({"measure_every": 1.5}, "`--measure-every 1.5` must be 0"),
        ({"measure_problems": 0}, "`--measure-problems 0` must be 1 or more"),
    ]:
        with pytest.raises(SharpenError, match=text):
            train(place, tmp_path / "a", **options)
    assert not (tmp_path / "a").exists()


def test_setups_of_earlier_versions():
    plain = describe(Setup())
    for name in ("budget", "measure_every", "measure_problems", "measure_samples"):
        assert plain["fields"].pop(name) == NEWER[name]
    assert setup_from(plain) == Setup()


def test_a_budget_on_the_command_line(place, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(place)
    words = ["train", "rloo", "--model", "tiny", "--task", "data.jsonl", "--device", "cpu", "--max-tokens", "4"]
    words += ["--eval-problems", "0"]
    words += [w for s in SET[1:] for w in ("--set", s)]
    assert main([*words, "--budget", "6-steps", "--dry-run"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "the budget: 6 optimiser updates; rloo goes on until it is spent"
    assert main([*words, "--budget", "6-steps", "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["budget"] == {"kind": "updates", "amount": 6}
    out = ["--out", str(tmp_path / "a")]
    assert main([*words, "--budget", "3-steps", "--reward", "reward.py:even", *out]) == 0
    assert len(RunDir.open(tmp_path / "a").read_metrics()) == 3
    assert "training with rloo for 3 optimiser updates" in capsys.readouterr().out
    assert main(["train", "--resume", *out, "--budget", "4-steps"]) == 2
    assert "was started with another --budget ('3-steps', now '4-steps')" in capsys.readouterr().err
