"""Labels of steps by roll-outs, rewards of steps, and the credit they become, on answers written out by hand."""

import math
from dataclasses import replace

import pytest
import torch

from benches import Count
from rows.process import LABELLED, brief
from sharpen.actor.scripted import ScriptedActor
from sharpen.credit.peers import GroupNorm
from sharpen.credit.steps import Progress, Return, StepLOO, StepReward
from sharpen.ctx import Ctx
from sharpen.errors import SharpenError
from sharpen.loop import Trainer
from sharpen.loss.policy import PPOClip, Reinforce
from sharpen.loss.value import ValueFit
from sharpen.maths import discounted_returns
from sharpen.recipe import Term
from sharpen.recipes import recipe
from sharpen.reduction import count, numerator
from sharpen.rollout.montecarlo import MonteCarlo
from sharpen.task import Grid
from sharpen.types import Batch, Group, Problem, Sampling, Scored, Segment, Trace
from toy import nano_actor, weights_equal

PROBLEM = Problem("count:3", "3?", "6", ("4", "5", "#6"), {"start": 3})


class Listening(ScriptedActor):
    """Says what it is told to, in turn, and remembers what it was asked."""

    longest = 20

    def __init__(self, *answers: str) -> None:
        left = list(answers)
        super().__init__(lambda context, rng: left.pop(0))
        self.asked = []

    def sample(self, requests):
        self.asked += requests
        return super().sample(requests)


def context(**actors):
    return Ctx(recipe("math-shepherd"), Count(), actors)


def step(text, **columns):
    s = Segment(torch.tensor([ord(c) for c in text]), True, role="assistant", text=text, by="policy@0")
    for name, value in columns.items():
        s.put(name, value)
    return s


def said(*steps, solved=False, problem=PROBLEM):
    prompt = Segment(torch.tensor([ord(c) for c in "3?"]), text="3?")
    return Trace(problem, [prompt, *(s if isinstance(s, Segment) else step(s) for s in steps)], solved=solved)


def labels(trace, name="mc"):
    return [s.cols[name].tolist() for s in trace.actions]


# ---------------------------------------------------------------- labels by roll-outs


def test_labels_are_shares_of_continuations_that_come_out_right():
    """After `4` one of four continuations is right, after `4`, `6` none, and then comes the verdict."""
    said_next = ["5\n#7", "5\n#6", "5\n6\n#7", "#5", "#7", "#5", "7\n#8", "#"]
    for label, first in (("soft", 0.25), ("hard", 1.0)):
        actor = Listening(*said_next)
        ctx, trace = context(policy=actor), said("4\n", "6\n", "#7")
        MonteCarlo(4, label=label)([Group(PROBLEM, [trace])], ctx)
        assert labels(trace) == [[first] * 2, [0.0] * 2, [0.0] * 2]
        assert actor.batches == [8]  # one batch for all steps
        assert (ctx.cost.verifier_calls, ctx.cost.traces) == (8, 8)
        assert ctx.cost.generated_tokens == sum(map(len, said_next))
        assert ctx.metrics.take() == {"mc/label": pytest.approx(first / 3)}
        assert [s.text for s in trace.segments] == ["3?", "4\n", "6\n", "#7"]


def test_continuations_see_the_prefix_and_have_the_rest_of_the_room():
    actor = Listening(*["#6"] * 4)
    ctx = context(policy=None, other=actor)
    MonteCarlo(2, actor="other", temperature=0.7)([Group(PROBLEM, [said("4\n", "5 \n", "#6")])], ctx)
    texts = ["".join(s.text for s in r.context) for r in actor.asked]
    assert texts == ["3?4\n"] * 2 + ["3?4\n5 \n"] * 2
    assert [r.sampling for r in actor.asked] == [Sampling(0.7, max_tokens=m) for m in (18, 18, 15, 15)]
    assert {r.by for r in actor.asked} == {"other@0"}
    assert len({r.seed for r in actor.asked}) == 4


def test_steps_that_traces_share_are_continued_once():
    first = step("4\n")
    tree = [said(first, "5\n", "#6", solved=True), said(first, "6\n", "#7")]
    tree[1].segments[0] = tree[0].segments[0]
    actor = Listening("5\n#6", "#4", "#6", "#6", "#7", "#7")  # two for each of three prefixes
    MonteCarlo(2)([Group(PROBLEM, tree)], context(policy=actor))
    assert actor.batches == [6]
    assert [[x[0] for x in labels(t)] for t in tree] == [[0.5, 1.0, 1.0], [0.5, 0.0, 0.0]]


def test_the_last_steps_label_is_the_verdict_without_roll_outs():
    actor = Listening()
    traces = [said("#6", solved=True), said("#5")]
    ctx = context(policy=actor)
    MonteCarlo(8)([Group(PROBLEM, traces)], ctx)
    assert [labels(t) for t in traces] == [[[1.0, 1.0]], [[0.0, 0.0]]]
    assert (actor.batches, ctx.cost.verifier_calls) == ([], 0)


def test_tasks_played_in_turns_are_refused():
    ctx = context(policy=Listening())
    ctx.task = Grid(3, 3, 4, 4)
    with pytest.raises(SharpenError, match="'grid' is played in turns"):
        MonteCarlo()([Group(PROBLEM, [said("#6")])], ctx)
    with pytest.raises(SharpenError, match="MonteCarlo: n is 0"):
        MonteCarlo(0)


# ---------------------------------------------------------------- rewards of steps


def score(r):
    """The score whose reward is r: 2 sigmoid(score) - 1 = r."""
    return math.log((1 + r) / (1 - r))


def scored(*rewards, lengths=None, **columns):
    """An answer with a reward model's score at the end of each step (and another number before it, never read)."""
    out = []
    for r, n in zip(rewards, lengths or [3] * len(rewards), strict=True):
        s = step("x" * n, **columns)
        s.put("prm", torch.tensor([9.0] * (n - 1) + [score(r)]))
        out.append(s)
    return said(*out)


def test_rewards_of_steps_by_hand():
    """r = 0.8, 0.6, 0.7 at T = 0.1: weights exp(-8), exp(-6), exp(-7) over their sum, which is 1 : e^2 : e."""
    trace, alone = scored(0.8, 0.6, 0.7), scored(-0.5)
    groups, ctx = [Group(PROBLEM, [trace, alone])], context()
    StepReward()(groups, ctx)
    total = 1 + math.e**2 + math.e
    want = [0.8 / total, 0.6 * math.e**2 / total, 0.7 * math.e / total]
    assert labels(trace, "process") == [[pytest.approx(w, abs=1e-5)] * 3 for w in want]
    assert labels(alone, "process") == [[pytest.approx(-0.5, abs=1e-6)] * 3]
    seen = ctx.metrics.take()
    assert seen["process/reward"] == pytest.approx((sum(want) - 0.5) / 2, abs=1e-5)
    assert seen["steps"] == 2.0
    StepReward(form="sum")(groups, ctx)
    assert [x[0] for x in labels(trace, "process")] == pytest.approx([0.8, 0.6, 0.7], abs=1e-5)
    assert ctx.metrics.take()["process/reward"] == pytest.approx((2.1 - 0.5) / 2, abs=1e-5)


def test_only_the_worst_step_is_charged():
    """A bad step among good ones gets all of the weight but e^-15 of it: padding an answer changes nothing."""
    short, padded = scored(0.9, -0.6, 0.9), scored(0.9, -0.6, 0.9, 0.9, 0.9)
    StepReward()([Group(PROBLEM, [short, padded])], context())
    for trace in (short, padded):
        assert [x[0] for x in labels(trace, "process")] == pytest.approx(
            [0, -0.6] + [0] * (len(trace.actions) - 2), abs=1e-5
        )


def test_high_temperature_is_the_mean():
    trace = scored(0.8, -0.6, 0.4)
    StepReward(temperature=1e6)([Group(PROBLEM, [trace])], context())
    assert [x[0] for x in labels(trace, "process")] == pytest.approx([0.8 / 3, -0.2, 0.4 / 3], abs=1e-4)
    with pytest.raises(SharpenError, match=r"StepReward: temperature is 0\.0"):
        StepReward(temperature=0.0)


def test_a_step_earns_nothing_by_being_there():
    """Answers earn 1 on 4 tokens and 2 on 10: each step less 0.2, or 0.25, of what its tokens would have earned."""
    one, two = scored(0.0, 0.0, lengths=[1, 3]), scored(0.0, 0.0, lengths=[4, 6])
    for trace, rewards in ((one, (0.25, 0.75)), (two, (2.0, 0.0))):
        for s, r in zip(trace.actions, rewards, strict=True):
            s.put("process", r)
    alone = scored(0.0)
    alone.actions[0].put("process", 3.0)
    StepLOO()([Group(PROBLEM, [one, two]), Group(PROBLEM, [alone])], context())
    assert [x[0] for x in labels(one, "surplus")] == pytest.approx([0.25 - 0.2, 0.75 - 0.6])
    assert [x[0] for x in labels(two, "surplus")] == pytest.approx([2.0 - 1.0, 0.0 - 1.5])
    assert labels(alone, "surplus") == [[0.0] * 3]


def test_returns_by_hand():
    def fresh():
        return [said(step("ab", x=1.0, adv=10.0), step("c", x=2.0, adv=10.0), step("de", x=4.0, adv=10.0))]

    for part, want in (
        (Return("x"), [7, 7, 6, 4, 4]),
        (Return("x", gamma=0.5), [3, 3, 4, 4, 4]),
        (Return("x", gamma=0.0), [1, 1, 2, 4, 4]),
        (Return("x", weight=-2.0, mode="add"), [-4, -4, -2, 2, 2]),
        (Return("x", ends=False), [7, 0, 0, 4, 0]),
        (Return("x", mode="add", ends=False), [17, 0, 0, 14, 0]),
    ):
        traces = fresh()
        part([Group(PROBLEM, traces)], context())
        assert [x for s in traces[0].actions for x in s.cols["adv"].tolist()] == want


# ---------------------------------------------------------------- the whole credit of PURE


def pure_stages(ends=True):
    kinds = (StepReward, StepLOO, GroupNorm, Return)
    parts = [s for s in recipe("pure").recipes[1].collect if isinstance(s, kinds)]
    return [replace(s, ends=ends) if isinstance(s, Return) else s for s in parts]


def slow_pure(group, muted, temperature=0.1):
    """Its credit token by token, with loops: rewards at the last token of steps, the verdict's at the last of all."""
    earned, tokens, verdicts = [], [], []
    for t in group.traces:
        r = [2 / (1 + math.exp(-float(s.cols["prm"][-1]))) - 1 for s in t.actions]
        weights = [math.exp(-x / temperature) for x in r]
        earned.append([x * w / sum(weights) for x, w in zip(r, weights, strict=True)])
        tokens.append([len(s) for s in t.actions])
        verdicts.append(float(t.reward) - 1)
    out = []
    for k, t in enumerate(group.traces):
        others = [j for j in range(len(group.traces)) if j != k]
        rate = sum(sum(earned[j]) for j in others) / sum(sum(tokens[j]) for j in others)
        reward, ends = [], []
        for r, n in zip(earned[k], tokens[k], strict=True):
            reward += [0.0] * (n - 1) + [r - n * rate]
            ends += [False] * (n - 1) + [True]
        reward[-1] += verdicts[k] - sum(verdicts[j] for j in others) / len(others)
        later = [sum(reward[i:]) for i in range(len(reward))]
        out.append([0.0 if end and muted else x for x, end in zip(later, ends, strict=True)])
        assert len(out[-1]) == t.length
    return out


@pytest.mark.parametrize("muted", [False, True])
def test_pures_credit_against_its_definition(muted):
    gen = torch.Generator().manual_seed(1)
    groups = []
    for size in (4, 3, 2):
        traces = []
        for _ in range(size):
            n = int(torch.randint(1, 5, (), generator=gen))
            rewards = (1.9 * torch.rand(n, generator=gen) - 0.95).tolist()
            traces.append(scored(*rewards, lengths=torch.randint(1, 6, (n,), generator=gen).tolist()))
            traces[-1].reward = float(torch.randint(2, (), generator=gen))
        groups.append(Group(PROBLEM, traces))
    for part in pure_stages(ends=not muted):
        part(groups, context())
    got = [torch.cat([s.cols["adv"] for s in t.actions]) for g in groups for t in g.traces]
    want = [torch.tensor(x) for g in groups for x in slow_pure(g, muted)]
    torch.testing.assert_close(torch.cat(got), torch.cat(want), atol=1e-5, rtol=1e-4)


def flat(traces, columns):
    """A batch of the trained atoms of some traces, as an actor would lay it out."""
    segments = [s for t in traces for s in t.actions]
    sizes = torch.tensor([len(s) for s in segments])
    owner = torch.tensor([i for i, t in enumerate(traces) for _ in t.actions])
    return Batch(
        traces,
        {c: torch.cat([s.cols[c] for s in segments]) for c in columns},
        torch.arange(len(segments)).repeat_interleave(sizes),
        owner.repeat_interleave(sizes),
        torch.zeros(len(traces), dtype=torch.long),
        {},
    )


def test_which_atoms_pures_credit_moves():
    """A bad second step: what leads to it falls, what follows it is left alone, and muted ends do not move.

    The other answer is as wrong and earns nothing, so both baselines are 0.
    """
    bad, other = scored(0.9, -0.9, 0.9, logp_old=-1.0), scored(0.0, logp_old=-1.0)
    for t in (bad, other):
        t.reward = 0.0
    for part in pure_stages(ends=False):
        part([Group(PROBLEM, [bad, other])], context())
    batch = flat([bad, other], ("adv", "logp_old"))
    logp = torch.full((12,), -1.0, requires_grad=True)
    PPOClip()(Scored(logp), batch).sum().backward()
    third = 0.9 / 3  # per token of the first answer, the baseline of the second
    want = [0.9, 0.9, 0, 0.9, 0.9, 0, 0, 0, 0, -third, -third, 0]
    torch.testing.assert_close(logp.grad, torch.tensor(want), atol=1e-4, rtol=1e-4)
    ends = [2, 5, 8, 11]
    assert logp.grad[ends].tolist() == [0.0] * 4


def test_the_reward_model_learns_at_the_last_atom_of_each_step_alone():
    term = recipe("math-shepherd").updates[0].terms[0]
    assert term == Term(ValueFit("mc", want="score", kind="bce"), where="last:segment", mean_over="atom", name="label")
    batch = flat([said(step("ab", mc=1.0), step("cde", mc=0.0)), said(step("f", mc=0.25))], ("mc",))
    score = torch.zeros(6, requires_grad=True)
    loss = numerator(term, Scored(torch.zeros(6), {"score": score}), batch) / count(term, batch)
    assert float(loss.detach()) == pytest.approx(math.log(2))
    loss.backward()
    torch.testing.assert_close(score.grad, torch.tensor([0, -0.5, 0, 0, 0.5, 0.25]) / 3)


# ---------------------------------------------------------------- progress


def chances(*qs, n=2):
    """An answer whose prover succeeds after each step as often as stated."""
    out = []
    for q in qs:
        s = step("x" * n)
        s.put("q", torch.tensor([-9.0] * (n - 1) + [math.log(q / (1 - q))]))
        out.append(s)
    return said(*out)


def test_progress_by_hand():
    """First steps leave 0.2 and 0.6 of success: 0.4 is what there was before them."""
    one, two = chances(0.2, 0.5, 0.9), chances(0.6, 0.1)
    ctx = context()
    Progress(best_of=1)([Group(PROBLEM, [one, two])], ctx)
    assert [x[0] for x in labels(one, "progress")] == pytest.approx([-0.2, 0.3, 0.4], abs=1e-6)
    assert [x[0] for x in labels(two, "progress")] == pytest.approx([0.2, -0.5], abs=1e-6)
    assert ctx.metrics.take()["progress/size"] == pytest.approx(1.6 / 5, abs=1e-6)
    assert labels(one, "progress")[0] == [pytest.approx(-0.2, abs=1e-6)] * 2


def test_progress_of_the_best_of_two():
    """1 - (1 - q)^2: 0.36 and 0.84, whose mean is 0.6, then 0.75."""
    one, two = chances(0.2, 0.5), chances(0.6)
    Progress(best_of=2)([Group(PROBLEM, [one, two])], context())
    assert [x[0] for x in labels(one, "progress")] == pytest.approx([-0.24, 0.39], abs=1e-6)
    assert [x[0] for x in labels(two, "progress")] == pytest.approx([0.24], abs=1e-6)
    with pytest.raises(SharpenError, match="Progress: best_of is 0"):
        Progress(best_of=0)


def test_groups_do_not_see_each_other():
    alone = chances(0.3, 0.7)
    Progress(best_of=1)([Group(PROBLEM, [chances(0.9)]), Group(PROBLEM, [alone])], context())
    assert [x[0] for x in labels(alone, "progress")] == pytest.approx([0.0, 0.4], abs=1e-6)


def test_progress_summed_to_the_end_is_a_baseline_and_no_further_reward():
    """The sum from a step on is what the prover makes of the last step, less a number known before the step."""
    qs = [0.2, 0.7, 0.4, 0.9]
    one, two = chances(*qs), chances(0.5)
    Progress(best_of=1)([Group(PROBLEM, [one, two])], context())
    summed = discounted_returns(torch.tensor([x[0] for x in labels(one, "progress")]))
    before = torch.tensor([0.35, *qs[:-1]])
    torch.testing.assert_close(summed, qs[-1] - before)


def test_pavs_credit_is_the_outcome_and_each_steps_own_progress():
    one, two = chances(0.2, 0.5), chances(0.6)
    one.reward, two.reward = 1.0, 0.0
    kinds = (Progress, GroupNorm, Return)
    for part in (s for s in recipe("pav").recipes[1].collect if isinstance(s, kinds)):
        part([Group(PROBLEM, [one, two])], context())

    def best(q):  # of four
        return 1 - (1 - q) ** 4

    start = (best(0.2) + best(0.6)) / 2
    first, second, other = best(0.2) - start, best(0.5) - best(0.2), best(0.6) - start
    want = [1 + 3 * first] * 2 + [1 + 3 * second] * 2 + [-1 + 3 * other] * 2
    batch = flat([one, two], ("adv",))
    torch.testing.assert_close(batch.cols["adv"], torch.tensor(want), atol=1e-5, rtol=1e-5)
    logp = torch.zeros(6, requires_grad=True)
    Reinforce()(Scored(logp), batch).sum().backward()
    torch.testing.assert_close(logp.grad, -torch.tensor(want), atol=1e-5, rtol=1e-5)


# ---------------------------------------------------------------- programs


@pytest.mark.parametrize(("name", "model"), [("pure", "prm"), ("pav", "pav")])
def test_the_reward_model_goes_over_and_is_trained_no_more(name, model):
    trainer = Trainer(brief(name, LABELLED + 2), Count(), nano_actor(max_tokens=12))
    base = {k: v.clone() for k, v in trainer.policy.weights().items()}
    for _ in range(LABELLED):
        trainer.step()
    assert weights_equal(base, trainer.policy.weights())  # labels train no policy
    taught = {k: v.clone() for k, v in trainer.ctx.actors[model].weights().items()}
    assert float(taught["head.weight"].abs().max()) > 0  # it began at zero
    trainer.step()
    trainer.step()
    assert trainer.done
    assert weights_equal(taught, trainer.ctx.actors[model].weights())
    assert not weights_equal(base, trainer.policy.weights())


def test_the_sum_form_differs_in_one_field():
    one, two = recipe("pure").recipes[1], recipe("pure-sum").recipes[1]
    changed = tuple(replace(s, form="min") if isinstance(s, StepReward) else s for s in two.collect)
    assert replace(two, name=one.name, collect=changed) == one
    assert two != replace(one, name=two.name)
