"""Sources that learn: what they make of the groups they are shown, and what they draw then."""

import math
import random
from dataclasses import replace

import pytest
import torch

from benches import Graded
from sharpen.actor.scripted import ScriptedActor
from sharpen.core import reads
from sharpen.ctx import Ctx
from sharpen.errors import SharpenError
from sharpen.recipes import recipe
from sharpen.source import bandit
from sharpen.source.bandit import Bandit, mean_credit
from sharpen.source.posterior import Posterior
from sharpen.types import Group, Problem, Segment, Trace
from toy import Copy


def context(source, task=None):
    name = "sec" if isinstance(source, Bandit) else "mopps"
    return Ctx(replace(recipe(name), source=source), task or Graded(), {"policy": ScriptedActor(lambda c, r: "7")})


def problem(digit, **info):
    return Problem(f"copy:{digit}", f"{digit}?", str(digit), (str(digit),), {"digit": digit, **info})


def group(digit, *credits):
    """A group with one trace for each list of credits, a credit a token; None for a trace nobody credited."""
    g = Group(problem(digit, category=digit // 5))
    for credit in credits:
        s = Segment(torch.arange(len(credit or "x")), True, role="assistant", text="x")
        if credit:
            s.put("adv", torch.tensor(credit))
        g.traces.append(Trace(g.problem, [s]))
    return g


def judged(digit, *verdicts):
    g = group(digit, *[[0.0]] * len(verdicts))
    for t, v in zip(g.traces, verdicts, strict=True):
        t.solved = bool(v)
    return g


# ---------------------------------------------------------------- a bandit over kinds of problems


def test_the_signal_is_a_mean_over_answers_of_means_over_tokens():
    assert mean_credit(group(1, [1.0, -1.0], [0.5])) == pytest.approx(0.75)
    assert mean_credit(group(1, [-2.0, 0.0], None)) == pytest.approx(0.5)
    assert mean_credit(group(1, None, None)) == 0.0


@pytest.mark.parametrize(("absent", "low"), [("keep", 7 / 12), ("decay", 7 / 24)])
def test_values_move_by_what_was_seen_once_an_iteration(absent, low):
    """Signals 3/4 (two answers) and 2 (one): their mean is 7/6, and Q moves half of the way; then low digits rest."""
    source = Bandit(absent=absent)
    ctx = context(source)
    ctx.draw(4)
    assert ctx.metrics.take() == {"arm/0": 0.5, "arm/1": 0.5}
    ctx.observe([group(1, [1.0, -1.0], [0.5])])
    ctx.draw(1)  # a second draw of the same iteration, as when groups are refilled
    ctx.observe([group(2, [3.0, 1.0])])
    assert ctx.state(source)["value"] == {0: 0.0, 1: 0.0}
    ctx.step = 1
    ctx.metrics.take()
    ctx.draw(1)
    assert ctx.state(source)["value"] == {0: pytest.approx(7 / 12), 1: 0.0}
    assert ctx.metrics.take()["arm/0"] == pytest.approx(1 / (1 + math.exp(-7 / 12)))
    ctx.observe([group(7, [1.0], [-1.0])])
    ctx.step = 2
    ctx.draw(1)
    assert ctx.state(source)["value"] == {0: pytest.approx(low), 1: pytest.approx(0.5)}
    assert ctx.state(source)["seen"] == {}


def test_draws_follow_the_values_and_repeat():
    source = Bandit(tau=0.5)
    one, two = context(source), context(source)
    keys = []
    for ctx in (one, two):
        ctx.draw(1)
        ctx.state(source)["value"].update({0: 0.5, 1: 0.0})
        keys.append([p.problem.key for p in ctx.draw(3000)])
    assert keys[0] == keys[1]
    share = sum(int(k[-1]) < 5 for k in keys[0]) / 3000
    assert share == pytest.approx(math.e / (1 + math.e), abs=0.02)  # e^(0.5 / 0.5) to 1
    within = [sum(k == f"copy:{d}" for k in keys[0]) for d in range(5)]
    assert min(within) > 0.8 * max(within)  # problems of a kind are as likely as the task makes them


def test_any_fact_of_a_problem_may_be_the_kind_and_any_function_the_signal():
    @reads("solved")
    def solved(g):
        return sum(bool(t.solved) for t in g.traces) / len(g.traces)

    source = Bandit(by="digit", signal=solved, rate=1.0)
    ctx = context(source, Copy())
    ctx.draw(1)
    ctx.observe([judged(3, 1, 0, 0, 0), judged(8, 1, 1), Group(problem(5))])
    ctx.step = 1
    ctx.draw(1)
    assert ctx.state(source)["value"] == {d: {3: 0.25, 8: 1.0}.get(d, 0.0) for d in range(10)}
    assert source.observes == ("solved",)


def test_groups_of_an_unknown_kind_do_not_count():
    source = Bandit()
    ctx = context(source)
    ctx.draw(1)
    ctx.observe([replace(group(1, [1.0]), problem=problem(1, category="other"))])
    assert ctx.state(source)["seen"] == {}


def test_a_task_without_kinds_is_refused():
    with pytest.raises(SharpenError, match=r"a problem of task 'copy' has no such fact; it has digit\. Name one"):
        context(Bandit(), Copy()).draw(1)


def test_a_kind_that_is_never_drawn_is_refused(monkeypatch):
    class Rare(Graded):
        def draw(self, split, rng):
            return problem(1, category=0)

    monkeypatch.setattr(bandit, "TRIES", 50)
    with pytest.raises(SharpenError, match="None of 50 problems drawn from task 'copy' has category=1"):
        context(Bandit(), Rare()).draw(20)


def test_credit_must_be_there_when_the_source_looks():
    with pytest.raises(SharpenError, match="Bandit reads 'adv'"):
        replace(recipe("sec"), collect=recipe("sec").collect[:-1], updates=())
    with pytest.raises(SharpenError, match=r"Bandit: tau is 0.0, and must be a number above 0"):
        Bandit(tau=0.0)


# ---------------------------------------------------------------- beliefs about each problem


def test_beliefs_by_hand():
    """k = 4 with 1 right, then 4 with 3 right: Beta(2, 4) and Beta(5, 5) when nothing is forgotten."""
    for lam, first, second in ((1.0, (2.0, 4.0), (5.0, 5.0)), (0.5, (2.0, 4.0), (4.5, 3.5)), (0.0, (2, 4), (4, 2))):
        source = Posterior(lam=lam)
        ctx = context(source)
        ctx.observe([judged(1, 1, 0, 0, 0)])
        assert ctx.state(source)["beliefs"] == {"copy:1": first}
        assert ctx.metrics.take() == {"posterior/error": 0.25}
        ctx.observe([judged(1, 1, 1, 1, 0), Group(problem(2))])
        assert ctx.state(source)["beliefs"] == {"copy:1": second}
        assert ctx.metrics.take() == {"posterior/error": pytest.approx(0.75 - 1 / 3)}


def test_the_nearest_to_one_half_are_drawn():
    source = Posterior()
    ctx = context(source)
    always, never, even = (1000.0, 1.0), (1.0, 1000.0), (500.0, 500.0)
    believed = {f"copy:{d}": always if d < 5 else never if d < 8 else even for d in range(10)}
    ctx.state(source)["beliefs"].update(believed)
    for _ in range(20):
        assert {g.problem.key for g in ctx.draw(2)} == {"copy:8", "copy:9"}
    assert ctx.metrics.take() == {"posterior/expected": pytest.approx(0.5)}
    high = replace(source, target=1.0)
    ctx = context(high)
    ctx.state(high)["beliefs"].update(believed)
    assert all(int(g.problem.key[-1]) < 5 for g in ctx.draw(4))


def test_problems_nothing_is_known_of_are_tried():
    """One problem is known to be even; nine others have flat beliefs, and one in five is drawn nearer than 0.1."""
    source = Posterior()
    ctx = context(source)
    ctx.state(source)["beliefs"]["copy:0"] = (5.0, 5.0)
    drawn = [ctx.draw(1)[0].problem.key for _ in range(200)]
    assert 20 < sum(k == "copy:0" for k in drawn) < 80
    assert len(set(drawn)) == 10


def test_without_a_choice_candidates_are_drawn_evenly_and_differ():
    ctx = context(Posterior(pool=1))
    counts = dict.fromkeys((f"copy:{d}" for d in range(10)), 0)
    for _ in range(300):
        one, two = ctx.draw(2)
        assert one.problem.key != two.problem.key
        counts[one.problem.key] += 1
        counts[two.problem.key] += 1
    assert all(40 <= c <= 80 for c in counts.values())


def test_all_chance_comes_from_the_run():
    random.seed(1)
    one = [g.problem.key for g in context(Posterior()).draw(5)]
    random.seed(2)
    assert one == [g.problem.key for g in context(Posterior()).draw(5)]


def test_a_pool_smaller_than_an_iteration_is_refused():
    with pytest.raises(
        SharpenError, match="takes 11 different problems, and the split 'train' of task 'copy' gives 10"
    ):
        context(Posterior()).draw(11)
