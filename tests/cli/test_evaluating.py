"""`sharpen eval` and `sharpen export`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from command import refused

QUICK = ("--problems", "2", "--k", "1,2")


def test_a_model(sharpen, tiny):
    said = sharpen("eval", tiny, "--task", "data.jsonl", "--max-tokens", "4", *QUICK)
    assert (said.status, said.err) == (0, "")
    lines = said.out.splitlines()
    assert lines[0] == "measuring the model"
    assert lines[1] == "1/1 100 %  accuracy   0.0 %  left 0 s"
    assert lines[2].startswith("test (new problems of the training kind, ")
    assert lines[2].endswith(" problems x 2 samples)")
    told = json.loads(sharpen("eval", tiny, "--task", "data.jsonl", "--max-tokens", "4", *QUICK, "--json").out)
    assert list(told) == ["model", "task", "evaluation"]
    assert list(told["evaluation"]) == ["test"]
    measured = told["evaluation"]["test"]
    assert (measured["samples"], measured["accuracy"]) == (2, [0.0, 0.0, 0.0])
    assert measured["rewards"] == {"unjudged": 0.0}


def test_chosen_splits(sharpen, tiny):
    words = ("eval", tiny, "--task", "data.jsonl", "--max-tokens", "4", *QUICK, "--json")
    told = json.loads(sharpen(*words, "--split", "train", "--split", "test").out)
    assert list(told["evaluation"]) == ["train", "test"]
    refused(sharpen(*words, "--split", "tests"), "Task 'data.jsonl' has no split 'tests'. Did you mean test?")


def test_a_run_brings_its_own_task_and_reward(train, sharpen):
    assert train("grpo", "--set", "Loop.iterations=1").status == 0
    told = json.loads(sharpen("eval", "run", *QUICK, "--json").out)
    assert told["task"] == "data.jsonl"
    assert "score" in told["evaluation"]["test"]["rewards"]
    assert told["evaluation"]["test"]["length"] <= 4
    longer = json.loads(sharpen("eval", "run", *QUICK, "--json", "--max-tokens", "9").out)
    assert 4 < longer["evaluation"]["test"]["length"] <= 9
    other = json.loads(sharpen("eval", "run", *QUICK, "--json", "--task", "chain").out)
    assert other["task"] == "chain"
    assert "score" not in other["evaluation"]["test"]["rewards"]


def test_export(train, sharpen):
    assert train("grpo", "--set", "Loop.iterations=1").status == 0
    said = sharpen("export", "run", "out/model")
    assert (said.status, said.out) == (0, "The model is in out/model.\n")
    assert (Path("out/model/model.safetensors")).read_bytes() == Path("run/policy/model.safetensors").read_bytes()
    assert [p.name for p in Path("out").iterdir()] == ["model"]
    assert json.loads(sharpen("export", "run", "again", "--json").out) == {"model": "again"}
    told = sharpen("eval", "out/model", "--task", "data.jsonl", "--max-tokens", "4", *QUICK)
    assert told.status == 0
    Path("out/model/mine.txt").write_text("x")
    refused(sharpen("export", "run", "out/model"), "out/model is there already, and export overwrites nothing.")
    assert Path("out/model/mine.txt").read_text() == "x"
    refused(sharpen("export", "run", "data.jsonl/model"), "The model could not be written to data.jsonl/model (")


def test_what_is_not_finished_or_no_run(train, sharpen, tiny, monkeypatch):
    def stop(*rest: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as m:
        m.setattr("sharpen.learner.Learner.learn", stop)
        assert train("grpo").status == 130
    go_on = "has no policy yet: it is not finished. Go on with `sharpen train --resume --out run`."
    refused(sharpen("export", "run", "out"), go_on)
    refused(sharpen("eval", "run"), go_on)
    refused(sharpen("export", tiny, "out"), "holds no manifest.json, so it is not a run.")
    refused(sharpen("export", "gone", "out"), "The run gone is not there.")
    assert not Path("out").exists()


@pytest.mark.parametrize(
    "words", [["--k", "0"], ["--k", "a"], ["--problems", "0"], ["--temperature", "nan"], ["--temperature", "-1"]]
)
def test_measures_that_make_no_sense(sharpen, tiny, words):
    refused(sharpen("eval", tiny, "--task", "data.jsonl", *words), "cannot be measured: k are whole numbers from 1 on")


def test_a_model_that_is_not_there(sharpen):
    refused(sharpen("eval", "./gone"), "There is no model folder ./gone.")


def test_a_search_answers_with_the_value_model_of_the_run(train, sharpen):
    assert train("rest-mcts", "--set", "Loop.iterations=1", "--set", "MCTS.sims=2").status == 0
    assert sorted(p.name for p in Path("run/actors/value").iterdir() if p.suffix == ".safetensors") == [
        "head.safetensors",
        "model.safetensors",
    ]
    words = ("eval", "run", "--problems", "2", "--json")
    told = json.loads(sharpen(*words, "--with", "mcts", "--set", "MCTS.sims=3", "--set", "MCTS.expand=2").out)
    found = told["evaluation"]["test"]
    assert (found["samples"], "greedy" in found) == (1, False)
    assert found["length"] <= 4 < found["tokens"] <= 3 * 2 * 4
    # a budget of 9 tokens: waves of 4 answers of at most 4 tokens end once it is spent
    told = json.loads(sharpen(*words, "--with", "best-of-n", "--budget", "9", "--value", "value").out)
    assert 9 <= told["evaluation"]["test"]["tokens"] < 9 + 16
    told = json.loads(sharpen(*words, "--with", "majority", "--set", "BestOfN.n=3").out)
    assert told["evaluation"]["test"]["tokens"] <= 3 * 4


def test_what_a_search_lacks_is_said(train, sharpen):
    assert train("grpo", "--set", "Loop.iterations=1").status == 0
    words = ("eval", "run", *QUICK)
    refused(sharpen(*words, "--with", "mtcs"), "There is no search 'mtcs'. Did you mean mcts?")
    refused(sharpen(*words, "--budget", "5"), "are of a search: name one with `--with`")
    refused(sharpen(*words, "--with", "mcts"), "and run names none for it (it has trained none)")
    refused(sharpen(*words, "--with", "mcts", "--set", "MCTS.sims=0"), "MCTS.sims")
    refused(sharpen(*words, "--with", "beam", "--budget", "-1"), "is no number of tokens")


def test_a_model_of_the_run_is_measured_as_a_judge(train, sharpen):
    assert train("rest-mcts", "--set", "Loop.iterations=1", "--set", "MCTS.sims=2").status == 0
    words = ("eval", "run", "--task", "chain", "--problems", "2", "--k", "1,2", "--split", "test", "--max-tokens", "6")
    told = json.loads(sharpen(*words, "--judge", "value", "--json").out)
    assert told["judge"] == "value"
    found = told["evaluation"]["test"]
    assert (found["kind"], found["steps"]["solutions"]) == ("process", 4)  # fitted at the last token of each step
    said = sharpen(*words, "--judge", "value")
    assert "process model value on test, 2 problems x 2 samples" in said.out
    assert "step-error F1" in said.out
    refused(sharpen(*words, "--judge", "rm"), "run holds no value or reward model 'rm': it has trained value.")


def test_what_a_recipe_trained_an_actor_to_say():
    from sharpen.cli.judging import kind_of, lines
    from sharpen.recipes import recipe

    assert kind_of(recipe("ppo"), "value") == "value"
    assert kind_of(recipe("rest-mcts"), "value") == "process"
    assert kind_of(recipe("rm-ppo"), "rm") == "reward"
    report = {
        "kind": "reward",
        "pairs": {"n": 9, "accuracy": [0.5, 0.75, 1.0]},
        "ranking": {"gold": [0.1, 0.2, 0.3]},
        "best_of": {"gold": {1: [0.0, 0.5, 1.0], 2: [0.0, 0.625, 1.0]}},
    }
    assert lines(report) == [
        ("held-out pairs ranked as labelled", "75.0 % (50.0 to 100.0) of 9"),
        ("answers ranked as by gold", "20.0 % (10.0 to 30.0)"),
        ("gold of the best of n", "1: 0.500, 2: 0.625"),
    ]
