"""Claims: what counts as shown, equal budgets, jobs in processes, and the page."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch

from claim_toy import lower, says, says_claim, trains_claim
from row import small
from sharpen.claims import Arm, Budget, Claim, Comparison, Stage, all_claims, claim, outcomes, store, verdict
from sharpen.claims.report import arm_rows, outcome_rows, page, plain, remarks
from sharpen.claims.stats import judged, outcome
from sharpen.claims.store import Result
from sharpen.claims.tasks import ProvenChain
from sharpen.errors import SharpenError
from sharpen.maths import Interval
from sharpen.task.text import said


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("SHARPEN_CACHE", str(tmp_path_factory.getbasetemp() / "bases"))


def results(c: Claim, **values) -> list[Result]:
    """Results of the arms with these values of the metric by seed."""
    return [
        Result(name, seed, store.fingerprint(c, c.arm(name)), {c.metric: x}, 3.0, {"generated_tokens": 1000}, 2.0)
        for name, xs in values.items()
        for seed, x in enumerate(xs)
    ]


# ------------------------------------------------------------------ what counts as shown


def test_an_outcome_by_hand():
    """Differences 0.1, 0.2, 0.3, 0.2, 0.2: mean 0.2, s = sqrt(0.02 / 4), t(4) = 2.776445."""
    c = says_claim()
    o = outcome(c, results(c, more=[0.5, 0.6, 0.7, 0.6, 0.6], less=[0.4] * 5), c.compared[0], 5)
    half = 2.776445105 * math.sqrt(0.02 / 4) / math.sqrt(5)
    assert o.difference == pytest.approx((0.2 - half, 0.2, 0.2 + half))
    assert (o.seeds, o.means, o.shares, o.verdict) == (5, pytest.approx((0.6, 0.4)), (1.0, 1.0), "holds")


def test_seeds_are_paired_and_failures_left_out():
    c = says_claim()
    rs = results(c, more=[0.9, 0.1, 0.5], less=[0.8, 0.0])
    rs[0] = replace(rs[0], numbers={}, error="no luck")
    o = outcome(c, rs, c.compared[0], 5)
    assert (o.seeds, o.verdict) == (1, "unfinished")
    assert o.difference == (-math.inf, pytest.approx(0.1), math.inf)
    assert outcome(c, [], c.compared[0], 5).verdict == "unfinished"


@pytest.mark.parametrize(
    ("low", "high", "direction", "margin", "said"),
    [
        (0.01, 0.3, "higher", 0.0, "holds"),
        (0.0, 0.3, "higher", 0.0, "not shown"),
        (-0.3, -0.01, "higher", 0.0, "reversed"),
        (-0.3, -0.01, "lower", 0.0, "holds"),
        (0.01, 0.3, "lower", 0.0, "reversed"),
        (-0.01, 0.3, "higher", 0.02, "holds"),
        (-0.03, 0.3, "higher", 0.02, "not shown"),
        (-0.03, -0.025, "higher", 0.02, "reversed"),
        (-0.3, 0.01, "lower", 0.02, "holds"),
    ],
)
def test_verdicts(low, high, direction, margin, said):
    gap = Interval(low, (low + high) / 2, high)
    assert judged(gap, Comparison("a", "b", "m", direction, margin)) == said


def test_a_claim_holds_when_all_of_it_does():
    c = says_claim(comparisons=(Comparison("more", "less", "accuracy"), Comparison("less", "more", "accuracy")))
    rs = results(c, more=[0.9, 0.8, 0.9, 0.8, 0.9], less=[0.1] * 5)
    assert [o.verdict for o in outcomes(c, rs)] == ["holds", "reversed"]
    assert verdict(outcomes(c, rs)) == "reversed"
    assert verdict(outcomes(c, rs)[:1]) == "holds"
    assert verdict(outcomes(c, rs, seeds=6)) == "unfinished"


# ------------------------------------------------------------------ values


def test_the_first_arm_is_compared_with_each_other_that_trains():
    c = says_claim(Arm("third", run=lower), Arm("base", run=lower), direction="lower")
    assert c.compared == (
        Comparison("more", "less", "accuracy", "lower"),
        Comparison("more", "third", "accuracy", "lower"),
    )
    assert [x.text() for x in c.compared] == ["accuracy: more below less", "accuracy: more below third"]
    assert Comparison("a", "b", "m", margin=0.02).text() == "m: a no worse than b by 0.02"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"name": "A b"}, "'A b' of a claim names a folder"),
        ({"seeds": 4}, "4 seeds show too little; give at least 5"),
        ({"arms": (Arm("more", run=says),)}, "needs two arms or more"),
        ({"comparisons": (Comparison("mor", "less", "x"),)}, "compares the arm 'mor'. Did you mean more?"),
    ],
)
def test_a_claim_that_cannot_be(changes, text):
    with pytest.raises(SharpenError) as caught:
        says_claim(**changes)
    assert text in str(caught.value)


def test_an_arm_trains_or_runs():
    for both in ({}, {"method": small("psr", 1), "run": says}):
        with pytest.raises(SharpenError, match="needs a method to train with or a `run`, and not both"):
            Arm("a", **both)
    with pytest.raises(SharpenError, match="budget of 0 updates"):
        Budget("updates", 0)


def test_a_fingerprint_is_of_what_is_computed():
    c = trains_claim()
    first = store.fingerprint(c, c.arms[0])
    told = replace(c.arms[0].method, about="other words", source_of="elsewhere")
    assert store.fingerprint(replace(c, notes="x"), Arm("rloo", told)) == first
    other = replace(told, loop=replace(told.loop, problems=3))
    changed = [
        store.fingerprint(c, Arm("rloo", other)),
        store.fingerprint(replace(c, budget=Budget("iterations", 4)), c.arms[0]),
        store.fingerprint(replace(c, base=replace(c.base, nano=replace(c.base.nano, seed=1))), c.arms[0]),
        store.fingerprint(replace(c, evaluation=replace(c.evaluation, problems=9)), c.arms[0]),
        store.fingerprint(replace(c, task="chain"), c.arms[0]),
    ]
    assert len({first, *changed}) == 6


def test_every_claim_there_is():
    for name, c in all_claims().items():
        assert claim(name) is c
        assert "arXiv" in c.source
        assert c.statement.endswith(".")
        assert c.published
        assert all(store.fingerprint(c, a) for a in c.arms)
    with pytest.raises(SharpenError, match=r"no claim 'topr-on-policy'\. Did you mean topr-off-policy"):
        claim("topr-on-policy")


# ------------------------------------------------------------------ budgets


@pytest.mark.parametrize("kind", ["iterations", "updates", "generated_tokens"])
def test_no_iteration_begins_over_budget(kind):
    amount = {"iterations": 3, "updates": 5, "generated_tokens": 120}[kind]
    c = trains_claim(budget=Budget(kind, amount))
    stage = Stage(c, 0)
    method = replace(c.arms[0].method, updates=(replace(c.arms[0].method.updates[0], minibatch=16),))
    trainer = stage.train(method)
    spent = [x[kind] if kind != "iterations" else i + 1 for i, x in enumerate(stage.curve)]
    assert spent[-2] < amount <= spent[-1] == stage.spent
    assert stage.left == amount - stage.spent
    assert stage.iterations == len(stage.curve) == trainer.ctx.step
    assert stage.cost is trainer.ctx.cost
    assert stage.curve[0].keys() >= {"generated_tokens", "updates", "solved", "length"}


def test_shares_of_a_budget_add_up():
    """Two methods one after the other spend it together; a method that ends early leaves the rest."""
    c = trains_claim(budget=Budget("iterations", 5))
    stage = Stage(c, 0)
    first = stage.train(c.arms[0].method, until=0.4)
    second = stage.train(c.arms[1].method, policy=first.policy)
    assert (first.ctx.step, second.ctx.step, stage.left) == (2, 3, 0)
    assert second.policy is first.policy
    short = Stage(c, 0)
    short.train(small("psr", 2, problems=2))
    assert (short.spent, short.left) == (2, 3)


def test_seconds_are_those_of_the_processor(monkeypatch):
    clock = iter([10.0, 12.5, 12.5])
    monkeypatch.setattr("sharpen.claims.stage.time.process_time", lambda: next(clock))
    stage = Stage(trains_claim(budget=Budget("seconds", 4)), 0)
    assert (stage.spent, stage.left) == (2.5, 1.5)


def test_copies_of_the_base_are_apart():
    stage = Stage(trains_claim(), 0)
    one, two = stage.base(), stage.base()
    with torch.no_grad():
        next(iter(one.weights().values())).zero_()
    assert not torch.equal(next(iter(one.weights().values())), next(iter(two.weights().values())))


# ------------------------------------------------------------------ tables and the page


def test_tables():
    c = says_claim(Arm("base", run=lower), shows=("greedy",))
    rs = results(c, more=[0.5, 0.7], less=[0.4, 0.2], base=[0.3, 0.3])
    assert arm_rows(c, rs) == [
        ("arm", "seeds", "accuracy", "greedy", "generated tokens", "budget spent", "CPU seconds", "worse than base"),
        ("more", "2", "0.600 [0.500, 0.700]", "-", "1,000", "100 %", "2", "0 of 2"),
        ("less", "2", "0.300 [0.200, 0.400]", "-", "1,000", "100 %", "2", "1 of 2"),
        ("base", "2", "0.300 [0.300, 0.300]", "-", "1,000", "100 %", "2", ""),
    ]
    # differences 0.1 and 0.5: mean 0.3, s = 0.2 sqrt(2), t(1) = 12.7062
    assert outcome_rows(outcomes(c, rs, 2)) == [
        ("comparison", "seeds", "difference (95 % interval)", "verdict"),
        ("accuracy: more above less", "2", "+0.300 (-2.241 to +2.841)", "not shown"),
    ]
    uneven = [replace(r, spent=1.5) if r.arm == "less" else r for r in rs]
    uneven[1] = replace(uneven[1], error="no luck")
    assert remarks(c, uneven, outcomes(c, uneven)) == [
        "more at seed 1 failed: no luck",
        "Unequal budgets: more spent 100 % of it, less 50 %.",
    ]
    whole = plain(c, rs, 2)
    assert whole["verdict"] == "not shown"
    assert whole["outcomes"][0]["interval"] == pytest.approx([-2.24124, 2.84124], abs=1e-5)
    assert "curve" not in whole["results"][0]
    assert json.loads(json.dumps(plain(c, rs[:1]), allow_nan=False))["verdict"] == "unfinished"


def test_the_page(tmp_path):
    c = says_claim(notes="Mind the gap.")
    waits = says_claim(name="waits", notes="Mind it.")
    with store.held(tmp_path, c):
        store.save(tmp_path, c, results(c, more=[0.5, 0.6, 0.7, 0.6, 0.6], less=[0.4] * 5))
    lines = page([c, waits], tmp_path).splitlines()
    assert lines[0] == "# Claims"
    assert "| [says-more](#says-more) | nobody, arXiv 0000.00000 | holds |" in lines
    assert "- Task: `copy`, judged by `correct`; base: 1 layers of width 16, 60 steps on copy" in lines
    assert "- Budget of each arm and seed: 3 iterations" in lines
    assert "| accuracy: more above less | 5 | +0.200 (+0.112 to +0.288) | holds |" in lines
    assert "| more | 5 | 0.600 [0.500, 0.700] | 1,000 | 100 % | 2 |" in lines
    assert "Mind the gap." in lines
    assert any(x.startswith("Made by `sharpen claim says-more --seeds 5`: 20 seconds of CPU") for x in lines)
    at = lines.index("## Not run yet")
    assert lines[at + 2] == "- `waits`: What says more is above what says less. (nobody, arXiv 0000.00000) Mind it."
    assert "Not run yet" not in page([c], tmp_path)


def test_a_guessed_digit_proves_nothing():
    task = ProvenChain(low=2, high=2, harder_low=3, harder_high=3)
    problem = task.fixed("test", 1)[0]
    first, second, answer = problem.solution
    proofs = {
        "\n".join(problem.solution): 1.0,
        answer: 0.0,
        f"{first}\n{answer}": 0.0,
        f"{first}\n{second}\n{second}\n{answer}": 0.0,
    }
    for text, proof in proofs.items():
        rewards = task.verify(problem, said(problem, text))
        assert rewards["proof"] == proof, text
        assert rewards["correct"] == 1.0
        assert task.solved(rewards) == bool(proof)
