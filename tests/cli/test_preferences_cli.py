"""Preferences from the command line: a file of one's own is trained on, and a reward model is measured."""

from __future__ import annotations

import json
from pathlib import Path

from command import refused

TINY = ("--max-tokens", "4", "--eval-problems", "0", "--set", "Loop.iterations=2", "--set", "Loop.problems=3")


def test_dpo_on_ones_own_preferences(sharpen, tiny):
    rows = [{"prompt": f"{d}+1=", "chosen": str(d + 1), "rejected": str(d)} for d in range(20)]
    Path("mine.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    words = ("train", "dpo", "--model", tiny, "--task", "mine.jsonl", "--out", "run", *TINY)
    planned = sharpen(*words, "--dry-run")
    assert planned.status == 0
    assert "an iteration: 3 problems -> at most 6 traces" in planned.out
    assert "= at most 0 generated tokens" in planned.out
    assert "update policy: at most 3 pairs -> 1 minibatch(es) of 3" in planned.out
    assert not Path("run").exists()
    assert sharpen(*words).status == 0
    metrics = [json.loads(line) for line in Path("run/metrics.jsonl").read_text().splitlines()]
    assert len(metrics) == 2
    assert (Path("run/policy/model.safetensors")).read_bytes() != (tiny / "model.safetensors").read_bytes()
    told = json.loads(sharpen("eval", "run", "--problems", "2", "--k", "1", "--json").out)
    assert told["task"] == "mine.jsonl"
    assert told["evaluation"]["test"]["accuracy"] == [0.0, 0.0, 0.0]  # nobody says a chosen reply word for word yet


def test_bad_preferences_are_refused_before_anything_is_trained(sharpen, tiny):
    Path("mine.jsonl").write_text('{"prompt": "a", "chosen": "b", "rejected": "c"}\n{"prompt": "d", "chosen": "e"}\n')
    said = sharpen("train", "dpo", "--model", tiny, "--task", "mine.jsonl", "--out", "run", *TINY)
    refused(said, "mine.jsonl line 2 has no reply in the column 'rejected'")
    said = sharpen("train", "dpo", "--model", tiny, "--task", "data.jsonl", "--out", "run", *TINY)
    refused(said, "pairs")
    assert not Path("run/metrics.jsonl").exists()


def test_a_reward_model_is_fitted_and_measured(sharpen, tiny):
    assert sharpen("train", "bt", "--model", tiny, "--task", "taste", "--out", "run", *TINY).status == 0
    assert (Path("run/policy/model.safetensors")).read_bytes() == (tiny / "model.safetensors").read_bytes()
    words = ("eval", "run", "--judge", "rm", "--problems", "2", "--k", "1,2", "--split", "test")
    told = json.loads(sharpen(*words, "--json").out)
    assert told["judge"] == "rm"
    found = told["evaluation"]["test"]
    assert (found["kind"], found["problems"], found["samples"]) == ("reward", 2, 2)
    assert found["pairs"]["n"] > 50
    low, mean, high = found["pairs"]["accuracy"]
    assert 0 <= low <= mean <= high <= 1
    assert list(found["best_of"]) == ["correct", "gold", "score"]
    assert found["best_of"]["score"]["1"][1] <= found["best_of"]["score"]["2"][1]
    said = sharpen(*words)
    assert "reward model rm on test, 2 problems x 2 samples" in said.out
    assert "held-out pairs ranked as labelled" in said.out
    assert "gold of the best of n" in said.out
    refused(sharpen("eval", "run", "--judge", "value"), "holds no value or reward model 'value': it has trained rm.")
