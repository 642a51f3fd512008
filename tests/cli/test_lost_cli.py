"""A reward function that dies once in a run: one sample is lost, and the run's log names it. One that always hangs."""

import json
from pathlib import Path

from command import refused

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


HANGS = """
import time
def score(text, problem):
    if text:
        open('asked', 'a').write('.')
        time.sleep(60)
    return 0.0
"""


def test_a_check_of_a_function_that_always_hangs(sharpen):
    Path("reward.py").write_text(HANGS)
    said = sharpen("check", "data.jsonl", "--reward", "reward.py:score", "--reward-timeout", "0.5", "--problems", "5")
    refused(said, "3 of 3 texts judged so far are lost", "did not return within 0.5 s, at line 6 (time.sleep(60))")
    assert (said.out, Path("asked").read_text()) == ("", "...")
