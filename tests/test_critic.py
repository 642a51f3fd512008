"""Credit and losses with a value model, and balance: values and gradients worked by hand."""

import math
from dataclasses import replace

import pytest
import torch

from benches import COPY
from sharpen.actor.value import ValueActor
from sharpen.credit.flow import Flow
from sharpen.credit.value import GAE, Whiten
from sharpen.errors import SharpenError
from sharpen.loss.balance import TrajectoryBalance
from sharpen.loss.policy import NLL
from sharpen.loss.value import ValueFit
from sharpen.recipe import Frozen, Term, Twin, Update, Value
from sharpen.recipes import recipe
from sharpen.reduction import count, numerator
from sharpen.reward.model import Judge
from sharpen.reward.verify import Answered
from sharpen.rows import Steps
from sharpen.types import Batch, Group, Problem, Scored, Segment, Trace
from toy import Copy, nano_actor


class Quiet:
    logged: dict[str, float]

    def __init__(self):
        self.logged = {}

    def log(self, name, value, weight=1.0):
        self.logged[name] = value


def trace(reward, *segments):
    """A trace whose trained segments have these columns."""
    parts = []
    for cols in segments:
        n = len(next(iter(cols.values())))
        s = Segment(torch.arange(n), trainable=True)
        for name, values in cols.items():
            s.put(name, torch.tensor(values))
        parts += [Segment(torch.arange(2)), s]
    return Trace(Problem("p", "?"), parts, reward=reward)


def test_gae_by_hand_across_two_turns_with_a_penalty():
    """gamma 1, lambda 1/2, kl 1/10: r = -kl gap, the reward on the last atom; delta_t = r_t + v_{t+1} - v_t."""
    t = trace(
        1.0,
        {"value": [0.5, 0.25], "logp_old": [-1.0, -1.0], "logp_ref": [-2.0, -1.0]},
        {"value": [0.75], "logp_old": [-1.0], "logp_ref": [-0.5]},
    )
    ctx = Quiet()
    GAE(lam=0.5, kl=0.1)([Group(t.problem, [t])], ctx)
    # r = [-0.1, 0, 1 + 0.05]; delta = [-0.1 + .25 - .5, .75 - .25, 1.05 - .75] = [-.35, .5, .3]
    adv = [-0.35 + 0.5 * (0.5 + 0.5 * 0.3), 0.5 + 0.5 * 0.3, 0.3]
    first, second = t.actions
    assert [*first.cols["adv"].tolist(), *second.cols["adv"].tolist()] == pytest.approx(adv)
    assert first.cols["ret"].tolist() == pytest.approx([adv[0] + 0.5, adv[1] + 0.25])
    assert second.cols["ret"].tolist() == pytest.approx([1.05])
    assert ctx.logged["kl/penalty"] == pytest.approx((1.0 + 0.0 - 0.5) / 3)


def test_gae_adds_what_steps_earn():
    t = trace(1.0, {"value": [0.0, 0.0], "step": [0.5, 0.0]})
    GAE(gamma=0.5, lam=1.0, step="step")([Group(t.problem, [t])], Quiet())
    assert t.actions[0].cols["adv"].tolist() == pytest.approx([1.0, 1.0])  # .5 + .5 x 1, and 1


def test_whiten_is_over_all_atoms():
    a, b = trace(0.0, {"adv": [1.0, 2.0]}), trace(0.0, {"adv": [3.0]})
    Whiten()([Group(a.problem, [a]), Group(b.problem, [b])], Quiet())
    assert a.actions[0].cols["adv"].tolist() == pytest.approx([-1.0, 0.0], abs=1e-5)
    assert b.actions[0].cols["adv"].tolist() == pytest.approx([1.0], abs=1e-5)


def batch(trace_ids, segment_ids=None, group=None, **cols):
    ids = torch.tensor(trace_ids)
    n = int(ids.max()) + 1
    columns = {k: torch.tensor(v) for k, v in cols.items()}
    segment = torch.tensor(segment_ids) if segment_ids else ids
    return Batch([None] * n, columns, segment, ids, torch.tensor(group or [0] * n), {})


def test_value_clipping_takes_the_gradient_once_the_value_moved_far_enough():
    """old 0, target 1, clip .2. At .1 the plain loss counts; at .5 the clipped value .2 is worse, and constant; at -.5
    the plain loss is the larger."""
    v = torch.tensor([0.1, 0.5, -0.5], requires_grad=True)
    b = batch([0, 0, 0], target=[1.0] * 3, value=[0.0] * 3)
    loss = ValueFit(clip=0.2)(Scored(torch.zeros(3), {"value": v}), b)
    assert loss.tolist() == pytest.approx([0.81 / 2, 0.64 / 2, 2.25 / 2])
    loss.sum().backward()
    assert v.grad.tolist() == pytest.approx([-0.9, 0.0, -1.5])


@pytest.mark.parametrize(
    ("kind", "value", "slope"),
    [
        ("mse", 0.125, 0.5),
        ("bce", math.log(1 + math.e) - 0.5, 1 / (1 + math.exp(-1)) - 0.5),
        ("tanh", (math.tanh(1) - 0.5) ** 2 / 2, (math.tanh(1) - 0.5) * (1 - math.tanh(1) ** 2)),
    ],
)
def test_value_fits_by_hand(kind, value, slope):
    """v = 1, y = 1/2."""
    v = torch.tensor([1.0], requires_grad=True)
    loss = ValueFit(want="score", kind=kind)(Scored(torch.zeros(1), {"score": v}), batch([0], target=[0.5]))
    assert float(loss.detach()) == pytest.approx(value)
    loss.sum().backward()
    assert float(v.grad) == pytest.approx(slope)


def test_places_need_no_column():
    """Two traces, the first of two segments: a term at the last atom of each segment sees atoms 1, 2 and 4."""
    b = batch([0, 0, 0, 1, 1], [0, 0, 1, 2, 2])
    new = Scored(torch.tensor([-1.0, -2.0, -4.0, -8.0, -16.0], requires_grad=True))
    seen = {
        where: float(numerator(Term(NLL(), mean_over="sum", where=where), new, b).detach())
        for where in ("last:segment", "first:segment", "last:trace", "first:trace")
    }
    assert seen == {"last:segment": 22.0, "first:segment": 13.0, "last:trace": 20.0, "first:trace": 9.0}
    assert count(Term(NLL(), mean_over="atom", where="last:segment"), b) == 3
    assert count(Term(NLL(), mean_over="trace", where="last:segment"), b) == 2


def test_trajectory_balance_by_hand():
    """log Z 1 and 2, log pi -3 and -1, log R -1 and 1: gaps -1 and 0. Each atom's slope is twice its trace's gap."""
    logp = torch.tensor([-1.0, -2.0, -1.0], requires_grad=True)
    b = batch([0, 0, 1], logr=[-1.0, -1.0, 1.0], logz=[1.0, 1.0, 2.0])
    loss = TrajectoryBalance()(Scored(logp), b)
    assert loss.tolist() == pytest.approx([1.0, 0.0])
    loss.sum().backward()
    assert logp.grad.tolist() == pytest.approx([-2.0, -2.0, 0.0])


def test_the_variance_form_needs_no_log_z():
    """Groups {0, 2} and {1}, numbered 4 and 2 in the iteration: gaps -2 and 0, mean -1, variance 1; one alone gives 0.
    The centre adds no gradient: the slopes are 2 (gap - mean) / 2."""
    logp = torch.tensor([-3.0, -5.0, -1.0], requires_grad=True)
    b = batch([0, 1, 2], group=[4, 2, 4], logr=[-1.0, 7.0, -1.0])
    loss = TrajectoryBalance("group")(Scored(logp), b)
    assert loss.tolist() == pytest.approx([0.0, 1.0])
    loss.sum().backward()
    assert logp.grad.tolist() == pytest.approx([-1.0, 0.0, 1.0])


def test_flow_by_hand():
    t = trace(0.5, {"logp_ref": [-1.0, -2.0], "logp_old": [-0.5, -1.0], "value": [7.0, 8.0]})
    ctx = Quiet()
    Flow(scale=4.0, prior=0.5)([Group(t.problem, [t])], ctx)
    cols = t.actions[0].cols
    assert cols["logr"].tolist() == [0.5, 0.5]  # 4 x .5 - .5 x 3
    assert cols["flow"].tolist() == [2.0, 2.0]  # .5 + 1.5
    assert cols["logz"].tolist() == [7.0, 7.0]
    assert ctx.logged["balance/gap"] == 5.0


def test_steps_gives_each_shared_segment_once():
    p = Problem("p", "?")
    prompt = Segment(torch.tensor([9]))
    a, b, c = (Segment(torch.tensor([i]), trainable=True) for i in (1, 2, 3))
    group = Group(p, [Trace(p, [prompt, a, b]), Trace(p, [prompt, a, c])])
    rows, sets = Steps()([group], None)
    assert sets is None
    assert [[(int(s.atoms[0]), s.trainable) for s in r.segments] for r in rows] == [
        [(9, False), (1, True)],
        [(9, False), (1, False), (2, True)],
        [(9, False), (1, False), (3, True)],
    ]
    assert rows[1].actions[0] is b


def run(method):
    return COPY.trainer(method)


def test_a_judge_scores_the_whole_trace_and_an_empty_one_zero():
    trainer = run(small_grpo(("rm", Value("policy"))))
    ctx = trainer.ctx
    head = ctx.actors["rm"].module["head"]
    with torch.no_grad():
        head.bias.fill_(0.5)  # the head's weights are 0: every prefix scores 1/2
    p = Problem("p", "3?", "3")
    policy = ctx.actors["policy"]
    full = Trace(p, [*policy.prompt(p), policy.given("3")])
    empty = Trace(p, policy.prompt(p))
    Judge()([Group(p, [full, empty])], ctx)
    assert (full.rewards["rm"], empty.rewards["rm"]) == (0.5, 0.0)
    Judge(squash="sigmoid")([Group(p, [full])], ctx)
    assert full.rewards["rm"] == pytest.approx(1 / (1 + math.exp(-0.5)))
    Answered()([Group(p, [full, empty])], ctx)
    assert (full.rewards["answered"], empty.rewards["answered"]) == (1.0, 0.0)


def small_grpo(*actors, **changes):
    r = recipe("grpo")
    return replace(r, loop=replace(r.loop, iterations=4, problems=4), actors=(*r.actors, *actors), **changes)


def test_a_target_network_follows_each_step_by_its_share():
    base = recipe("ppo")
    actors = (*base.actors, ("slow", Frozen("value", "step", 0.25)))
    r = replace(base, actors=actors, loop=replace(base.loop, iterations=1, problems=8))
    trainer = run(r)
    before = {k: v.clone() for k, v in trainer.ctx.actors["slow"].weights().items()}
    seen = []
    follow = trainer.ctx.follow

    def spy(name):
        if name == "value":
            seen.append({k: v.clone() for k, v in trainer.ctx.actors["value"].weights().items()})
        follow(name)

    trainer.ctx.follow = spy
    trainer.step()
    assert len(seen) == 2  # two epochs, one minibatch each
    wanted = before
    for new in seen:
        wanted = {k: 0.75 * wanted[k] + 0.25 * new[k] for k in wanted}
    for k, v in trainer.ctx.actors["slow"].weights().items():
        torch.testing.assert_close(v, wanted[k])


def test_updates_take_turns():
    """start=1, every=2 of six iterations: 1, 3, 5."""
    r = small_grpo()
    r = replace(r, updates=(replace(r.updates[0], start=1, every=2),), loop=replace(r.loop, iterations=6))
    trainer = run(r)
    made = [trainer.step().cost["updates"] for _ in range(6)]
    assert made == [0, 1, 1, 2, 2, 3]


def test_a_twin_is_trained_on_its_own():
    r = small_grpo(("other", Twin("policy")))
    trainer = run(replace(r, updates=(*r.updates, Update((Term(NLL()),), actor="other", name="other"))))
    policy, other = trainer.ctx.actors["policy"], trainer.ctx.actors["other"]
    names = policy.weights().keys()
    assert all(torch.equal(policy.weights()[k], other.weights()[k]) for k in names)
    assert not any(policy.weights()[k].data_ptr() == other.weights()[k].data_ptr() for k in names)
    trainer.step()
    assert not any(torch.equal(policy.weights()[k], other.weights()[k]) for k in names)


def test_a_stage_among_the_updates_is_checked_and_run_in_its_place():
    r = recipe("ppo")
    order = (r.updates[1], *r.collect[-3:], r.updates[0])  # the critic first, then credit by what it has learnt
    r = replace(r, updates=order, loop=replace(r.loop, iterations=1, problems=8))
    trainer = run(r)
    explained = trainer.step().metrics
    assert explained["loss/valuefit"] > 0
    with pytest.raises(SharpenError, match="Whiten reads 'adv'"):
        replace(r, collect=r.collect[:-2], updates=(r.updates[1], Whiten(), r.updates[-1]))


def test_a_value_model_is_saved_and_loaded(tmp_path):
    actor = nano_actor(width=16)
    value = ValueActor(actor)
    with torch.no_grad():
        value.module["head"].weight.normal_(generator=torch.Generator().manual_seed(0))
    p = Copy().fixed("test", 1)[0]
    b = value.collate([Trace(p, [*actor.prompt(p), actor.given("3")])], torch.zeros(1, dtype=torch.long), ())
    said = value.score(b, ("value", "score")).extra
    value.export(tmp_path)
    twin = ValueActor.load(tmp_path, actor)
    again = twin.score(b, ("value", "score")).extra
    assert torch.equal(said["value"], again["value"])
    assert torch.equal(said["score"], again["score"])
