"""A reward function that dies once in a run: one sample is lost, and the run's log names it."""

import json
from pathlib import Path

DIES = """
import os, pathlib
def score(text, problem):
    if problem.key and text and not pathlib.Path('died').exists():
        pathlib.Path('died').touch()
        os._exit(3)
    return float(len(text))
"""


def test_one_death_in_a_run(train):
    Path("reward.py").write_text(DIES)
    said = train("grpo", "--set", "Loop.iterations=2")
    assert said.status == 0, said.err
    metrics = [json.loads(line)["metrics"] for line in Path("run/metrics.jsonl").read_text().splitlines()]
    assert [m.get("verifier/lost", 0) > 0 for m in metrics] == [True, False]
    (line,) = [x for x in Path("run/log.txt").read_text().splitlines() if "is lost" in x]
    assert "ended the process it ran in" in line
    assert "The problem was 'data.jsonl/" in line
