"""A token after the end that says whether the answer was right: its columns, its reward, its gradient, its blending."""

import math
from dataclasses import replace

import pytest
import torch

from sharpen.credit.peers import BlendReward, GroupNorm
from sharpen.ctx import Ctx
from sharpen.errors import SharpenError
from sharpen.learner import Learner
from sharpen.loss.policy import PPOClip
from sharpen.loss.probe import ProbeFit
from sharpen.recipe import AdamW, Term, Update
from sharpen.recipes import recipe
from sharpen.reward.probe import Probe
from sharpen.types import Batch, Group, Problem, Sampling, Scored, Trace
from toy import Copy, nano_actor

Z = 3
"""The nano model's spare token, <unk>."""


def judged(actor, verdicts, cut=(), digit=7):
    """A group of answers `7` or `8`, with log-probs as the actor itself gives them."""
    p = Problem(f"copy:{digit}", f"{digit}?", str(digit))
    g = Group(p)
    for i, right in enumerate(verdicts):
        s = replace(actor.given(str(digit if right else digit + 1)), drawn=Sampling(), by="policy@0")
        t = Trace(p, [*actor.prompt(p), s], end="length" if i in cut else "stop", solved=bool(right))
        with torch.no_grad():
            s.put("logp_old", actor.score(actor.collate([t], torch.tensor([0]), ())).logp.float())
        t.reward = float(right)
        g.traces.append(t)
    return g


def setting(seeds=(0, 1)):
    actor, ref = (nano_actor(s) for s in seeds)
    for a in (actor, ref):
        a.module.double()
    ctx = Ctx(replace(recipe("laser"), waive=("agreement",)), Copy(), {"policy": actor, "ref": ref})
    return ctx, actor, ref


def last_logp(actor, trace, token=Z):
    """log pi(token | everything before the last atom of the trace), by a plain forward pass."""
    ids = torch.cat([s.atoms for s in trace.segments if s.role != "probe"])[None]
    return actor.module(input_ids=ids).logits[0, -1].log_softmax(-1)[token]


def test_the_spare_token_is_one_that_no_conversation_holds():
    actor = nano_actor()
    s = actor.spare()
    assert (s.atoms.tolist(), s.trainable, s.by, s.role, s.text) == ([Z], True, "probe", "probe", "")
    assert actor.spare("~").atoms.tolist() == actor.encode("~")
    with pytest.raises(SharpenError, match="there is no token '<z>' in its vocabulary"):
        actor.spare("<z>")
    actor.tokenizer.unk_token = actor.tokenizer.eos_token
    actor.tokenizer._special_tokens_map["unk_token"] = actor.tokenizer.eos_token
    with pytest.raises(SharpenError, match="all its special tokens are in use"):
        actor.spare()


def test_what_stands_on_the_token_and_what_it_says():
    ctx, actor, ref = setting()
    g = judged(actor, [1, 1, 1, 0, 1], cut=(4,))
    Probe(beta=0.3)([g], ctx)
    for t in g.traces[:4]:
        answer, z = t.actions
        assert z.atoms.tolist() == [Z]
        assert answer.cols["spoken"].tolist() == [1.0, 1.0]
        assert answer.cols["probe"].tolist() == [0.0, 0.0]
        assert (float(z.cols["spoken"]), float(z.cols["probe"])) == (0.0, 1.0)
        assert float(z.cols["balance"]) == pytest.approx(0.09 * (4 / 6 if t.solved else 4 / 2))
        with torch.no_grad():
            base, own = float(last_logp(ref, t)), float(last_logp(actor, t))
        assert float(z.cols["goal"]) == pytest.approx(base + (1 / 0.3 if t.solved else 0), abs=1e-5)
        assert set(z.cols) == {"spoken", "probe", "goal", "balance"}
        assert t.rewards["self"] == pytest.approx(min(1, max(0, 0.3 * (own - base))), abs=1e-5)
        assert t.text == ("7" if t.solved else "8")
    cut = g.traces[4]
    assert (len(cut.actions), cut.rewards["self"]) == (1, 0.0)
    assert cut.actions[0].cols["spoken"].tolist() == [1.0, 1.0]


def test_a_constant_takes_the_place_of_the_reference():
    ctx, actor, _ = setting()
    del ctx.actors["ref"]
    g = judged(actor, [1, 0])
    with torch.no_grad():
        own = [float(last_logp(actor, t)) for t in g.traces]
    Probe(beta=0.1, constant=own[0] - 7.0)([g], ctx)
    assert [t.rewards["self"] for t in g.traces] == pytest.approx([0.7, min(1, 0.1 * (own[1] - own[0] + 7))], abs=1e-5)
    goals = [float(t.actions[-1].cols["goal"]) for t in g.traces]
    assert goals == pytest.approx([own[0] + 3.0, own[0] - 7.0])
    assert ctx.metrics.take()["probe/right"] == pytest.approx(0.5)


def test_nothing_is_asked_before_the_start():
    ctx, actor, _ = setting()
    g = judged(actor, [1, 0])
    Probe(start=3)([g], ctx)
    assert [len(t.actions) for t in g.traces] == [1, 1]
    assert [t.rewards["self"] for t in g.traces] == [0, 0]
    ctx.step = 3
    Probe(start=3)([g], ctx)
    assert [len(t.actions) for t in g.traces] == [2, 2]


def test_the_fit_by_hand():
    """Base -20, beta 0.1: log-probs -10 and -15 say 1 and 0.5; against 0 and 1 the slopes are 2 beta (r - v)."""
    ids = torch.tensor([0, 1])
    cols = {"goal": torch.tensor([-20.0, -10.0]), "balance": torch.tensor([0.01, 0.01])}
    logp = torch.tensor([-10.0, -15.0], requires_grad=True)
    batch = Batch([None, None], cols, ids, ids, ids, {})
    out = cols["balance"] * ProbeFit()(Scored(logp), batch)
    out.sum().backward()
    torch.testing.assert_close(out.detach(), torch.tensor([1.0, 0.25]))
    torch.testing.assert_close(logp.grad, torch.tensor([0.2, -0.1]))


def gradient(terms, groups, ctx, actor, micro=10**6):
    ctx.micro_tokens = micro
    Learner(Update(terms, optimiser=AdamW(lr=1e-30, clip=1e9)), "u", actor).learn(groups, ctx)
    return {n: p.grad.clone() for n, p in actor.parameters()}


def test_each_term_sends_its_gradient_from_its_own_atoms_only():
    """PPO as if no token had been appended, and the fit as a plain sum over the tokens, both at once."""
    ctx, actor, ref = setting()
    plain, g = judged(actor, [1, 0, 1, 0], cut=(3,)), judged(actor, [1, 0, 1, 0], cut=(3,))
    GroupNorm()([plain], ctx)
    for stage in (Probe(beta=0.3), GroupNorm()):
        stage([g], ctx)
    alone = gradient((Term(PPOClip()),), [plain], ctx, actor)
    actor.module.zero_grad()
    with torch.no_grad():
        bases = [last_logp(ref, t) for t in g.traces[:3]]
    fit = sum(
        (3 / 4 if t.solved else 3 / 2) * (0.3 * (last_logp(actor, t) - b) - float(t.solved)) ** 2
        for t, b in zip(g.traces[:3], bases, strict=True)
    )
    (0.1 * fit / 3).backward()
    of_fit = {n: p.grad.clone() for n, p in actor.parameters()}
    terms = (
        Term(PPOClip(), where="spoken"),
        Term(ProbeFit(), weight=0.1, mean_over="atom", where="probe", weight_by="balance"),
    )
    for micro in (10**6, 1):
        both = gradient(terms, [g], ctx, actor, micro)
        for n in alone:
            torch.testing.assert_close(both[n], alone[n] + of_fit[n], rtol=1e-4, atol=1e-7)
    only = gradient(terms[1:], [g], ctx, actor)
    for n in only:
        torch.testing.assert_close(only[n], of_fit[n], rtol=1e-4, atol=1e-7)


def test_blending_by_hand():
    """self = 1, 0, 1/2, 1/2 has the deviation sqrt(1/6): A' = +-sqrt(6) / 2, 0, 0; the second group tells nothing."""
    ctx, actor, _ = setting()
    groups = [judged(actor, [1, 0, 0, 0]), judged(actor, [1, 0])]
    GroupNorm()(groups, ctx)
    for g, said in zip(groups, ([1.0, 0.0, 0.5, 0.5], [0.5, 0.6]), strict=True):
        for t, x in zip(g.traces, said, strict=True):
            t.rewards["self"] = x
    before = [float(t.actions[0].cols["adv"][0]) for g in groups for t in g.traces]
    BlendReward(start=1)(groups, ctx)
    assert [float(t.actions[0].cols["adv"][0]) for g in groups for t in g.traces] == before
    ctx.step = 1
    BlendReward(start=1)(groups, ctx)
    a = math.sqrt(6) / 2
    want = [0.9 * 1.5 + 0.1 * a, -0.45 - 0.1 * a, -0.45, -0.45, *before[4:]]
    assert [float(t.actions[0].cols["adv"][1]) for g in groups for t in g.traces] == pytest.approx(want, abs=1e-5)
    assert ctx.metrics.take()["blend/moved"] == pytest.approx(4 / 6)


def test_the_token_learns_to_tell_right_from_wrong():
    """Ten prompts, each with its right answer and with a wrong one; the answers are given, only the fit is trained."""
    ctx, actor, _ = setting()
    update = Update(recipe("laser").updates[0].terms[1:], optimiser=AdamW(lr=1e-2))
    learner = Learner(update, "u", actor)
    given = [judged(actor, [1, 0], digit=d) for d in range(9)]
    for _ in range(60):
        groups = [Group(g.problem, [replace(t, segments=[*t.segments]) for t in g.traces]) for g in given]
        Probe(beta=0.5)(groups, ctx)
        learner.learn(groups, ctx)
    traces = [t for g in groups for t in g.traces]
    says = [t.rewards["self"] > 0.5 for t in traces]
    assert says == [t.solved for t in traces]
    assert ctx.metrics.take()["loss/probefit"] < 0.2  # half where both verdicts are said to be wrong
