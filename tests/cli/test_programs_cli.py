"""A program of recipes from the command line: planned, trained, resumed, shown."""

import json
from pathlib import Path

OWN = """
from dataclasses import replace
from sharpen.recipe import Loop, Program
from sharpen.recipes import recipe

sft, grpo = recipe("sft"), recipe("grpo")
both = Program("both", (
    replace(sft, loop=Loop(iterations=2, problems=2)),
    replace(grpo, loop=Loop(iterations=2, problems=2), collect=(replace(grpo.collect[0], n=2), *grpo.collect[1:])),
))
"""


def test_a_program_from_a_file(sharpen, tiny):
    Path("own.py").write_text(OWN)
    words = (
        "train",
        "own.py:both",
        "--task",
        "data.jsonl",
        "--model",
        tiny,
        "--max-tokens",
        "4",
        "--eval-problems",
        "0",
    )
    planned = sharpen(*words, "--dry-run")
    assert planned.out.splitlines()[0] == "sft:"
    assert "\ngrpo:\nan iteration: 2 problems -> at most 4 traces" in planned.out
    done = sharpen(*words, "--out", "run", "--json")
    assert done.status == 0, done.err
    steps = [json.loads(line) for line in Path("run/metrics.jsonl").read_text().splitlines()]
    assert [s["step"] for s in steps] == [0, 1, 2, 3]
    assert ["loss/nll" in s["metrics"] for s in steps] == [True, True, False, False]
    assert "Program(" in json.loads(Path("run/manifest.json").read_text())["composition"]
    again = sharpen("train", "--resume", "--out", "run", "--json")
    assert json.loads(again.out)["recipe"] == "both"
    shown = sharpen("show", "own.py:both")
    assert "name='both'" in shown.out
