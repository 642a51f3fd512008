"""A study from the command line: runs, results, what is done again and what is not."""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import signal
from pathlib import Path

import pytest

import sharpen
from command import Said, refused
from sharpen.cli.main import main
from sharpen.run.directory import RunDir
from sharpen.study import runner
from toy import nano_actor

TASKS = '''
from sharpen.task.base import RewardSpec, Task
from sharpen.types import Problem

class Plus(Task):
    """Half of all answers are right, and it can be learnt."""

    name = "plus"
    gives = frozenset({"answer"})
    rewards = (RewardSpec("correct"),)
    splits = ("train", "test")
    sign = "+"

    def draw(self, split, rng):
        return self.made(rng.randrange(100))

    def fixed(self, split, n):
        return [self.made(100 + k) for k in range(n)]

    def made(self, k):
        return Problem(f"{self.name}:{k}", f"{k}{self.sign}1=", str(k))

    def verify(self, problem, trace):
        return {"correct": float(sum(map(ord, trace.text)) % 2 == 0)}

class Minus(Plus):
    name = "minus"
    sign = "-"
'''

OWN = '''
from dataclasses import replace
from sharpen.core import Part
from sharpen.recipes.policy import rloo
from dataclasses import dataclass

@dataclass(frozen=True)
class Breaks(Part):
    """Fails in the second iteration of seed 1."""

    def __call__(self, groups, ctx):
        if ctx.step == 1 and ctx.seed == 1:
            raise ValueError("no\\nluck")
        return groups

mine = replace(rloo, name="mine", collect=(*rloo.collect, Breaks()))
'''

BUDGET = 96
COMMON = (
    "--device cpu --max-tokens 4 --lr 0.02 --set Loop.problems=2 --set Sample.n=2 --seeds 2 "
    f"--budget {BUDGET}-tokens --eval-problems 6 --eval-samples 4 --measure-problems 4 --measure-samples 2 "
    "--measure-every 0.34 --checkpoint-every 1 --rollout-groups 0"
).split()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a model, two tasks and a recipe."""
    folder = tmp_path_factory.mktemp("place")
    nano_actor().export(folder / "tiny")
    (folder / "tasks.py").write_text(TASKS)
    (folder / "own.py").write_text(OWN)
    return folder


@pytest.fixture
def compare(place, monkeypatch, capsys):
    """`sharpen compare` in that folder."""
    monkeypatch.chdir(place)

    def run(*words) -> Said:
        capsys.readouterr()
        status = main(["compare", "--model", "tiny", *COMMON, *map(str, words)])
        out, err = capsys.readouterr()
        return Said(status, out, err)

    return run


TWO = ("rloo", "psr", "--task", "tasks.py:Plus", "--task", "tasks.py:Minus")


def results(path: Path) -> dict:
    """results.json without what no two studies have alike."""
    told = json.loads(path.read_text())
    told.pop("seconds")
    return told


@pytest.fixture
def whole(compare, place):
    """A study of two recipes on two tasks at two seeds, made once."""
    if not (place / "whole" / "results.json").exists():
        said = compare(*TWO, "--out", "whole", "--jobs", 2)
        assert said.status == 0, said
        (place / "whole" / "said.txt").write_text(said.out)
    return place / "whole"


def test_a_study(whole, place):
    runs = sorted(p.name for p in (whole / "runs").iterdir())
    assert runs == [f"{r}-tasks-{t}-seed{s}" for r in ("psr", "rloo") for t in ("Minus", "Plus") for s in (0, 1)]
    told = results(whole / "results.json")
    assert told["study"]["tasks"] == ["tasks.py:Plus", "tasks.py:Minus"]
    budget = {"text": f"{BUDGET}-tokens", "words": f"{BUDGET} generated tokens"}
    assert told["study"]["budget"] == budget | {"kind": "generated_tokens", "amount": BUDGET}
    assert told["errors"] == {}
    assert [(f["recipe"], f["task"], f["seed"]) for f in told["finals"]] == [
        ("base", "tasks.py:Plus", 0),
        ("base", "tasks.py:Minus", 0),
        *[(r, f"tasks.py:{t}", s) for s in (0, 1) for t in ("Plus", "Minus") for r in ("rloo", "psr")],
    ]
    for f in told["finals"][2:]:
        run = RunDir.open(whole / "runs" / f"{f['recipe']}-{f['task'].replace('.py:', '-')}-seed{f['seed']}")
        history, curve, data = run.read_metrics(), run.read_curve(), run.read_evaluation()
        assert history[-2]["cost"]["generated_tokens"] < BUDGET <= f["generated_tokens"] == f["spent"]
        assert f["iterations"] == len(history) == curve[-1]["step"]
        after = data["splits"]["test"]["after"]
        assert (f["accuracy"], f["greedy"], f["length"]) == pytest.approx(
            (after["accuracy"][1], after["greedy"][1], after["length"])
        )
        assert f["pass@4"] == pytest.approx(after["pass@4"][1])
        base = next(b for b in told["finals"] if b["task"] == f["task"])
        assert data["splits"]["test"]["before"]["accuracy"][1] == pytest.approx(base["accuracy"])
        points = [p for p in told["points"] if all(p[n] == f[n] for n in ("recipe", "task", "seed"))]
        assert [p["step"] for p in points] == [c["step"] for c in curve]
        assert [p["accuracy"] for p in points] == [c["accuracy"] for c in curve]
        assert (run.path / "report.html").exists()
    with (whole / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(r["accuracy"]) for r in rows] == [f["accuracy"] for f in told["finals"]]
    for task in ("tasks-Plus", "tasks-Minus"):
        assert (whole / f"curves-{task}.png").read_bytes().startswith(b"\x89PNG")
        assert "<svg" in (whole / f"curves-{task}.svg").read_text()
    text = (whole / "said.txt").read_text()
    for part in (
        "\n8/8 ",
        " psr on tasks.py:Minus, seed 1: accuracy ",
        "rloo - psr",
        "psr - base",
        "interquartile mean",
    ):
        assert part in text
    assert "script" not in (whole / "report.html").read_text().lower()


def test_its_numbers(whole):
    told = results(whole / "results.json")
    of = told["tasks"]["tasks.py:Plus"]
    finals = [f for f in told["finals"] if f["task"] == "tasks.py:Plus"]
    for name in ("rloo", "psr"):
        mine = [f for f in finals if f["recipe"] == name]
        low, mean, high = of["recipes"][name]["accuracy"]
        assert mean == pytest.approx(sum(f["accuracy"] for f in mine) / 2)
        assert low <= mean <= high
        assert of["recipes"][name]["generated_tokens"] == sum(f["generated_tokens"] for f in mine) / 2
    named = [(p["a"], p["b"]) for p in of["pairs"] if p["measure"] == "accuracy"]
    assert named == [("rloo", "psr"), ("rloo", "base"), ("psr", "base")]
    pair = of["pairs"][0]
    gap = of["recipes"]["rloo"]["accuracy"][1] - of["recipes"]["psr"]["accuracy"][1]
    assert pair["diff"] == pytest.approx(gap)
    assert pair["low"] <= pair["diff"] <= pair["high"]
    if of["target"] is not None:
        points = [p for p in told["points"] if p["task"] == "tasks.py:Plus"]
        start = [p["accuracy"] for p in points if p["step"] == 0]
        assert min(start) < of["target"] < 1


def test_what_is_done_is_not_done_again(compare, whole):
    before = {p: p.stat().st_mtime_ns for p in (whole / "runs").rglob("metrics.jsonl")}
    told = results(whole / "results.json")
    said = compare(*TWO, "--out", "whole", "--json")
    assert said.status == 0
    again = json.loads(said.out)
    again.pop("seconds")
    assert again == told
    assert results(whole / "results.json") == told
    assert {p: p.stat().st_mtime_ns for p in before} == before
    refused(
        compare(*TWO, "--out", "whole", "--budget", "50-iterations"),
        "is of another study (budget was '96-tokens', is '50-iterations')",
        "--out",
    )
    refused(compare(*TWO, "--out", "whole", "--set", "rloo:Sample.n=4"), "was started with another recipe", "n was 2")


def test_a_study_that_is_stopped_ends_the_same(compare, whole, place, monkeypatch):
    def stop(job):
        os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as m:
        m.setattr(runner, "_ended", stop)  # when the first run has ended
        said = compare(*TWO, "--out", "cut", "--jobs", 2)
    refused(said, "Stopped;", "of 8 runs are finished in cut. The same command goes on.", status=130)
    assert multiprocessing.active_children() == []
    assert not (place / "cut" / "results.json").exists()
    done = sum((p / "policy").exists() for p in (place / "cut" / "runs").iterdir())
    assert 1 <= done < 8
    assert compare(*TWO, "--out", "cut", "--jobs", 2).status == 0
    assert results(place / "cut" / "results.json") == results(whole / "results.json")
    for run in (whole / "runs").iterdir():
        for name in ("metrics.jsonl", "curve.jsonl", "policy/model.safetensors"):
            assert (run / name).read_bytes() == (place / "cut" / "runs" / run.name / name).read_bytes()


def test_a_run_that_fails_is_told_and_the_others_go_on(compare, place):
    words = ("own.py:mine", "psr", "--task", "tasks.py:Plus", "--set", "psr:Sample.n=3", "--out", "fails")
    said = compare(*words)
    assert said.status == 1
    told = json.loads((place / "fails" / "results.json").read_text())
    assert list(told["errors"]) == ["mine on tasks.py:Plus, seed 1"]
    assert told["errors"]["mine on tasks.py:Plus, seed 1"].startswith("ValueError: no luck (own.py, line ")
    assert "mine on tasks.py:Plus, seed 1 failed: ValueError: no luck" in said.out
    of = told["tasks"]["tasks.py:Plus"]
    assert (of["recipes"]["mine"]["seeds"], of["recipes"]["psr"]["seeds"]) == ([0], [0, 1])
    assert of["pairs"][0]["seeds"] == [0]
    assert told["study"]["recipes"][1]["set"] == ["Loop.problems=2", "Sample.n=2", "Sample.n=3"]


def test_the_function(whole, place, monkeypatch):
    monkeypatch.chdir(place)
    done = sharpen.compare(
        ["rloo", "psr"],
        ["tasks.py:Plus", "tasks.py:Minus"],
        2,
        f"{BUDGET}-tokens",
        "whole",
        "tiny",
        set=["Loop.problems=2", "Sample.n=2"],
        device="cpu",
        max_tokens=4,
        lr=0.02,
        eval_problems=6,
        eval_samples=4,
        measure_problems=4,
        measure_samples=2,
        measure_every=0.34,
        checkpoint_every=7,
        rollout_groups=0,
    )
    told = json.loads((whole / "results.json").read_text())
    assert done.results == told
    frame = done.to_pandas()
    assert list(frame["accuracy"]) == [f["accuracy"] for f in told["finals"]]
    curves = done.curves_to_pandas()
    assert list(curves["generated_tokens"]) == [p["generated_tokens"] for p in told["points"]]
    assert '<th scope="row">rloo - psr</th>' in done._repr_html_()


@pytest.mark.parametrize(
    ("words", "texts"),
    [
        (("rloo", "rloo"), ("Two recipes of the study are called 'rloo'",)),
        (("rloo", "--budget", "5"), ("'5' is no budget",)),
        (("rloo", "--seeds", "0"), ("A study needs a recipe, a task and a seed",)),
        (("rloo", "--eval-problems", "0"), ("measures nothing",)),
        (("rloo", "--target", "1.5"), ("`--target 1.5` is no share",)),
        (("rloo", "--jobs", "-1"), ("`--jobs -1` must be 0",)),
        (("grpoo",), ("grpoo", "Did you mean")),
        (("rloo", "--task", "absent.jsonl"), ("absent.jsonl",)),
        (("rloo", "--set", "Sample.nn=3"), ("Sample",)),
    ],
)
def test_what_is_refused(compare, place, words, texts):
    refused(compare("--task", "tasks.py:Plus", *words, "--out", "refused"), *texts)
    assert not (place / "refused" / "runs").exists()
