"""Flow policies from the command line: a base made on the spot, trained, measured, resumed; plans and checks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from command import Said, refused
from sharpen.actor.flow import load_flow
from sharpen.actor.flowbase import FlowNano

TINY = ("--set", "Loop.iterations=2", "--set", "Loop.problems=2", "--checkpoint-every", "1")
MEASURED = ("--eval-problems", "3", "--eval-samples", "2")


@pytest.fixture(autouse=True)
def hasty(sharpen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Base models of a moment, kept in the test's own folder."""
    monkeypatch.setenv("SHARPEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("sharpen.run.opening.FlowNano", lambda: FlowNano(width=16, layers=1, batches=20, batch=32))


def train(sharpen: Callable[..., Said], recipe: str, task: str, *words: object) -> Said:
    return sharpen("train", recipe, "--task", task, "--out", "run", *TINY, *MEASURED, *words)


def test_points(sharpen):
    said = train(sharpen, "flow-grpo", "points", "--set", "Sample.n=3")
    assert (said.status, said.err) == (0, "")
    lines = said.out.splitlines()
    assert "training the nano base model (once, then kept)" in lines
    assert "training with flow-grpo" in lines
    assert lines[-1] == "Run: run"
    kept = [p.name for p in Path("cache").iterdir()]
    assert [name.startswith("flow-points-") for name in kept] == [True]
    measured = json.loads(Path("run/evaluation.json").read_text())["splits"]
    assert list(measured) == ["test"]
    assert measured["test"]["after"]["length"] == 10

    before = {p: p.stat().st_mtime_ns for p in Path("run").rglob("*") if p.is_file()}
    again = sharpen("train", "--resume", "--out", "run")
    assert (again.status, again.err) == (0, "")
    assert again.out.startswith("The run in run is finished; nothing was trained.\n")
    assert {p: p.stat().st_mtime_ns for p in Path("run").rglob("*") if p.is_file()} == before

    # the policy taken out of the run is measured by itself; a chain is as long as one asks for
    assert sharpen("export", "run", "mine").out == "The model is in mine.\n"
    for words, steps in (((), 10), (("--max-tokens", "4"), 4)):
        said = sharpen("eval", "mine", "--task", "points", "--problems", "3", "--k", "1,2", *words, "--json")
        assert (said.status, said.err) == (0, "")
        found = json.loads(said.out)["evaluation"]["test"]
        assert (found["length"], found["samples"]) == (steps, 2)


def test_digits(sharpen):
    said = train(sharpen, "reinflow", "digits", "--set", "Sample.n=2", "--max-tokens", "3")
    assert (said.status, said.err) == (0, "")
    policy = load_flow("run/policy")
    assert policy.config.shape == (8, 8)
    assert policy.rate == 1e-4
    measured = json.loads(Path("run/evaluation.json").read_text())["splits"]["test"]["after"]
    assert measured["length"] == 3
    assert list(measured["rewards"]) == ["likeness"]


def test_a_dry_run_makes_no_base(sharpen):
    said = sharpen("train", "flow-grpo", "--task", "points", "--dry-run")
    assert (said.status, said.err) == (0, "")
    assert said.out.splitlines()[0] == (
        "an iteration: 32 problems -> at most 512 traces of at most 10 tokens = at most 5,120 generated tokens"
    )
    assert not Path("cache").exists()


def test_the_task_is_checked(sharpen):
    said = sharpen("check", "points")
    assert (said.status, said.err) == (0, "")
    assert said.out.startswith("task points: passed\n")
    assert "ok   targets: the best latent earns the top of every reward" in said.out


def test_what_is_refused(sharpen, tiny):
    refused(sharpen("train", "flow-grpo", "--task", "data.jsonl", "--model", tiny), "needs 'latent' of the task")
    refused(sharpen("train", "flow-grpo", "--task", "points", "--model", tiny), "could not be loaded as a flow policy")
    refused(sharpen("eval", "nano", "--task", "points", "--with", "mcts"), "A value model judges texts")
    for search in ("beam", "majority"):
        said = sharpen("eval", "nano", "--task", "points", "--with", search, "--problems", "2")
        refused(said, "searches among texts, and task 'points' is answered by latents")
    assert not Path("runs").exists()
