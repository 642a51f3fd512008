"""Credit of turns worked by hand, stores of episodes, turns taken anew, and who is trained on which atoms."""

import json
import math
import random
from dataclasses import replace

import pytest
import torch

from benches import COPY
from corridor import CORRIDOR, Corridor
from rows.agents import ARCHER
from sharpen.actor.scripted import ScriptedActor
from sharpen.core import Wiring
from sharpen.credit.peers import GroupNorm
from sharpen.credit.turns import TD, TurnAdvantage, TurnReturn
from sharpen.ctx import Ctx
from sharpen.errors import SharpenError
from sharpen.loop import Trainer
from sharpen.recipe import check, updates_of
from sharpen.recipes import recipe
from sharpen.reduction import count, numerator
from sharpen.reward.verify import Total, Verify
from sharpen.rollout.combinators import By, Decay
from sharpen.rollout.program import episode, run_programs
from sharpen.rollout.sample import Sample
from sharpen.rollout.store import Redraw, Replay, Store
from sharpen.run.plain import decode, encode
from sharpen.source.problems import Uniform
from sharpen.types import Group, Problem, Sampling, Scored, Segment, Trace
from sharpen.units import Table
from toy import weights_equal

PROBLEM = Problem("p", "start")


def given(text):
    return Segment(torch.tensor([ord(c) for c in text]), role="user", text=text)


def turn(text="ab", reward=0.0, state=None, by="policy@0"):
    atoms = torch.tensor([ord(c) for c in text])
    return Segment(atoms, True, role="assistant", text=text, reward=reward, state=state, by=by)


def walk(*turns, agent="policy", **facts):
    """A trace of (what was seen, the turn)."""
    segments = [s for seen, t in turns for s in (given(seen), t)]
    return Trace(PROBLEM, segments, agent=agent, **facts)


def context(script=lambda c, r: "l", task=None):
    return Ctx(recipe("sft"), task or Corridor(), {"policy": ScriptedActor(script)})


def column(groups, name):
    return [[s.cols[name].tolist() for s in t.actions] for g in groups for t in g.traces]


def flat(groups, name):
    return [round(s.cols[name][0].item(), 6) for g in groups for t in g.traces for s in t.actions]


# ---------------------------------------------------------------- returns


def test_a_turns_return_is_discounted_inside_its_trace():
    one = walk(("s", turn("abc")), ("t", turn("d")), ("u", turn("ef", reward=1.0)))
    two = walk(("s", turn("g", reward=2.0)), ("t", turn("h", reward=-1.0)))
    TurnReturn(0.5)([Group(PROBLEM, [one, two])], context())
    assert column([Group(PROBLEM, [one, two])], "return") == [[[0.25] * 3, [0.5], [1.0] * 2], [[1.5], [-1.0]]]


def test_a_return_may_be_of_a_column_and_then_needs_no_world():
    t = walk(("s", turn("ab", reward=9.0)), ("t", turn("c")))
    t.actions[0].put("x", torch.tensor([7.0, 1.0]))
    t.actions[1].put("x", -3.0)
    TurnReturn(1.0, "x", "x")([Group(PROBLEM, [t])], context())
    assert column([Group(PROBLEM, [t])], "x") == [[[-2.0] * 2, [-3.0]]]
    assert TurnReturn().needs == ("environment",)
    assert TurnReturn(of="x").needs == ()
    with pytest.raises(SharpenError, match="gamma"):
        TurnReturn(1.5)


# ---------------------------------------------------------------- GiGPO


def gigpo_group():
    """Two episodes: one goes from s to the goal by u; the other stays at s once, and is lost at v."""
    won = walk(("s", turn(state=1)), ("u", turn(reward=1.0, state=2)), rewards={"correct": 1.0}, reward=1.0)
    lost = walk(("s", turn(state=1)), ("s", turn(state=3)), ("v", turn(state=4)), rewards={"correct": 0.0}, reward=0.0)
    return [Group(PROBLEM, [won, lost])]


def credited(groups, **changes):
    for stage in recipe("gigpo").collect:
        if isinstance(stage, GroupNorm):
            stage = replace(stage, **changes)
        if isinstance(stage, (GroupNorm, TurnReturn)):
            stage(groups, context())
    return flat(groups, "adv")


def test_gigpo_adds_the_credit_of_the_episode_and_that_of_the_turn():
    # returns 0.95, 1 | 0, 0, 0; episodes 1, 0 about 0.5; at s the mean is 0.95 / 3; u and v are met once
    third = 0.95 / 3
    want = [0.5 + 0.95 - third, 0.5, -0.5 - third, -0.5 - third, -0.5]
    assert credited(gigpo_group()) == pytest.approx(want, abs=1e-6)


def test_gigpo_may_divide_by_the_spread():
    # sample standard deviations: sqrt(1/2) of the episodes, 0.95 / sqrt(3) of the turns at s
    half = 0.5 / math.sqrt(0.5)
    at_s = [x / (0.95 / math.sqrt(3)) for x in (0.95 * 2 / 3, -0.95 / 3, -0.95 / 3)]
    want = [half + at_s[0], half, -half + at_s[1], -half + at_s[2], -half]
    assert credited(gigpo_group(), scale="std") == pytest.approx(want, abs=1e-5)


def test_turns_at_one_observation_are_peers_inside_their_group_alone():
    groups = gigpo_group() + gigpo_group()
    assert Table(groups, "segment").ids("group", "observation").tolist() == [0, 1, 0, 0, 2, 3, 4, 3, 3, 5]
    assert Table(groups, "segment").ids("observation").tolist() == [0, 1, 0, 0, 2] * 2
    assert Table(groups, "segment").ids("group", "state").tolist() == [0, 1, 0, 2, 3, 4, 5, 4, 6, 7]
    assert Table(groups, "trace").ids("observation").tolist() == [0] * 4
    assert credited(groups) == credited(gigpo_group()) * 2


def test_every_turn_knows_its_state_also_one_that_was_cut_off():
    def script(text, rng):
        return "l"

    actor = ScriptedActor(script)
    draw = actor.sample

    def cut(requests):
        out = draw(requests)
        for s in out:
            s.info["end"] = "length"
        return out

    actor.sample = cut
    problem = Corridor().fixed("test", 1)[0]
    facts = {"task": Corridor(), "actors": {"policy": actor}, "actor": "policy", "rng": random.Random(0)}
    ((trace,),) = run_programs(episode, [problem], Sampling(), **facts)
    assert trace.end == "length"
    assert [s.state for s in trace.actions] == [(2, "<", 4)]


def test_gigpo_needs_a_world():
    with pytest.raises(SharpenError, match="TurnReturn needs 'environment' of the task, and task 'copy'"):
        check(recipe("gigpo"), COPY.task())
    check(recipe("gigpo"), Corridor())


# ---------------------------------------------------------------- critics of turns


def test_the_goal_of_an_action_is_its_reward_and_the_value_of_the_next_state():
    t = walk(("s", turn("abc")), ("t", turn("de", reward=0.5)), ("u", turn("f", reward=1.0)))
    for s, v in zip(t.actions, ([0.2, 9, 9], [0.5, 9], [0.8]), strict=True):
        s.put("v_target", torch.tensor(v))
    TD(0.9)([Group(PROBLEM, [t])], context())
    assert flat([Group(PROBLEM, [t])], "q_goal") == pytest.approx([0.9 * 0.5, 0.5 + 0.9 * 0.8, 1.0])
    assert [len(set(s.cols["q_goal"].tolist())) for s in t.actions] == [1, 1, 1]
    assert TD().needs == ("environment",)
    with pytest.raises(SharpenError, match="gamma"):
        TD(-0.1)


def test_a_turns_advantage_is_q_of_its_end_less_v_of_its_start():
    t = walk(("s", turn("abc")), ("t", turn("d")))
    t.actions[0].put("q", torch.tensor([5.0, 6.0, 0.75]))
    t.actions[0].put("v", torch.tensor([0.5, 7.0, 8.0]))
    t.actions[1].put("q", -1.0)
    t.actions[1].put("v", 1.0)
    ctx = context()
    TurnAdvantage()([Group(PROBLEM, [t])], ctx)
    TurnAdvantage("q", "", "goal")([Group(PROBLEM, [t])], ctx)
    assert column([Group(PROBLEM, [t])], "adv") == [[[0.25] * 3, [-2.0]]]
    assert column([Group(PROBLEM, [t])], "goal") == [[[0.75] * 3, [-1.0]]]
    logged = ctx.metrics.take()
    assert (logged["adv/size"], logged["goal/size"]) == (1.125, 0.875)
    assert TurnAdvantage(v="").reads == ("traces", "q")


# ---------------------------------------------------------------- stores


def stored(n=3, **facts):
    t = walk(("s", turn(state=object(), reward=1.0)), ("t", turn("c")), reward=1.0, solved=True, rewards={"correct": 1})
    t.actions[0].put("adv", 1.0)
    t.actions[0].put("logp_old", -0.5)
    return [Group(PROBLEM, [replace(t, info={"k": k}) for k in range(n)])]


def test_a_store_keeps_the_newest_bare():
    ctx, groups = context(), stored()
    assert Store("x", 4)(groups, ctx) is groups
    Store("x", 4, keep=("logp_old",))(stored(2), ctx)
    kept = ctx.stores["x"]
    assert len(kept) == 4
    assert [list(t.actions[0].cols) for t in kept] == [[], [], ["logp_old"], ["logp_old"]]
    for t in kept:
        assert [s.text for s in t.segments] == ["s", "ab", "t", "c"]
        assert [s.reward for s in t.actions] == [1.0, 0.0]
        assert (t.reward, t.solved, t.rewards, t.info) == (None, None, {}, {})
        assert {s.state for s in t.segments} == {None}
    assert groups[0].traces[0].actions[0].cols["adv"].tolist() == [1.0, 1.0]
    assert ctx.metrics.take()["store/x"] == 3.5


def test_a_store_survives_a_checkpoint_even_with_states_that_are_not_plain():
    ctx = context()
    Store("x", keep=("logp_old",))(stored(), ctx)
    tree, tensors = encode(dict(ctx.stores))
    back = decode(json.loads(json.dumps(tree)), tensors)["x"]
    for t, u in zip(ctx.stores["x"], back, strict=True):
        assert (u.problem, u.agent, u.end) == (t.problem, t.agent, t.end)
        for s, r in zip(t.segments, u.segments, strict=True):
            assert torch.equal(s.atoms, r.atoms)
            assert (r.text, r.reward, r.trainable, r.by) == (s.text, s.reward, s.trainable, s.by)
            assert {k: v.tolist() for k, v in r.cols.items()} == {k: v.tolist() for k, v in s.cols.items()}


def test_a_replay_draws_uniformly_and_hands_out_copies():
    ctx = context()
    assert Replay("x", 5)([], ctx) == []
    Store("x")(stored(4), ctx)
    for i, t in enumerate(ctx.stores["x"]):
        t.segments[0].info["i"] = i
        t.segments[0].role = str(i)
    before = gigpo_group()
    after = Replay("x", 400)(before, ctx)
    assert after[0] is before[0]
    new = [t for g in after[1:] for t in g.traces]
    assert len(new) == 400
    assert {(t.agent, t.solved, t.reward) for t in new} == {("replay", None, None)}
    counts = [sum(t.segments[0].role == str(i) for t in new) for i in range(4)]
    assert min(counts) > 70
    new[0].actions[0].put("q_goal", 1.0)
    assert [t for t in ctx.stores["x"] if any(s.cols for s in t.segments)] == []
    assert not any(s.cols for t in new[1:] for s in t.segments)


def test_a_turn_taken_anew_has_what_stood_before_it_as_context():
    seen = []

    def script(text, rng):
        seen.append(text)
        return rng.choice("xy")

    ctx = context(script)
    ctx.step = 7
    first = walk(("s", turn("ab", reward=1.0)), ("t", turn("c", reward=1.0)), agent="replay")
    after = Redraw(60)([Group(PROBLEM, [first])], ctx)
    new = [t for g in after[1:] for t in g.traces]
    assert len(new) == len(after) - 1 == 60
    assert sorted(set(seen)) == ["s", "sabt"]
    assert 15 < seen.count("s") < 45
    for t in new:
        (action,) = t.actions
        assert t.agent == "redraw"
        assert (action is t.segments[-1], action.by, action.reward) == (True, "policy@7", 0.0)
        assert "".join(s.text for s in t.segments[:-1]) in ("s", "sabt")
        assert t.problem is PROBLEM
        assert t.solved is None
    assert {t.actions[0].text for t in new} == {"x", "y"}
    assert first.actions[0].trainable  # the old episode is as it was
    assert ctx.cost.generated_tokens == 60
    assert Redraw(5)([], ctx) == []


# ---------------------------------------------------------------- stages by agent


def test_stages_of_one_agent_leave_the_others_alone():
    mine, other, mixed = (Group(PROBLEM, [walk(("s", turn()), agent=a)]) for a in ("a", "b", "a"))
    mixed.traces.append(walk(("s", turn()), agent="b"))
    empty = Group(PROBLEM)
    ctx = context()
    groups = By("a", (TurnReturn(), Redraw(2)))([other, mine, mixed, empty], ctx)
    assert groups[:4] == [other, mine, mixed, empty]
    assert [g.traces[0].agent for g in groups[4:]] == ["redraw", "redraw"]
    assert ["return" in s.cols for g in (other, mine, mixed) for t in g.traces for s in t.actions] == [
        False,
        True,
        False,
        False,
    ]
    assert By("c", (Redraw(2),))([other], ctx) == [other]


def test_agents_do_not_bind_each_others_columns():
    stages = (Sample(2), Verify(), Total(), By("policy", (GroupNorm(), TurnReturn(1.0, "adv", "x"))))
    wiring = Wiring("two")
    for stage in (*stages, By("judge", (GroupNorm(),))):
        stage.wire(wiring)
    assert wiring.holds("x")
    assert wiring.used["adv"] == "TurnReturn"
    with pytest.raises(SharpenError, match="GroupNorm writes 'adv' after TurnReturn has used it"):
        GroupNorm().wire(wiring)
    with pytest.raises(SharpenError, match="GroupNorm reads 'reward'"):
        By("policy", (GroupNorm(),)).wire(_with_traces())


def _with_traces():
    wiring = Wiring("bare")
    Sample(2).wire(wiring)
    return wiring


def test_a_schedule_may_decay():
    assert [Decay(0.5, 2.0)(p) for p in (0.0, 0.5, 1.0)] == pytest.approx([0.5, 0.5 / math.e, 0.5 / math.e**2])


# ---------------------------------------------------------------- ArCHer as a whole


def one_step(method, seed=0):
    trainer = CORRIDOR.trainer(method, seed)
    return trainer, trainer.step()


def test_archer_trains_each_model_on_its_own_traces():
    trainer, done = one_step(ARCHER)
    by = {a: [t for g in done.groups for t in g.traces if t.agent == a] for a in ("policy", "replay", "redraw")}
    assert [len(x) for x in by.values()] == [16, 32, 64]
    assert [len(u.rows(done.groups, trainer.ctx)[0]) for u in updates_of(trainer.recipe)] == [32, 64, 64]
    assert len(trainer.ctx.stores["episodes"]) == 16
    kept = {tuple(s.text for s in t.segments) for t in trainer.ctx.stores["episodes"]}
    assert {tuple(s.text for s in t.segments) for t in by["replay"]} <= kept
    # critics begin at 0, so the first goals are the rewards, and 0
    assert [s.cols["q_goal"][0].item() for t in by["replay"] for s in t.actions] == [
        s.reward for t in by["replay"] for s in t.actions
    ]
    assert {s.cols["v_goal"][0].item() for t in by["redraw"] for s in t.actions} == {0.0}
    solved = [t for t in by["policy"] if t.solved]
    assert done.metrics["solved"] == len(solved) / 16  # replayed episodes do not count


def test_archer_advantages_are_of_the_critics_after_their_update():
    trainer, done = one_step(ARCHER)
    redrawn = [t for g in done.groups for t in g.traces if t.agent == "redraw"]
    q, v = trainer.ctx.actors["q"], trainer.ctx.actors["v"]
    with torch.no_grad():
        batch = q.collate(redrawn, torch.arange(len(redrawn)), ("adv",))
        q_all, v_all = (a.score(batch, (n,)).extra[n] for a, n in ((q, "score"), (v, "value")))
    at = 0
    for t in redrawn:
        n = t.length
        want = q_all[at + n - 1] - v_all[at]
        assert batch.cols["adv"][at : at + n].tolist() == pytest.approx([want.item()] * n, abs=1e-6)
        at += n
    assert at == len(batch)


def test_archer_critics_are_fitted_at_the_ends_of_turns_alone():
    trainer, done = one_step(ARCHER)
    q_update, v_update, _ = updates_of(trainer.recipe)
    for update, want, last in ((q_update, "score", True), (v_update, "value", False)):
        rows, _ = update.rows(done.groups, trainer.ctx)
        (term,) = update.terms
        batch = trainer.ctx.actors["q"].collate(rows, torch.zeros(len(rows), dtype=torch.long), term.columns)
        x = torch.full((len(batch),), 0.3, requires_grad=True)
        (grad,) = torch.autograd.grad(numerator(term, Scored(torch.zeros(len(batch)), {want: x}), batch), x)
        ends = torch.zeros(len(batch), dtype=torch.bool)
        at = 0
        for s in (s for t in rows for s in t.actions):
            ends[at + len(s) - 1 if last else at] = True
            at += len(s)
        goal = batch.cols[term.loss.target]
        assert torch.allclose(grad, torch.where(ends, 0.3 - goal, torch.zeros(())))
        assert count(term, batch) == int(ends.sum()) == sum(len(t.actions) for t in rows)


def test_archer_targets_follow_slowly_and_the_policy_waits():
    one = replace(
        ARCHER,
        updates=tuple(replace(u, epochs=1, minibatch=0) if u in updates_of(ARCHER) else u for u in ARCHER.updates),
    )
    trainer = CORRIDOR.trainer(one, 0)
    base = {n: w.clone() for n, w in trainer.policy.weights().items()}
    before = {n: w.clone() for n, w in trainer.ctx.actors["q_target"].weights().items()}
    trainer.step()
    after, q = trainer.ctx.actors["q_target"].weights(), trainer.ctx.actors["q"].weights()
    assert not weights_equal(before, dict(q))
    for name, w in after.items():
        assert torch.allclose(w, 0.9 * before[name] + 0.1 * q[name], atol=1e-7)
    assert weights_equal(base, trainer.policy.weights())
    while trainer.ctx.step < 8:
        assert weights_equal(base, trainer.policy.weights())
        trainer.step()
    trainer.step()
    assert not weights_equal(base, trainer.policy.weights())


def test_a_turn_is_one_action_of_the_policy_gradient():
    trainer, done = one_step(ARCHER)
    update = updates_of(trainer.recipe)[2]
    rows, _ = update.rows(done.groups, trainer.ctx)
    (term,) = update.terms
    batch = trainer.policy.collate(rows, torch.zeros(len(rows), dtype=torch.long), term.columns)
    logp = torch.linspace(-2, -1, len(batch))
    want = -sum(
        batch.cols["adv"][batch.trace == i][0].item() * logp[batch.trace == i].sum().item() for i in range(len(rows))
    )
    assert float(numerator(term, Scored(logp), batch)) == pytest.approx(want, rel=1e-4)
    assert count(term, batch) == len(rows)


def test_archer_refuses_a_task_without_turns():
    with pytest.raises(SharpenError, match="TD needs 'environment'"):
        Trainer(replace(recipe("archer"), source=Uniform()), COPY.task(), COPY.actor())
