"""Sources, rewards, credit, rows and combinators, on groups written out by hand."""

import math
import random
from dataclasses import dataclass, replace

import pytest
import torch

from sharpen.actor.scripted import ScriptedActor
from sharpen.core import Part
from sharpen.credit.peers import GroupNorm
from sharpen.credit.verdict import BetaNorm, Signed, fitted
from sharpen.ctx import Ctx, Metrics
from sharpen.errors import SharpenError
from sharpen.evaluate import evaluate
from sharpen.recipe import Loop
from sharpen.recipes import recipe
from sharpen.reward.length import Overlong, overlong
from sharpen.reward.verify import Reward, Total, Verify, gated, mean
from sharpen.rollout.combinators import Keep, Linear, Refill, Vary, When, all_failed, mixed
from sharpen.rollout.edit import Demonstrate, Split
from sharpen.rollout.sample import Sample
from sharpen.rows import Pairs, Traces, solved
from sharpen.source.problems import Pass, Uniform
from sharpen.types import Group, Problem, Segment, Sets, Trace
from sharpen.units import Table
from toy import Copy, nano_actor


def context(script=lambda c, r: "7", source=None, collect=()):
    r = replace(recipe("sft"), source=source or Uniform(), collect=(*collect, *recipe("sft").collect))
    return Ctx(r, Copy(), {"policy": ScriptedActor(script)})


def said(text, problem="7", **facts):
    p = Problem(f"copy:{problem}", f"{problem}?", problem, (problem,), {"digit": int(problem)})
    s = Segment(torch.tensor([ord(c) for c in text]), True, role="assistant", text=text, by="policy@0")
    return Trace(p, [Segment(torch.tensor([1, 2])), s], **facts)


def group(*texts, problem="7"):
    traces = [said(t, problem) for t in texts]
    return Group(traces[0].problem, traces)


# ---------------------------------------------------------------- sources


def test_uniform_draws_are_the_runs_own():
    one, two = context(), context()
    assert [g.problem.key for g in one.draw(20)] == [g.problem.key for g in two.draw(20)]
    assert one.cost.problems == 20


def test_pass_goes_through_everything_once_before_it_repeats():
    ctx = context(source=Pass(size=10))
    epoch = [g.problem.key for g in ctx.draw(10)]
    assert sorted(epoch) == [f"copy:{d}" for d in range(10)]
    first = [g.problem.key for g in ctx.draw(4)]
    state = list(ctx.states["Pass"]["left"])
    rest = [g.problem.key for g in ctx.draw(6)]
    assert sorted(first + rest) == sorted(epoch)
    assert len(state) == 6


# ---------------------------------------------------------------- rewards


def test_verify_judges_each_trace_once():
    ctx = context()
    g = group("7", "8", "77")
    Verify()([g], ctx)
    assert [t.rewards for t in g.traces] == [
        {"correct": 1.0, "short": 1.0},
        {"correct": 0.0, "short": 1.0},
        {"correct": 0.0, "short": 0.0},
    ]
    assert [t.solved for t in g.traces] == [True, False, False]
    g.traces.append(said("7"))
    Verify()([g], ctx)
    assert ctx.cost.verifier_calls == 4
    assert ctx.metrics.take()["reward/correct"] == pytest.approx(0.5)


def test_total_weighs_named_rewards_and_records_the_rest():
    ctx, g = context(), group("7", "8", "77")
    Verify()([g], ctx)
    Total()([g], ctx)
    assert [t.reward for t in g.traces] == [1, 0, 0]
    Total({"correct": 1.0, "short": 0.5})([g], ctx)
    assert [t.reward for t in g.traces] == [1.5, 0.5, 0]
    Total({"correct": 1.0, "short": 0.5}, how=gated)([g], ctx)
    assert [t.reward for t in g.traces] == [1.5, 0, 0]
    Total({"correct": 1.0, "short": 3.0}, how=mean)([g], ctx)
    assert [t.reward for t in g.traces] == [1.0, 0.75, 0]
    Total({"correct": 2.0, "short": 0.0})([g], ctx)
    assert [t.reward for t in g.traces] == [2, 0, 0]


def test_a_reward_of_ones_own_and_one_that_is_no_number():
    ctx, g = context(), group("7", "777")
    Reward(lambda t: t.length, "long")([g], ctx)
    assert [t.rewards["long"] for t in g.traces] == [1.0, 3.0]
    with pytest.raises(SharpenError, match=r"Reward 'odd' of problem 'copy:7' is nan.*the text was '7'"):
        Reward(lambda t: float("nan"), "odd")([g], ctx)
    with pytest.raises(SharpenError, match="is 'good', not a finite number"):
        Reward(lambda t: "good", "odd")([g], ctx)


# ---------------------------------------------------------------- credit and units


def rewarded(*rewards, **kw):
    g = group(*["ab"] * len(rewards), **kw)
    for t, r in zip(g.traces, rewards, strict=True):
        t.reward = r
    return g


def credit(groups):
    return [round(float(s.cols["adv"][0]), 4) for g in groups for t in g.traces for s in t.actions]


def test_group_norm_of_two_groups_by_hand():
    groups = [rewarded(1.0, 0, 0, 0), rewarded(1.0, 1.0)]
    ctx = context()
    GroupNorm()(groups, ctx)
    assert credit(groups) == [1.5, -0.5, -0.5, -0.5, 0, 0]
    assert ctx.metrics.take()["groups/signal"] == 0.5
    GroupNorm(center="loo", scale="none")(groups, context())
    assert credit(groups) == [1.0, -0.3333, -0.3333, -0.3333, 0, 0]
    GroupNorm(scale="none", weight=2.0)(groups, context())
    assert credit(groups) == [1.5, -0.5, -0.5, -0.5, 0, 0]


def test_the_same_problem_drawn_twice_is_two_groups_unless_asked_otherwise():
    groups = [rewarded(1.0, 0.0), rewarded(0.0, 0.0)]
    GroupNorm(scale="none")(groups, context())
    assert credit(groups) == [0.5, -0.5, 0, 0]
    GroupNorm(scale="none", peers=("problem",))(groups, context())
    assert credit(groups) == [0.75, -0.25, -0.25, -0.25]


def test_turns_in_the_same_state_are_peers():
    g = rewarded(1.0, 0.0)
    for t, states in zip(g.traces, (("a", "b"), ("a", "c")), strict=True):
        second = replace(t.actions[0], state=states[1], reward=float(t.reward), cols={})
        t.actions[0].state, t.actions[0].reward = states[0], 2 * float(t.reward)
        t.segments.append(second)
    GroupNorm(scale="none")([g], context())
    GroupNorm(unit="segment", peers=("problem", "state"), scale="none", mode="add")([g], context())
    # both begin in state a: +-1 for its two turns; states b and c have no peers and add nothing
    assert credit([g]) == [1.5, 0.5, -1.5, -0.5]


def test_table_ids_keys_and_refusals():
    groups = [rewarded(1.0, 2.0), rewarded(3.0, problem="8")]
    table = Table(groups, "trace")
    assert table.ids("group").tolist() == [0, 0, 1]
    assert table.ids("digit").tolist() == [0, 0, 1]
    assert table.ids("batch").tolist() == [0, 0, 0]
    assert table.get("reward").tolist() == [1, 2, 3]
    table.spread("x", torch.tensor([1.0, 2.0, 3.0]))
    table.spread("x", torch.tensor([1.0, 1.0, 2.0]), "mul")
    table.spread("x", torch.tensor([0.5, 0.5, 0.5]), "add")
    assert [t.actions[0].cols["x"].tolist() for g in groups for t in g.traces] == [[1.5] * 2, [2.5] * 2, [6.5] * 2]
    with pytest.raises(SharpenError, match="Peers by 'colour'"):
        table.ids("colour")
    with pytest.raises(SharpenError, match="has no 'beauty'"):
        table.get("beauty")
    groups[0].traces[0].reward = None
    with pytest.raises(SharpenError, match="put Total before"):
        table.get("reward")


def test_columns_must_fit_their_segment():
    s = said("abc").actions[0]
    s.put("x", torch.tensor([1, 2, 3]))
    assert s.cols["x"].dtype == torch.float32
    with pytest.raises(ValueError, match="2 entries for 3 atoms"):
        s.put("x", torch.tensor([1.0, 2.0]))


# ---------------------------------------------------------------- rows


def test_rows_of_solved_traces_differ_and_are_capped():
    g = group("7", "7", "8", "7")
    for t in g.traces:
        t.solved = t.text == "7"
    g.traces[3].end = "length"
    assert Traces()([g], context())[0] == g.traces
    assert Traces(solved)([g], context())[0] == g.traces[:2]
    assert Traces(solved, most=5)([g], context())[0] == [g.traces[0]]


def test_pairs_are_best_and_worst_and_ties_give_none():
    a, b = rewarded(0.0, 2.0, 1.0), rewarded(1.0, 1.0)
    rows, sets = Pairs()([a, b, rewarded(5.0)], context())
    assert rows == [a.traces[1], a.traces[0]]
    assert sets.members == [(0, 1)]
    c = rewarded(3.0, 0.0)
    rows, sets = Pairs()([a, c], context())
    sets.cols["margin"] = torch.tensor([2.0, 3.0])
    index, some = sets.take([1])
    assert [rows[i] for i in index] == [c.traces[0], c.traces[1]]
    assert (some.members, some.cols["margin"].tolist()) == ([(0, 1)], [3.0])
    assert Sets([(0, 1), (1, 2)]).take([0, 1])[0] == [0, 1, 2]


# ---------------------------------------------------------------- combinators


def judged(*rows):
    out = []
    for verdicts in rows:
        g = group(*["7" if v else "8" for v in verdicts])
        for t, v in zip(g.traces, verdicts, strict=True):
            t.solved = bool(v)
        out.append(g)
    return out


@dataclass(frozen=True)
class Add(Part):
    """One more trace for each group, one more group at the end."""

    def __call__(self, groups, ctx):
        for g in groups:
            g.traces.append(said("7"))
        return [*groups, group("9")]


def test_when_touches_only_the_groups_that_fit():
    groups = judged([0, 0], [1, 0], [0, 0])
    ctx = context()
    out = When(all_failed, (Add(),))(groups, ctx)
    assert [len(g.traces) for g in out] == [3, 2, 3, 1]
    assert out[:3] == groups
    assert ctx.metrics.take()["when/all_failed"] == pytest.approx(2 / 3)
    assert When(all_failed, (Add(),))(judged([1, 1]), context())[0].traces[0].solved


def test_refill_asks_until_enough_are_mixed_and_shows_the_source_the_rest():
    seen, drawn = [], []

    @dataclass(frozen=True)
    class Spy(Uniform):
        def draw(self, n, ctx):
            drawn.append(n)
            return super().draw(n, ctx)

        def observe(self, groups, ctx):
            seen.extend(groups)

    answers = iter("7878777777777878")  # of four samples of digit 7: mixed, tied, tied, mixed
    ctx = context(lambda c, r: next(answers), source=Spy())
    ctx.task.draw = lambda split, rng: Problem("copy:7", "7?", "7", ("7",))
    groups = ctx.draw(2)
    out = Refill((Sample(4), Verify()), keep=mixed, rounds=5)(groups, ctx)
    assert [[t.text for t in g.traces] for g in out] == [list("7878"), list("7878")]
    assert drawn == [2, 1, 1]
    assert [[t.text for t in g.traces] for g in seen] == [list("7777"), list("7777")]
    assert ctx.metrics.take()["refill/rounds"] == 3


def test_refill_gives_up_after_its_rounds():
    ctx = context(lambda c, r: "x")
    out = Refill((Sample(2), Verify()), rounds=2)(ctx.draw(3), ctx)
    assert out == []
    assert ctx.cost.traces == 12


def test_keep_drops_and_tells():
    groups = judged([0, 0], [1, 0])
    assert Keep(mixed)(groups, context()) == [groups[1]]


def test_vary_follows_a_schedule_and_a_knob():
    temperatures = []
    actor = ScriptedActor(lambda c, r: "7")
    inner = actor.sample
    actor.sample = lambda requests: (temperatures.append(requests[0].sampling.temperature), inner(requests))[1]
    ctx = context()
    ctx.actors["policy"] = actor
    ctx.recipe = replace(ctx.recipe, loop=Loop(iterations=4))
    for ctx.step in (0, 2, 4):
        Vary(Sample(1), "temperature", Linear(1.0, 0.5))(ctx.draw(1), ctx)
    ctx.knobs["heat"] = 1.7
    Vary(Sample(1), "temperature", "heat")(ctx.draw(1), ctx)
    Vary(Sample(1), "temperature", "other")(ctx.draw(1), ctx)
    assert temperatures == [1.0, 0.75, 0.5, 1.7, 1.0]


def test_split_keeps_atoms_log_probs_and_columns_together():
    ctx = context()
    t = said("3+4=7\n7*7=9\n#9")
    s = t.actions[0]
    s.logp = -torch.arange(float(len(s)))
    s.put("adv", torch.arange(len(s)))
    Split()([Group(t.problem, [t])], ctx)
    assert [x.text for x in t.actions] == ["3+4=7\n", "7*7=9\n", "#9"]
    torch.testing.assert_close(torch.cat([x.logp for x in t.actions]), s.logp)
    assert torch.cat([x.cols["adv"] for x in t.actions]).tolist() == list(range(14))
    assert t.text == "3+4=7\n7*7=9\n#9"
    assert t.segments[0].atoms.tolist() == [1, 2]


def test_demonstrate_needs_a_solution_in_every_problem():
    ctx = context()
    groups = ctx.draw(2)
    Demonstrate()(groups, ctx)
    assert [g.traces[0].text for g in groups] == [g.problem.answer for g in groups]
    assert groups[0].traces[0].agent == "data"
    with pytest.raises(SharpenError, match="Problem 'x' has no worked solution"):
        Demonstrate()([Group(Problem("x", "?"))], ctx)


def test_sample_refuses_what_describes_no_distribution():
    with pytest.raises(SharpenError, match="Sample: n is 0"):
        Sample(0)
    with pytest.raises(SharpenError, match=r"Sample: top_p is 0.0, and must be above 0 and at most 1"):
        Sample(2, top_p=0.0)


def test_metrics_are_weighted_means():
    m = Metrics()
    m.add("x", 1.0)
    m.add("x", 4.0, 2.0)
    m.add("never", 1.0, 0.0)
    assert m.take() == {"x": 3.0}
    assert m.take() == {}


# ---------------------------------------------------------------- evaluation


def test_evaluation_of_a_policy_whose_chances_are_known():
    """Right on even digits; on odd ones right one time in four, otherwise saying 0."""

    def script(text, rng):
        d = int(text[0])
        return str(d) if d % 2 == 0 or rng.random() < 0.25 else "0"

    result, traces = evaluate(ScriptedActor(script), Copy(), "test", problems=10, samples=64, ks=(1, 4, 64))
    assert (result.problems, result.samples) == (10, 64)
    assert result.accuracy.mean == pytest.approx(0.625, abs=0.04)
    assert result.pass_at[4].mean == pytest.approx(0.5 + 0.5 * (1 - 0.75**4), abs=0.06)
    assert result.pass_at[64].mean == 1.0
    assert result.maj_at[64].mean == 0.5  # on odd digits the vote is for 0
    assert result.accuracy.low < result.accuracy.mean < result.accuracy.high
    assert len(traces) == 10
    assert len(traces[0]) == 65
    again, _ = evaluate(ScriptedActor(script), Copy(), "test", problems=10, samples=64, ks=(1, 4, 64))
    assert again == result


def test_random_numbers_of_an_evaluation_do_not_touch_the_runs():
    random.seed(3)
    before = random.random()
    random.seed(3)
    evaluate(ScriptedActor(lambda c, r: "7"), Copy(), "test", problems=3, samples=2, ks=(1,))
    assert random.random() == before


# ---------------------------------------------------------------- credit from verdicts, length


def test_signed_credit_is_constant():
    (g,) = judged([1, 0, 0])
    Signed(0.1, -1.0)([g], context())
    assert credit([g]) == [0.1, -1.0, -1.0]


def test_beta_norm_by_an_independent_calculation():
    """Solve rates 1/4, 1/2, 3/4: m = 1/2, v = 1/16, a = b = 3/2, so alpha = beta = 3/2, known in closed form."""
    groups = [rewarded(1.0, 0, 0, 0), rewarded(1.0, 1.0, 0, 0), rewarded(1.0, 1.0, 1.0, 0)]
    ctx = context()
    BetaNorm()(groups, ctx)

    def density(p):  # Beta(3/2, 3/2): 8 / pi sqrt(p (1 - p))
        return 8 / math.pi * math.sqrt(p * (1 - p))

    want = [(r - p) / density(p) for g, p in zip(groups, (0.25, 0.5, 0.75), strict=True) for r in rewards_of(g)]
    assert credit(groups) == pytest.approx(want, abs=1e-4)
    assert ctx.metrics.take()["beta_norm/alpha"] == pytest.approx(1.5)


def rewards_of(g):
    return [t.reward for t in g.traces]


def test_beta_norm_of_solve_rates_that_do_not_vary_is_a_plain_baseline():
    groups = [rewarded(1.0, 0.0), rewarded(1.0, 0.0)]
    BetaNorm()(groups, context())
    assert credit(groups) == [0.5, -0.5, 0.5, -0.5]
    assert fitted(torch.tensor([0.3], dtype=torch.float64)) == (1.0, 1.0)


def test_beta_norm_gives_nothing_to_tied_groups():
    groups = [rewarded(1.0, 1.0), rewarded(0.0, 0.0), rewarded(1.0, 0.0)]
    BetaNorm()(groups, context())
    assert credit(groups)[:4] == [0, 0, 0, 0]


def test_overlong_falls_in_a_line_over_the_last_fifth():
    assert [overlong(n, 100, 0.2) for n in (0, 80, 85, 90, 100, 130)] == [0, 0, -0.25, -0.5, -1, -1]
    assert overlong(10, 100, 0.2, cut=True) == -1


def test_overlong_uses_the_limit_of_the_run():
    ctx = context()
    ctx.actors["policy"] = nano_actor(max_tokens=10)
    g = group("abcdefg", "abcdefghi")
    Overlong(0.5)([g], ctx)
    assert [t.rewards["overlong"] for t in g.traces] == pytest.approx([-0.4, -0.8])


def test_main_in_weights_is_the_tasks_main_reward():
    ctx, g = context(), group("7", "8")
    Verify()([g], ctx)
    Total({"main": 2.0, "short": 0.5})([g], ctx)
    assert rewards_of(g) == [2.5, 0.5]
