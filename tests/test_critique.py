"""Critiques, refinements, and the loss that learns from text moved here from another context."""

from dataclasses import replace

import pytest
import torch

from sharpen.actor.scripted import ScriptedActor
from sharpen.ctx import Ctx
from sharpen.errors import SharpenError
from sharpen.loop import Trainer
from sharpen.loss.policy import PPOClip
from sharpen.loss.shaped import Shaped
from sharpen.recipe import Loop
from sharpen.recipes import recipe
from sharpen.reward.verify import Verify
from sharpen.rollout.critique import Refine, best_of, mistake, truth
from sharpen.rollout.sample import Sample
from sharpen.task.chain import Chain
from sharpen.task.text import said
from sharpen.types import Batch, Group, Scored, Trace
from toy import Copy, nano_actor

NAN = float("nan")
CHAIN = Chain(2, 2, 3, 3)
PROBLEM = CHAIN.problem("3+4*7", 2, ("3+4=7", "7*7=9", "#9"), "9", expression="3+4*7")


# ---------------------------------------------------------------- the loss


def batch(old, adv):
    n = len(old)
    cols = {"logp_old": torch.tensor(old).log(), "adv": torch.tensor(adv)}
    ids = torch.zeros(n, dtype=torch.long)
    return Batch([None], cols, ids, ids, torch.zeros(1, dtype=torch.long), {})


def test_shaped_by_hand():
    """Known atoms: ratio x A without a clip. Unknown: f(0.1) = 1/2, f(0.9) = 0.9, f(0.025) = 0.2; slope f (1 - f)."""
    b = batch([0.1, 0.4, NAN, NAN, NAN, NAN], [1.0, -1.0, 1.0, 2.0, -1.0, 0.0])
    p = [0.5, 0.1, 0.1, 0.9, 0.025, 0.3]
    logp = torch.tensor(p).log().requires_grad_()
    out = Shaped()(Scored(logp), b)
    torch.testing.assert_close(out.detach(), torch.tensor([-5.0, 0.25, -0.5, -1.8, 0.2, 0.0]))
    out.sum().backward()
    torch.testing.assert_close(logp.grad, torch.tensor([-5.0, 0.25, -0.25, -0.18, 0.16, 0.0]))
    assert float(logp.grad[5]) == 0.0  # no credit, no gradient


def test_shaped_moves_most_where_the_policy_is_at_gamma():
    p = torch.linspace(0.001, 0.999, 999)
    for gamma in (0.1, 0.5):
        logp = p.log().requires_grad_()
        Shaped(gamma)(Scored(logp), batch([NAN] * 999, [1.0] * 999)).sum().backward()
        assert float(p[logp.grad.argmin()]) == pytest.approx(gamma, abs=2e-3)
        assert float(logp.grad.min()) == pytest.approx(-0.25, abs=1e-4)


def test_what_shaped_watches_and_refuses():
    seen = Shaped().watch(Scored(torch.tensor([0.5, 0.1]).log()), batch([0.25, NAN], [1.0, 1.0]))
    assert seen["ratio"].tolist() == pytest.approx([2.0])
    assert seen["shaped"].tolist() == pytest.approx([0.5])
    with pytest.raises(SharpenError, match=r"Shaped: gamma is 0\.0"):
        Shaped(0.0)


# ---------------------------------------------------------------- critics


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("3+4=7\n7*7=9\n#9", "The answer is right."),
        ("3+4=7\n7*7=8\n#8", "The answer is wrong. Line 2 is the first mistake."),
        ("3+4=6\n6*7=2\n#2", "The answer is wrong. Line 1 is the first mistake."),
        ("3+4=7\n7*7=9\n#8", "The answer is wrong. Line 3 is the first mistake."),
        ("3+4=7\n7*7=9", "The answer is wrong."),  # nothing is wrong but that it ends too soon
        ("", "The answer is wrong."),
    ],
)
def test_the_first_mistake_by_the_task(text, words):
    trace = said(PROBLEM, text)
    trace.solved = CHAIN.solved(CHAIN.verify(PROBLEM, trace))
    assert mistake(trace, CHAIN) == words


def test_other_critics():
    wrong = said(PROBLEM, "#8")
    wrong.solved = False
    assert truth(wrong, CHAIN) == "The answer is wrong. The right answer is 9."
    wrong.solved = True
    assert truth(wrong, CHAIN) == "The answer is right. The right answer is 9."
    p = Copy().fixed("test", 1)[0]
    assert mistake(Trace(p, [], solved=False), Copy()) == "The answer is wrong."  # no steps to check


# ---------------------------------------------------------------- refinements


def context(script, task=None):
    return Ctx(recipe("critique-grpo"), task or Copy(), {"policy": ScriptedActor(script)})


def drafted(ctx, *texts):
    """A group of drafts of the problem 7, judged."""
    actor, p = ctx.actors["policy"], Copy().fixed("test", 8)[7]
    group = Group(p, [Trace(p, [*actor.prompt(p), actor.given(t)]) for t in texts])
    Verify()([group], ctx)
    return group


def test_a_refinement_stands_where_it_might_have_been_said_at_once():
    contexts = []

    def script(text, rng):
        contexts.append(text)
        return {"7?3": "4", "7?5": "7", "7?7": "77"}[text[:3]]

    ctx = context(script)
    group = drafted(ctx, "3", "5", "7")
    Refine()([group], ctx)
    assert contexts == [
        "7?3The answer is wrong. Answer again.",
        "7?5The answer is wrong. Answer again.",
        "7?7The answer is right. Answer again.",
    ]
    assert ctx.actors["policy"].batches == [3]
    assert [t.text for t in group.traces] == ["3", "5", "7", "7"]
    kept = group.traces[3]
    assert [(s.text, s.trainable, s.moved) for s in kept.segments] == [("7?", False, False), ("7", True, True)]
    assert (kept.solved, kept.rewards["correct"], kept.info, kept.agent) == (True, 1.0, {"refined": True}, "policy")
    assert [t.info for t in group.traces[:3]] == [{}, {}, {}]
    assert (ctx.cost.traces, ctx.cost.verifier_calls, ctx.cost.generated_tokens) == (3, 6, 4)
    assert ctx.metrics.take()["refined/solved"] == pytest.approx(1 / 3)


def test_of_wrong_refinements_the_best_is_kept():
    class Graded(Copy):
        def verify(self, problem, trace):
            return {"correct": {"7": 1.0, "8": 0.5, "6": 0.5}.get(trace.text, 0.0), "short": 1.0}

    answers = iter("1869")
    ctx = context(lambda text, rng: next(answers), Graded())
    group = drafted(ctx, "0", "1", "2", "3")
    Refine()([group], ctx)
    assert [t.text for t in group.traces] == ["0", "1", "2", "3", "8"]  # the first of the two best
    traces = [Trace(group.problem, [], {"correct": 2.0}, solved=False), Trace(group.problem, [], {}, solved=True)]
    assert best_of(Group(group.problem, traces), "correct") is traces[1]


def test_a_draft_that_was_cut_off_is_not_refined():
    ctx = context(lambda text, rng: "7")
    group = drafted(ctx, "3", "5")
    group.traces[0].end = "length"
    Refine()([group], ctx)
    assert ctx.actors["policy"].batches == [1]
    group = drafted(ctx, "3")
    group.traces[0].end = "length"
    assert [t.text for t in Refine()([group], ctx)[0].traces] == ["3"]


def test_the_policy_may_write_the_critique_itself():
    contexts = []

    def script(text, rng):
        contexts.append(text)
        return "7" if text.endswith("Try again.") else "Too small."

    ctx = context(script)
    group = drafted(ctx, "3")
    Refine(None, again="Try again.", ask="Well?")([group], ctx)
    assert contexts == ["7?3Well?", "7?3Well?Too small.Try again."]
    assert group.traces[1].text == "7"
    assert [s.text for s in group.traces[1].segments] == ["7?", "7"]


def test_without_room_there_is_no_refinement():
    actor = nano_actor(max_tokens=4)
    ctx = Ctx(recipe("critique-grpo"), Copy(), {"policy": actor})
    p = Copy().fixed("test", 1)[0]
    group = Group(p, [Trace(p, [*actor.prompt(p), actor.given("1")])])
    Verify()([group], ctx)
    Refine(again="a" * 40)([group], ctx)
    assert len(group.traces) == 1
    Refine(again="a" * 10)([group], ctx)
    assert len(group.traces) == 2


def test_a_ratio_over_moved_text_is_refused_and_its_own_log_probs_are_kept():
    actor = nano_actor(max_tokens=4)
    ctx = Ctx(recipe("critique-grpo"), Copy(), {"policy": actor})
    groups = ctx.draw(1)
    for stage in (Sample(2), Verify()):
        groups = stage(groups, ctx)
    for t in groups[0].traces:
        t.end = "stop"
    Refine(again="?")(groups, ctx)
    (moved,) = groups[0].traces[2].actions
    assert moved.logp is not None
    assert moved.by == "policy@0"
    traces = groups[0].traces
    for t in traces:
        t.actions[0].put("adv", 1.0)
    b = actor.collate(traces, torch.zeros(3, dtype=torch.long), ("logp_old", "adv"))
    n = len(moved)
    assert b.cols["logp_old"].isnan().tolist() == [False] * (len(b) - n) + [True] * n
    new = actor.score(b)
    with pytest.raises(SharpenError, match="moved into another context"):
        PPOClip()(new, b)
    p = new.logp[-n:].exp()
    torch.testing.assert_close(Shaped()(new, b)[-n:], -p / (p + 0.1))
    torch.testing.assert_close(Shaped()(new, b)[:-n], -torch.ones(len(b) - n), atol=1e-4, rtol=0)


def test_drafts_and_refinement_share_a_baseline():
    """Seven wrong drafts and one right refinement: -1/8 and 7/8."""
    ctx = context(lambda text, rng: "7" if "again" in text else "3")
    groups = [Group(Copy().fixed("test", 8)[7])]
    for stage in recipe("critique-grpo").collect:
        groups = stage(groups, ctx)
    credit = [float(t.actions[0].cols["adv"][0]) for t in groups[0].traces]
    assert credit == [-0.125] * 7 + [0.875]


def test_an_iteration_counts_what_was_drawn():
    r = replace(recipe("critique-grpo"), loop=Loop(1, 3))
    r = replace(r, collect=tuple(Refine(again="?") if isinstance(s, Refine) else s for s in r.collect))
    trainer = Trainer(r, Copy(), nano_actor(max_tokens=3))
    done = trainer.step()
    refined = [t for g in done.groups for t in g.traces if t.info.get("refined")]
    ended = sum(t.end == "stop" for g in done.groups for t in g.traces if not t.info)
    assert done.cost["traces"] == 21 + ended
    assert len(refined) == sum(any(t.end == "stop" and not t.info for t in g.traces) for g in done.groups)
    assert done.metrics["rows/policy"] == 21 + len(refined)
