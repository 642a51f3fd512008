"""Hints, prefixes, demonstrations kept for later: exact texts and tokens, what is trained, and when."""

from dataclasses import replace

import pytest
import torch

from sharpen.actor.scripted import ScriptedActor
from sharpen.ctx import Ctx
from sharpen.errors import SharpenError
from sharpen.loss.policy import PPOClip
from sharpen.recipe import Loop
from sharpen.recipes import recipe
from sharpen.reduction import count, numerator
from sharpen.reward.verify import Verify
from sharpen.rollout.combinators import Cosine, Vary, When, all_failed
from sharpen.rollout.edit import Annotate
from sharpen.rollout.hints import Hint, Prefix, TopEntropy, hinted
from sharpen.rollout.sample import Sample
from sharpen.task.chain import Chain
from sharpen.types import Batch, Group, Problem, Sampling, Scored, Segment, Trace
from toy import nano_actor

CHAIN = Chain(2, 2, 3, 3)
PROBLEM = CHAIN.problem("3+4*7", 2, ("3+4=7", "7*7=9", "#9"), "9", expression="3+4*7")
WHOLE = "3+4=7\n7*7=9\n#9"  # fourteen characters


def context(actor, task=CHAIN, name="ghpo"):
    return Ctx(replace(recipe(name), loop=Loop(iterations=4)), task, {"policy": actor})


def completing(text, rng):
    """Goes on to the end of the right solution, where it is far enough along; else gives up."""
    said = text.partition("?")[2]
    return WHOLE[len(said) :] if len(said) >= 6 else "?"


# ---------------------------------------------------------------- hints


def test_a_hint_is_the_beginning_of_the_answer():
    h = hinted(PROBLEM, 0.25)
    assert h.prompt == ({"role": "user", "content": "3+4*7?"}, {"role": "assistant", "content": "3+4"})
    assert (h.key, h.parent, h.answer, h.solution) == (PROBLEM.key, PROBLEM.key, "9", PROBLEM.solution)
    assert hinted(h, 0.5).prompt[1:] == ({"role": "assistant", "content": "3+4=7\n7"},)
    assert len(hinted(h, 0.5).prompt) == 2
    assert hinted(h, 0.99).prompt[1]["content"] == WHOLE[:-1]
    talk = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
    assert hinted(replace(PROBLEM, prompt=talk), 0.25).prompt == (*talk, {"role": "assistant", "content": "3+4"})
    with pytest.raises(SharpenError, match="Problem 'x' has no worked solution"):
        hinted(Problem("x", "?"), 0.5)
    with pytest.raises(SharpenError, match="Hint: share is 1"):
        Hint(1)


def test_the_tokens_of_a_begun_answer():
    actor = nano_actor()
    asked, begun = actor.prompt(hinted(PROBLEM, 0.25))
    assert actor.tokenizer.decode(asked.atoms.tolist()) == "<bos>3+4*7?\n"
    assert torch.equal(asked.atoms, actor.prompt(PROBLEM)[0].atoms)
    assert actor.tokenizer.decode(begun.atoms.tolist()) == "3+4"  # no end token: the model goes on
    assert (asked.role, asked.text) == ("user", "3+4*7?")
    assert (begun.role, begun.text, begun.trainable, begun.logp) == ("opening", "3+4", False, None)
    assert len(actor.prompt(hinted(PROBLEM, 0.0))) == 1
    long = Problem("long", "a" * 40, "b", ("b" * 40,))
    with pytest.raises(SharpenError, match="prompt of problem 'long' has 72 tokens, and the model's context holds 64"):
        actor.prompt(hinted(long, 0.75))


def test_an_answer_is_read_whole_and_trained_where_it_was_drawn():
    actor = nano_actor()
    trace = Trace(PROBLEM, [*actor.prompt(hinted(PROBLEM, 0.5)), actor.given("*7=9\n#9")])
    assert trace.text == WHOLE
    assert trace.length == 8
    assert CHAIN.verify(PROBLEM, trace) == {"correct": 1.0, "format": 1.0, "steps": 1.0}
    batch = actor.collate([trace], torch.tensor([0]), ())
    assert actor.decode(batch.data["targets"].tolist()) == "*7=9\n#9"


def test_only_groups_that_failed_are_given_a_hint():
    easy = Group(Problem("easy", "5+4*7?", "3", ("5+4=9", "9*7=3", "#3"), {"difficulty": 2, "expression": "5+4*7"}))
    actor = ScriptedActor(lambda text, rng: "5+4=9\n9*7=3\n#3" if text[0] == "5" else completing(text, rng))
    ctx = context(actor)
    groups = [easy, Group(PROBLEM)]
    ladder = [s for s in recipe("ghpo").collect if isinstance(s, (Sample, Verify, When))]
    for stage in ladder:
        groups = stage(groups, ctx)
    assert actor.batches == [16, 8, 8]  # a quarter helps nobody, half helps all
    assert [len(g.traces) for g in groups] == [8, 8]
    assert groups[0] is easy
    assert (groups[0].problem.parent, groups[1].problem.parent) == (None, PROBLEM.key)
    assert {t.text for t in groups[1].traces} == {WHOLE}
    assert all(t.solved and t.problem is groups[1].problem for t in groups[1].traces)
    assert [(s.text, s.trainable) for s in groups[1].traces[0].segments] == [
        ("3+4*7?", False),
        ("3+4=7\n7", False),
        ("*7=9\n#9", True),
    ]
    cost = ctx.cost.as_dict()
    assert cost["traces"] == cost["verifier_calls"] == 32
    assert cost["generated_tokens"] == 8 * (14 + 1) + 8 * 1 + 8 * 7
    assert cost["prompt_tokens"] == 8 * (6 + 6) + 8 * (6 + 3) + 8 * (6 + 7)
    told = ctx.metrics.take()
    assert (told["hints/0.25"], told["hints/0.5"]) == (1, 1)
    assert "hints/0.75" not in told


def test_a_group_that_no_hint_helps_keeps_the_longest():
    ctx = context(ScriptedActor(lambda text, rng: "?"))
    groups = [Group(PROBLEM)]
    for stage in recipe("ghpo").collect:
        groups = stage(groups, ctx)
    assert groups[0].problem.prompt[-1]["content"] == WHOLE[:10]
    assert [t.actions[0].cols["adv"].tolist() for t in groups[0].traces] == [[0.0]] * 8


def test_hinted_answers_are_drawn_as_the_stage_says():
    """The temperature of hinted rollouts is that of the bare ones."""
    ctx = context(ScriptedActor(completing))
    groups = When(all_failed, (Hint(0.5), Sample(2, temperature=0.7), Verify()))([Group(PROBLEM)], ctx)
    assert groups[0].traces[0].actions[0].drawn == Sampling(0.7)


# ---------------------------------------------------------------- prefixes


def test_a_prefix_is_trained_and_drawn_by_nobody():
    """Fourteen characters and, from an actor with tokens, one end: floor(0.5 x 15) = 7 of them."""
    actor = nano_actor(max_tokens=5)
    ctx = context(actor, name="prefix-rft")
    (g,) = Prefix(0.5, 0.5)([Group(PROBLEM)], ctx)
    (t,) = g.traces
    asked, begun, drawn = t.segments
    assert (begun.text, begun.trainable, begun.logp, begun.role) == ("3+4=7\n7", True, None, "assistant")
    assert torch.equal(begun.atoms, actor.given(WHOLE).atoms[:7])
    assert t.text == begun.text + drawn.text
    assert drawn.by == "policy@0"
    assert t.end == ("length" if len(drawn) == 5 else "stop")
    assert asked.trainable is False
    batch = actor.collate([t], torch.tensor([0]), ("logp_old",))
    assert batch.cols["logp_old"].isnan().tolist() == [True] * 7 + [False] * len(drawn)
    assert ctx.cost.prompt_tokens == len(asked) + 7


def test_lengths_of_prefixes_are_uniform_and_leave_something_to_say():
    ctx = context(ScriptedActor(lambda text, rng: "x"), name="prefix-rft")
    (g,) = Prefix(0.0, 0.95, n=400)([Group(PROBLEM)], ctx)
    lengths = torch.tensor([sum(len(s) for s in t.actions[:-1]) for t in g.traces])
    assert lengths.unique().tolist() == list(range(14))  # floor(0.95 x 14) = 13
    assert float(lengths.float().mean()) == pytest.approx(0.475 * 14 - 0.5, abs=0.5)
    assert [len(t.segments) for t in g.traces if not t.text.startswith("3")] == [2] * int((lengths == 0).sum())
    again = Prefix(0.0, 0.95, n=400)([Group(PROBLEM)], context(ScriptedActor(lambda text, rng: "x")))[0]
    assert [t.text for t in again.traces] == [t.text for t in g.traces]


def test_a_prefix_leaves_room_in_the_context():
    long = Problem("long", "a" * 50, "b", ("b" * 40,))
    ctx = context(nano_actor(), name="prefix-rft")
    (t,) = Prefix()([Group(long)], ctx)[0].traces
    assert [len(s) for s in t.segments] == [52, 11, 1]  # 64 atoms


def test_shares_that_make_no_range_are_refused():
    with pytest.raises(SharpenError, match=r"Prefix: low is 0\.5, and must be from 0 to `high`"):
        Prefix(0.5, 0.4)
    with pytest.raises(SharpenError, match="Prefix: high is 1"):
        Prefix(0.5, 1.0)


def test_the_shortest_prefix_falls_along_a_cosine():
    c = Cosine(0.95, 0.05)
    assert [round(c(p), 4) for p in (-1, 0, 0.25, 0.5, 0.75, 1, 2)] == [0.95, 0.95, 0.8182, 0.5, 0.1818, 0.05, 0.05]
    ctx = context(ScriptedActor(lambda text, rng: "x"), name="prefix-rft")
    vary = next(s for s in recipe("prefix-rft").collect if isinstance(s, Vary))
    for ctx.step, low in ((0, 0.95), (2, 0.5), (4, 0.05)):
        vary([Group(PROBLEM)], ctx)
        assert ctx.metrics.take()["vary/Prefix.low"] == pytest.approx(low)


# ---------------------------------------------------------------- what is learnt of a prefix


def piece(entropies, drawn=False):
    n = len(entropies)
    s = Segment(torch.arange(n), True, role="assistant")
    s.put("entropy", torch.tensor(entropies))
    s.logp = torch.zeros(n) if drawn else None
    return s


def test_top_entropy_by_hand():
    """Ten given atoms in two traces; floor(0.8 x 10) = 8 are left out, and of the equal ones the earlier."""
    one, two = piece([0.1, 0.9, 0.3, 0.3, 0.2]), piece([0.5, 0.0, 0.4, 0.9, 0.9])
    own, context_ = piece([0.0, 0.7], drawn=True), Segment(torch.arange(3))
    groups = [Group(PROBLEM, [Trace(PROBLEM, [context_, one, own]), Trace(PROBLEM, [two])])]
    ctx = context(None)
    TopEntropy()(groups, ctx)
    assert one.cols["learn"].tolist() == [0, 0, 0, 0, 0]
    assert two.cols["learn"].tolist() == [0, 0, 0, 1, 1]
    assert own.cols["learn"].tolist() == [1, 1]
    assert "learn" not in context_.cols
    assert ctx.metrics.take()["prefix/learnt"] == pytest.approx(0.2)
    TopEntropy(1.0)(groups, ctx)
    assert one.cols["learn"].tolist() == [1] * 5
    TopEntropy()([Group(PROBLEM, [Trace(PROBLEM, [own])])], ctx)
    assert own.cols["learn"].tolist() == [1, 1]


def test_atoms_that_are_not_learnt_get_no_gradient():
    """Two traces, advantages 1 and -1, ratios 1: -A / (2 x 10) where `learn` is 1, nothing elsewhere."""
    cols = {
        "logp_old": torch.full((5,), -1.0),
        "adv": torch.tensor([1.0, 1, 1, -1, -1]),
        "learn": torch.tensor([0.0, 1, 1, 0, 1]),
    }
    cols["logp_old"][0] = float("nan")  # what is left out need not even be known
    trace = torch.tensor([0, 0, 0, 1, 1])
    batch = Batch([None, None], cols, trace, trace, torch.zeros(2, dtype=torch.long), {})
    logp = torch.full((5,), -1.0, requires_grad=True)
    term = replace(recipe("prefix-rft").updates[0].terms[0], horizon=10)
    (numerator(term, Scored(logp), batch) / count(term, batch)).backward()
    torch.testing.assert_close(logp.grad, torch.tensor([0, -0.05, -0.05, 0, 0.05]))


def test_annotating_what_is_missing_leaves_the_rest_alone():
    actor = nano_actor(max_tokens=5)
    ctx = context(actor, name="prefix-rft")
    groups = [Group(PROBLEM)]
    for stage in (Sample(2), Prefix(0.5, 0.5)):
        groups = stage(groups, ctx)
    mine = [s for t in groups[0].traces for s in t.actions if s.logp is not None]
    before = [s.cols["logp_old"] for s in mine]
    Annotate("policy", "logp", "logp_old", missing=True)(groups, ctx)
    Annotate("policy", "entropy", "entropy", missing=True)(groups, ctx)
    assert all(a is s.cols["logp_old"] for a, s in zip(before, mine, strict=True))
    hybrid = groups[0].traces[2]
    assert ctx.cost.scored_tokens == 2 * hybrid.length
    begun = hybrid.actions[0]
    with torch.no_grad():
        logits = actor.module(input_ids=torch.cat([s.atoms for s in hybrid.segments])[None]).logits[0]
    start = len(hybrid.segments[0])
    logs = logits[start - 1 : start + 6].log_softmax(-1)
    want = logs.gather(-1, begun.atoms[:, None]).squeeze(-1)
    torch.testing.assert_close(begun.cols["logp_old"], want, atol=1e-5, rtol=0)
    torch.testing.assert_close(begun.cols["entropy"], -(logs.exp() * logs).sum(-1), atol=1e-4, rtol=0)


def test_a_prefix_nobody_scored_is_refused_by_a_ratio():
    actor = nano_actor(max_tokens=4)
    (g,) = Prefix(0.5, 0.5)([Group(PROBLEM)], context(actor, name="prefix-rft"))
    batch = actor.collate(g.traces, torch.tensor([0]), ("logp_old",))
    batch.cols["adv"] = torch.ones(len(batch))
    with pytest.raises(SharpenError, match="behaviour log-prob is unknown"):
        PPOClip()(actor.score(batch), batch)
