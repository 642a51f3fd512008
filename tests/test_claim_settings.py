"""What the settings of claims are made of: arms without a part, tasks of two tiers, what is watched."""

from __future__ import annotations

import random
from collections import Counter

import torch

from corridor import Corridor
from sharpen.actor.scripted import ScriptedActor
from sharpen.claims import claim
from sharpen.claims.catalogue.agents import Shared
from sharpen.claims.tasks import ProvenChain, SeldomLong, TwoTiers
from sharpen.credit.peers import GroupNorm
from sharpen.ctx import Ctx
from sharpen.recipes import recipe
from sharpen.task.chain import Chain
from sharpen.types import Group, Problem, Segment, Trace

PROBLEM = Problem("p", "2<")


def said(text, trainable, reward=0.0):
    atoms = torch.tensor([ord(c) for c in text])
    role = "assistant" if trainable else "user"
    return Segment(atoms, trainable, role=role, text=text, reward=reward, by="policy@0")


def walk(*turns, reward):
    """An episode of (what was seen, what was said); its last turn earns the reward."""
    segments = [x for seen, word in turns for x in (said(seen, False), said(word, True))]
    segments[-1].reward = reward
    return Trace(PROBLEM, segments, reward=reward)


def episodes():
    """Two wins and two failures: `2<` is met four times and again once, `1<` twice, `3<` once."""
    return [
        Group(
            PROBLEM,
            [
                walk(("2<", "l"), ("1<", "l"), reward=1.0),
                walk(("2<", "r"), ("3<", "l"), ("2<", "l"), reward=0.0),
                walk(("2<", "l"), ("1<", "l"), reward=1.0),
                walk(("2<", "ab"), reward=0.0),
            ],
        ),
        Group(PROBLEM, [walk(("3<", "l"), reward=1.0)]),
    ]


def context():
    return Ctx(recipe("sft"), Corridor(), {"policy": ScriptedActor(lambda c, r: "l")})


def credit(arm):
    """The credit that an arm of the claim about GiGPO gives the turns of those episodes, on each of their tokens."""
    groups, ctx = episodes(), context()
    for stage in claim("gigpo-above-grpo").arm(arm).method.collect:
        if type(stage).__name__ in ("GroupNorm", "TurnReturn"):
            groups = stage(groups, ctx)
    return [[s.cols["adv"].tolist() for s in t.actions] for t in groups[0].traces]


def test_without_turns_every_token_has_the_credit_of_its_episode():
    """Two of four won: 0.5 for those that did, -0.5 for the others, whatever the turn."""
    won, lost = [0.5], [-0.5]
    assert credit("grpo") == [[won, won], [lost, lost, lost], [won, won], [[-0.5, -0.5]]]
    groups = GroupNorm(scale="none")(episodes(), context())
    assert credit("grpo") == [[s.cols["adv"].tolist() for s in t.actions] for t in groups[0].traces]


def test_with_turns_the_same_episode_has_unlike_ones():
    """At `2<` returns are 0.95, 0, 0, 0.95, 0 (mean 0.38); at `1<` 1 and 1; `3<` is met once in its group."""
    high, low = 0.5 + 0.95 - 0.38, -0.5 - 0.38
    want = [[high, 0.5], [low, -0.5, low], [high, 0.5], [low]]
    for got, turns in zip(credit("gigpo"), want, strict=True):
        assert torch.allclose(torch.tensor([x[0] for x in got]), torch.tensor(turns))


def test_the_share_of_turns_with_peers():
    """Of nine turns seven have one: five at `2<` and two at `1<`; `3<` is met once in either group."""
    ctx, groups = context(), episodes()
    assert Shared()(groups, ctx) is groups
    assert ctx.metrics.take() == {"shared": 7 / 9}
    assert Shared()([Group(PROBLEM, [])], ctx)[0].traces == []
    assert ctx.metrics.take() == {}


def test_arms_of_a_claim_differ_in_what_is_claimed_alone():
    def parts(name, arm):
        return Counter(type(s).__name__ for s in claim(name).arm(arm).method.collect)

    assert parts("gigpo-above-grpo", "gigpo") - parts("gigpo-above-grpo", "grpo") == {"TurnReturn": 1, "GroupNorm": 1}
    assert parts("hints-rescue", "ghpo") - parts("hints-rescue", "grpo") == {"When": 3}
    for name, one in (("gigpo-above-grpo", "gigpo"), ("hints-rescue", "ghpo")):
        a, b = claim(name).arm(one).method, claim(name).arm("grpo").method
        assert (a.updates, a.loop, a.source, a.actors) == (b.updates, b.loop, b.source, b.actors)
        assert not parts(name, "grpo") - parts(name, one)


def test_two_tiers_are_trained_on_and_both_held_out():
    task = TwoTiers(low=1, high=2, harder_low=4, harder_high=5)
    rng = random.Random(0)
    drawn = [task.draw("train", rng) for _ in range(2000)]
    sizes = Counter(p.info["category"] for p in drawn)
    assert sorted(sizes) == [1, 2, 4, 5]
    assert abs(sizes[4] + sizes[5] - 1000) < 5 * 500**0.5  # five standard deviations of 2000 fair coins
    assert not any(task.held_out(p) for p in drawn)
    assert {task.split_of(p) for p in drawn} == {"train"}
    for split, low in (("test", 1), ("harder", 4)):
        fixed = task.fixed(split, 40)
        assert {p.info["category"] for p in fixed} == {low, low + 1}
        assert {task.split_of(p) for p in fixed} == {split}
        assert all(task.held_out(p) for p in fixed)
        other = ProvenChain(low=1, high=2, harder_low=4, harder_high=5)
        assert [p.key for p in fixed] == [p.key for p in other.fixed(split, 40)]


def test_long_lessons_are_seldom():
    """Sizes 1 to 4 are 8, 4, 2 and 1 of 15 lessons; a base made with them is not taken for one of `chain`."""
    task, plain = (kind(low=1, high=3, harder_low=4, harder_high=4) for kind in (SeldomLong, Chain))
    rng = random.Random(0)
    sizes = Counter(task.lesson(rng)[0].info["category"] for _ in range(6000))
    for size, share in ((1, 8 / 15), (2, 4 / 15), (3, 2 / 15), (4, 1 / 15)):
        assert abs(sizes[size] / 6000 - share) < 0.03
    assert task.identity() == {**plain.identity(), "name": "seldom-long"}
