"""Built-in verifiers against slow judges of the tests' own: any text, and damaged worked solutions."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracles
from fuzzing import fuzz, mutated, texts, within
from sharpen.rollout.verdicts import signs
from sharpen.task import builtin, task
from sharpen.task.confident import Confident, stated
from sharpen.task.text import said
from sharpen.types import Trace

TASKS = {name: task(name) for name in builtin()}
WORKED = ("chain", "countdown", "graph", "deduce", "taste")
PROBLEMS = {name: [t.draw(s, random.Random(i)) for s in t.splits for i in range(4)] for name, t in TASKS.items()}


def oracle(name: str, problem, text: str) -> dict[str, float]:
    """The rewards the slow judge knows."""
    if name == "chain":
        return oracles.chain(problem, text)
    if name == "deduce":
        correct, proof = oracles.deduce(problem, text)
        return {"correct": correct, "proof": proof}
    return {"correct": getattr(oracles, name)(problem, text)}


def judged(t, problem, text):
    """The rewards of a text, in time, in range, and none of the other readers raising."""
    with within():
        rewards = t.verify(problem, said(problem, text))
        answer = t.answer_of(text)
        steps = t.check_steps(problem, text.split("\n")) if "steps" in t.gives else []
    assert set(rewards) == {r.name for r in t.rewards}
    assert all(math.isfinite(rewards[r.name]) and r.low <= rewards[r.name] <= r.high for r in t.rewards)
    assert answer is None or isinstance(answer, str)
    assert all(type(s) is bool for s in steps)
    return rewards


@pytest.mark.parametrize("name", WORKED)
def test_any_text_gets_the_verdict_of_the_slow_judge(name):
    @fuzz(60)
    @given(st.sampled_from(PROBLEMS[name]), texts())
    def check(problem, text):
        rewards = judged(TASKS[name], problem, text)
        assert rewards == {**rewards, **oracle(name, problem, text)}

    check()


@pytest.mark.parametrize("name", WORKED)
def test_a_damaged_solution_gets_the_verdict_of_the_slow_judge(name):
    @fuzz(120)
    @given(st.data())
    def check(data):
        problem = data.draw(st.sampled_from(PROBLEMS[name]))
        other = data.draw(st.sampled_from(PROBLEMS[name]))
        lines = [*problem.solution] if data.draw(st.booleans()) else [*other.solution[:-1], problem.solution[-1]]
        text = data.draw(mutated(lines))
        if data.draw(st.integers(0, 5)) == 0:
            text = f"{problem.prompt}\n{text}"
        rewards = judged(TASKS[name], problem, text)
        assert rewards == {**rewards, **oracle(name, problem, text)}

    check()


def test_the_slow_judges_accept_what_is_right():
    """They would agree with a verifier that accepts nothing, if both did."""
    for name in WORKED:
        for problem in PROBLEMS[name]:
            text = "\n".join(problem.solution)
            assert set(oracle(name, problem, text).values()) == {1.0}, (name, text)


@fuzz(40)
@given(st.sampled_from([p for p in PROBLEMS["countdown"] if len(p.info["numbers"]) <= 3]))
def test_every_sum_that_comes_to_the_target_is_right(problem):
    for text in oracles.spellings(problem.info["numbers"], problem.info["target"]):
        want = oracles.countdown(problem, f"#{text}")  # a result on the way may be 0 or less
        assert TASKS["countdown"].verify(problem, said(problem, f"#{text}"))["correct"] == want


@pytest.mark.parametrize("name", ["digits", "points"])
def test_a_text_is_no_latent(name):
    t = TASKS[name]

    @fuzz(40)
    @given(st.sampled_from(PROBLEMS[name]), texts())
    def check(problem, text):
        rewards = judged(t, problem, text)
        assert not t.solved(rewards)
        assert set(rewards.values()) == {0.0}

    check()


@pytest.mark.parametrize("door", [False, True])
def test_turns_in_a_room(door):
    t = task("grid", door=door)
    problems = [t.draw("train", random.Random(i)) for i in range(6)]
    turn = st.one_of(st.sampled_from(["u", "d", "l", "r", "take", "open", " u", "u\n", "up", "ud"]), texts())

    @fuzz(60)
    @given(st.data())
    def check(data):
        problem = data.draw(st.sampled_from(problems))
        turns = data.draw(st.lists(turn, max_size=12))
        if data.draw(st.booleans()):
            at = data.draw(st.integers(0, len(problem.solution)))
            turns = [*problem.solution[:at], *turns, *problem.solution[at:]]
        want, reached = oracles.room(problem.info["rows"], problem.info["limit"], turns)
        world = t.environment(problem)
        world.reset()
        trace, earned, done = said(problem, *turns), [], False
        with within():
            for text, segment in zip(turns, trace.actions, strict=True):
                if done:
                    assert world.step(text) == ("", 0.0, True)
                    continue
                _, segment.reward, done = world.step(text)
                earned.append(segment.reward)
        assert earned == want
        assert done == (reached or len(want) == problem.info["limit"])
        played = Trace(problem, [trace.segments[0], *trace.actions[: len(earned)]])
        rewards = t.verify(problem, played)
        assert rewards["correct"] == float(reached)
        assert rewards["efficiency"] == (problem.info["difficulty"] / len(earned) if reached else 0.0)
        assert len(t.check_steps(problem, turns)) == len(turns)

    check()


@fuzz(80)
@given(st.sampled_from(PROBLEMS["chain"]), texts(), st.sampled_from(["", "\n?7", "\n?7\n", "\n?10", "?3", "\n?\u0667"]))
def test_a_stated_confidence(problem, text, end):
    t = Confident(TASKS["chain"])
    rewards = judged(t, problem, text + end)
    bare, sure = oracles.confidence(text + end)
    assert stated(text + end) == (bare, sure)
    assert rewards["correct"] == oracles.chain(problem, bare)["correct"]
    assert rewards["layout"] == float(sure is not None and TASKS["chain"].answer_of(bare) is not None)


@fuzz(60)
@given(st.one_of(texts(), st.text(st.sampled_from("+- \n\u2212\uff0b"), max_size=8)), st.integers(0, 5))
def test_signs(text, steps):
    with within():
        found = signs(text, steps)
    bare = [c for c in text if not c.isspace()]
    right = len(bare) == steps + 1 and all(c in "+-" for c in bare)
    assert found == (tuple(1 if c == "+" else -1 for c in bare) if right else None)
