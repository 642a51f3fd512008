"""`sharpen recipes`, `show`, `tasks` and `check`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from command import refused
from sharpen.recipes import all_recipes
from sharpen.task import builtin
from sharpen.task.resolve import ADAPTERS


def test_recipes(sharpen):
    said = sharpen("recipes")
    assert said.status == 0
    assert [line.split("\t")[:2] for line in said.out.splitlines()] == [
        [r.name, r.family] for r in all_recipes().values()
    ]
    told = json.loads(sharpen("recipes", "--json").out)
    assert [r["name"] for r in told] == list(all_recipes())
    assert list(told[0]) == ["name", "family", "about", "source"]
    assert {r["family"] for r in json.loads(sharpen("recipes", "--family", "policy", "--json").out)} == {"policy"}


def test_an_unknown_family(sharpen):
    refused(sharpen("recipes", "--family", "polcy"), "There is no family 'polcy' of recipes. Did you mean policy or")


def test_show_tells_composition_source_and_origins(sharpen):
    out = sharpen("show", "grpo").out
    lines = out.splitlines()
    assert lines[0].startswith("grpo: Sample a group of answers to each problem")
    assert lines[1] == "source: DeepSeekMath, arXiv 2402.03300, section 4.1 (eq. 3, 4 and 4.1.2)"
    assert "        Sample()," in lines
    assert any(line.strip().startswith("Term.kl.weight") and "beta = 0.04 (4.2)" in line for line in lines)


def test_show_with_a_change_and_with_everything(sharpen):
    assert "Sample(n=5)" in sharpen("show", "grpo", "--set", "Sample.n=5").out
    assert "top_p" not in sharpen("show", "grpo").out
    assert "top_p=1.0" in sharpen("show", "grpo", "--all").out
    refused(sharpen("show", "grpo", "--set", "Sample.k=5"), "Sample has no field 'k'.")
    refused(sharpen("show", "gpro"), "There is no recipe 'gpro'. Did you mean gspo or grpo")


def test_show_as_json(sharpen):
    told = json.loads(sharpen("show", "grpo", "--set", "Sample.n=5", "--json").out)
    assert list(told) == ["recipe", "origins", "parent", "difference"]
    assert told["recipe"]["part"] == "sharpen.recipe.Recipe"
    assert told["recipe"]["fields"]["collect"][0]["fields"]["n"] == 5


def test_show_a_child_tells_the_difference(sharpen):
    Path("mine.py").write_text(
        "from dataclasses import replace\nfrom sharpen.recipes.policy import grpo\n"
        "mine = replace(grpo, name='mine', parent='grpo', loop=replace(grpo.loop, problems=8))\n"
    )
    out = sharpen("show", "mine.py:mine").out
    assert out.endswith("difference from grpo:\n  Loop.problems: 32 -> 8\n")


def test_tasks(sharpen):
    lines = sharpen("tasks").out.splitlines()
    assert [line.split("\t")[0] for line in lines] == [*builtin(), *ADAPTERS]
    told = {t["name"]: t for t in json.loads(sharpen("tasks", "--json").out)}
    assert "solution" in told["chain"]["gives"]
    assert told["chain"]["rewards"][0] == "correct"


def test_check_a_good_task(sharpen):
    said = sharpen("check", "data.jsonl", "--problems", "5")
    assert (said.status, said.err) == (0, "")
    told = json.loads(sharpen("check", "data.jsonl", "--problems", "5", "--json").out)
    assert told["passed"] is True


def test_check_a_reward_that_is_always_paid(sharpen):
    Path("paid.py").write_text("def paid(text, problem):\n    return 1.0\n")
    said = sharpen("check", "data.jsonl", "--problems", "5", "--reward", "paid.py:paid", "--json")
    assert said.status == 1
    assert json.loads(said.out)["passed"] is False


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["check", "chian"], "There is no task 'chian'. Did you mean chain?"),
        (["check", "chain", "--problems", "0"], "`--problems 0` must be 1 or more."),
        (["check", "chain", "--task-set", "low=0"], "Task 'chain': low"),
        (["check"], "The following arguments are required: TASK. `sharpen check --help` lists what there is."),
        (["show"], "The following arguments are required: RECIPE."),
    ],
)
def test_what_cannot_be_checked(sharpen, words, text):
    refused(sharpen(*words), text)
