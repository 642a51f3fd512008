"""Budgets: how they are written, that none is exceeded, schedules over them, and runs that are resumed."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch

from row import small
from sharpen import budget as budgets
from sharpen.budget import Budget, budget
from sharpen.errors import SharpenError
from sharpen.loop import Trainer
from sharpen.recipe import Program
from sharpen.recipes.selftrain import sft
from sharpen.rollout.combinators import Linear, Vary
from toy import Copy, nano_actor, weights_equal


def start(method, spend, seed=0):
    return Trainer(method, Copy(), nano_actor(), seed=seed, budget=spend)


def schedule(iterations=50, name="rloo"):
    """A small recipe whose progress is in its metrics: 1 + progress is the temperature samples are drawn at."""
    r = small(name, iterations, problems=2)
    return replace(r, collect=(Vary(r.collect[0], "temperature", Linear(1.0, 2.0)), *r.collect[1:]))


def progress(done):
    return done.metrics["vary/Sample.temperature"] - 1


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2M-tokens", Budget("generated_tokens", 2e6)),
        ("1.5k-tokens", Budget("generated_tokens", 1500)),
        ("200-steps", Budget("updates", 200)),
        ("50-iterations", Budget("iterations", 50)),
        ("300s", Budget("seconds", 300)),
        ("0.5s", Budget("seconds", 0.5)),
        (" 7-steps ", Budget("updates", 7)),
    ],
)
def test_how_a_budget_is_written(text, meant):
    assert budget(text) == meant


@pytest.mark.parametrize(
    "text", ["2M", "tokens", "2 M-tokens", "-3-steps", "0-steps", "0.0s", "5m", "1e6-tokens", "3S"]
)
def test_what_is_no_budget(text):
    with pytest.raises(SharpenError, match=r"is no budget\. Write a number above 0 .* `2M-tokens`"):
        budget(text)


@pytest.mark.parametrize("spend", [Budget("generated_tokens", 60), Budget("updates", 4), Budget("iterations", 4)])
@pytest.mark.parametrize("iterations", [2, 50])
def test_no_iteration_begins_once_it_is_spent(spend, iterations):
    t = start(schedule(iterations), spend)
    spent, seen = [0.0], []
    while not t.done:
        done = t.step()
        seen.append(progress(done))
        spent.append(t.spent)
    assert spent[-2] < spend.amount <= spent[-1]
    assert spent == sorted(spent)
    # a schedule is one of the share that was spent when the iteration began
    assert seen == pytest.approx([x / spend.amount for x in spent[:-1]])
    if spend.kind == "generated_tokens":
        assert t.spent == t.ctx.cost.generated_tokens
    else:
        assert t.spent == t.ctx.step == t.ctx.cost.updates == 4


def test_seconds_are_those_of_the_processor_within_iterations(monkeypatch):
    clock = itertools.count(0.0, 1.5)
    monkeypatch.setattr("sharpen.loop.time.process_time", lambda: next(clock))
    t = start(schedule(), Budget("seconds", 4))
    seen = []
    while not t.done:
        seen.append(progress(t.step()))
        next(clock)  # what passes between iterations does not count
    assert (t.spent, t.ctx.step) == (4.5, 3)
    assert seen == pytest.approx([0, 1.5 / 4, 3 / 4])


def test_the_last_recipe_of_a_program_takes_what_is_left():
    program = Program("two", (schedule(2, "rloo"), schedule(3, "psr")))
    t = start(program, Budget("iterations", 6))
    seen, phases = [], []
    while not t.done:
        seen.append(progress(t.step()))
        phases.append(t.phase)
    assert phases == [0, 0, 1, 1, 1, 1]
    assert seen == pytest.approx([0, 1 / 2, 0, 1 / 4, 2 / 4, 3 / 4])
    short = start(program, Budget("iterations", 1))
    short.step()
    assert (short.done, short.phase) == (True, 0)


def test_a_budget_goes_on_to_the_bit():
    program = Program("two", (schedule(2, "rloo"), schedule(3, "psr")))
    spend = Budget("generated_tokens", 600)
    whole = start(program, spend)
    made = []
    while not whole.done:
        made.append(whole.step().metrics)
    cut = start(program, spend)
    for _ in range(4):
        cut.step()
    assert not cut.done
    again = start(program, spend, seed=9)
    again.load(cut.state())
    rest = []
    while not again.done:
        rest.append(again.step().metrics)
    assert rest == made[4:]
    assert weights_equal(whole.policy.weights(), again.policy.weights())


def test_without_a_budget_nothing_is_new():
    t = start(schedule(4), None)
    seen = [progress(t.step()) for _ in range(4)]
    assert seen == pytest.approx([0, 1 / 4, 2 / 4, 3 / 4])
    assert (t.done, t.spent, t.amount) == (True, 4, 4)
    assert "meter" not in t.state()


def test_a_budget_that_would_never_be_spent(monkeypatch):
    with pytest.raises(SharpenError, match=r"'sft' generates no tokens, so a budget of 100 generated tokens"):
        start(sft, Budget("generated_tokens", 100))
    monkeypatch.setattr(budgets, "IDLE", 3)
    r = small("rloo", 50, problems=2)
    idle = replace(r, updates=tuple(replace(u, start=1000) for u in r.updates))
    t = start(idle, Budget("updates", 2))
    t.step()
    t.step()
    with pytest.raises(SharpenError, match=r"The last 3 iterations of 'rloo' spent nothing of the budget of 2 opt"):
        t.step()
    assert t.ctx.step == 3


def test_what_measures_draws_no_random_numbers_of_the_run():
    one, two = start(schedule(), Budget("iterations", 3)), start(schedule(), Budget("iterations", 3))
    from sharpen.evaluate import evaluate

    while not one.done:
        a = one.step()
        evaluate(two.policy, Copy(), "test", problems=3, samples=2, ks=(1,), greedy=False, seed=5)
        torch.testing.assert_close(list(two.step().metrics.values()), list(a.metrics.values()), rtol=0, atol=0)
    assert weights_equal(one.policy.weights(), two.policy.weights())
