"""Verdicts as text, who is trained on them and when, and credit that is blended and balanced."""

import math
from dataclasses import replace

import pytest
import torch

from digits import DIGITS, judges
from rows.players import TANGO
from sharpen.actor.scripted import ScriptedActor
from sharpen.credit.balance import Blend, ClassBalance
from sharpen.credit.peers import GroupNorm
from sharpen.ctx import Ctx
from sharpen.errors import SharpenError
from sharpen.recipe import Recipe, check, updates_of
from sharpen.recipes import recipe
from sharpen.rollout.combinators import By
from sharpen.rollout.edit import Split
from sharpen.rollout.verdicts import ASK, Rehearse, Verdicts, signs
from sharpen.types import Group, Problem, Segment, Trace
from toy import Copy, weights_equal

TOGETHER = recipe("tango").recipes[2]


@pytest.mark.parametrize(
    ("text", "steps", "said"),
    [
        ("++-", 2, (1, 1, -1)),
        (" + -\n-\n", 2, (1, -1, -1)),
        ("-", 0, (-1,)),
        ("++", 2, None),
        ("++--", 2, None),
        ("+1-", 2, None),
        ("1+1", 2, None),
        ("", 0, None),
    ],
)
def test_a_verdict_is_a_sign_a_step_and_one_for_the_whole(text, steps, said):
    assert signs(text, steps) == said


# ---------------------------------------------------------------- asking


def solution(*lines, solved, prompt="7?"):
    steps = [
        Segment(torch.tensor([ord(c) for c in x]), True, role="assistant", text=x, by="policy@0")
        for x in [*(f"{line}\n" for line in lines[:-1]), lines[-1]]
    ]
    problem = Problem("copy:7", prompt, "7")
    return Trace(problem, [Segment(torch.tensor([1])), *steps], solved=solved, reward=float(solved))


def asked(said, r=TOGETHER):
    """A context whose verifier says the next of some texts to each question, and the questions it saw."""
    texts, seen = iter(said), []

    def script(text, rng):
        seen.append(text)
        return next(texts)

    return Ctx(r, Copy(), {"policy": ScriptedActor(lambda c, r: "7"), "verifier": ScriptedActor(script)}), seen


def test_verdicts_reward_the_judge_by_the_outcome_and_mark_the_steps():
    right, wrong = solution("a", "bc", solved=True), solution("d", solved=False)
    groups = [Group(right.problem, [right, wrong])]
    ctx, seen = asked(["+++", "+-+", "no", "--", "+-", "-+", "", "--"])
    out = Verdicts(4, format=0.5)(groups, ctx)
    assert seen == [f"7?\na\nbc\n{ASK}"] * 4 + [f"7?\nd\n{ASK}"] * 4
    assert out[0] is groups[0]
    one, two = out[1:]
    # of the right solution's verdicts two are in the form, (+++) and (+-+); of the wrong one's three
    assert [s.cols["verdict"].tolist() for s in right.actions] == [[1.0, 1.0], [0.0, 0.0]]
    assert [s.cols["verdict"].tolist() for s in wrong.actions] == [[pytest.approx(-1 / 3)]]
    assert [t.rewards for t in one.traces] == [{"agrees": 1.0, "formed": 1.0}] * 2 + [
        {"agrees": 0.0, "formed": 0.0}
    ] * 2
    assert [t.reward for t in two.traces] == [1.5, 0.5, 0.0, 1.5]
    for g, judged, k in ((one, right, 2), (two, wrong, 1)):
        assert {(t.agent, t.solved) for t in g.traces} == {("verifier", None)}
        assert (g.problem.parent, dict(g.problem.info)) == ("copy:7", {"right": judged.solved, "steps": k})
        assert all(t.problem is g.problem for t in g.traces)
    logged = ctx.metrics.take()
    assert logged["verdict/agrees"] == 0.5
    assert logged["verdict/formed"] == 5 / 8
    assert (logged["verdict/agrees_on_right"], logged["verdict/agrees_on_wrong"]) == (0.5, 0.5)
    assert ctx.cost.generated_tokens == 16


def test_a_conversation_is_asked_about_as_text_and_steps_without_a_verdict_count_nothing():
    t = solution(
        "a", solved=False, prompt=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "7?"}]
    )
    ctx, seen = asked(["x"])
    Verdicts(1, ask="right?")([Group(t.problem, [t])], ctx)
    assert seen == ["Be brief.\n7?\na\nright?"]
    assert t.actions[0].cols["verdict"].tolist() == [0.0]


def test_verdicts_want_steps_and_a_temperature():
    with pytest.raises(
        SharpenError, match=r"Verdicts reads .steps., and no part before it writes that\. Put one of Split"
    ):
        replace(TOGETHER, collect=tuple(s for s in TOGETHER.collect if not isinstance(s, Split)))
    with pytest.raises(SharpenError, match="temperature"):
        Verdicts(temperature=0.0)
    check(TOGETHER, Copy())


def test_only_verdicts_out_of_form_are_rehearsed_with_signs_that_tell_nothing():
    t = solution("a", "b", solved=True)
    ctx, _ = asked(["+++", "+", *["+-"] * 200])
    groups = Verdicts(202)([Group(t.problem, [t])], ctx)
    out = By("verifier", (Rehearse(),))(groups, ctx)
    new = [t for g in out[2:] for t in g.traces]
    assert len(new) == 201
    assert {t.agent for t in new} == {"form"}
    for n in new:
        assert n.text == n.actions[0].text
        assert len(signs(n.text, 2)) == 3
        assert n.segments[0].text == f"7?\na\nb\n{ASK}"
        assert n.actions[0].by == "data"
    for k in range(3):
        assert 70 < sum(n.text[k] == "+" for n in new) < 131
    ctx, _ = asked(["+++"])
    groups = Verdicts(1)([Group(t.problem, [t])], ctx)
    assert By("verifier", (Rehearse(),))(groups, ctx) == groups


# ---------------------------------------------------------------- credit


def test_outcomes_and_steps_are_normalised_apart_and_blended():
    """Two solutions of two steps: the right one's verdicts are + and +, the wrong one's + and -."""
    right, wrong = solution("a", "b", solved=True), solution("c", "d", solved=False)
    ctx, _ = asked(["+++", "+--"])
    groups = Verdicts(1)([Group(right.problem, [right, wrong])], ctx)
    (by,) = (s for s in TOGETHER.collect if isinstance(s, By) and s.agent == "policy")
    by(groups, ctx)
    # outcomes 1, 0: +-1/sqrt(2). Signs 1, 1, 1, -1: mean 1/2, sample deviation 1, so steps 1/2, 1/2, 1/2, -3/2,
    # of its own and later steps: 1, 1/2 | -1, -3/2; at the start of the run each counts a half
    out = [1 / math.sqrt(2)] * 2 + [-1 / math.sqrt(2)] * 2
    want = [(o + s) / 2 for o, s in zip(out, [1.0, 0.5, -1.0, -1.5], strict=True)]
    got = [s.cols["adv"] for t in (right, wrong) for s in t.actions]
    assert [x[0].item() for x in got] == pytest.approx(want, abs=1e-5)
    assert all(len(set(x.tolist())) == 1 for x in got)
    assert not any("adv" in s.cols for g in groups[1:] for t in g.traces for s in t.actions)


def test_the_share_of_steps_decays():
    ctx, _ = asked(["++-"] * 2)
    shares = []
    for step in (0, 50, 100):
        ctx.step = step
        t = solution("a", "b", solved=True)
        for s in t.actions:
            s.put("adv", 1.0)
            s.put("step", 3.0)
        vary = next(s for s in TOGETHER.collect if isinstance(s, By)).stages[3]
        vary([Group(t.problem, [t])], ctx)
        shares.append((t.actions[0].cols["adv"][0].item() - 1) / 2)
    assert shares == pytest.approx([0.5, 0.5 * math.exp(-1.5), 0.5 * math.exp(-3)], abs=1e-6)
    with pytest.raises(SharpenError, match="share"):
        Blend(1.5)


def verdicts(right, wrong):
    """Groups of verdicts on right and wrong solutions, each with the credit 1."""
    out = []
    for fact, n in ((True, right), (False, wrong)):
        p = Problem("x", "x", info={"right": fact})
        traces = [Trace(p, [Segment(torch.tensor([1, 2]), True)], agent="verifier") for _ in range(n)]
        for t in traces:
            t.actions[0].put("adv", 1.0)
        out.append(Group(p, traces))
    return out


def test_class_balance_weighs_classes_by_the_root_of_their_number_smoothly():
    part = ClassBalance(memory=0.75)
    r = replace(TOGETHER, collect=(*TOGETHER.collect[:-1], By("verifier", (GroupNorm(), part))))
    ctx, _ = asked([], r)

    def factors(right, wrong):
        groups = part(verdicts(right, wrong), ctx)
        return [t.actions[0].cols["adv"].tolist() for g in groups for t in g.traces]

    # N = 5: 5 / (1 + 2) is shared out as 5/3 and 5/6, a mean of 1
    assert factors(1, 4) == [pytest.approx([5 / 3] * 2)] + [pytest.approx([5 / 6] * 2)] * 4
    # equal numbers give 1 and 1, and a quarter of that counts
    assert factors(2, 2)[1:3] == [pytest.approx([1.5] * 2), pytest.approx([0.875] * 2)]
    # a class alone has factor 1; the other keeps what it had
    assert factors(3, 0) == [pytest.approx([0.75 * 1.5 + 0.25] * 2)] * 3
    assert ctx.state(part)["factors"] == pytest.approx({True: 1.375, False: 0.875})
    assert part([], ctx) == []
    with pytest.raises(SharpenError, match="memory"):
        ClassBalance(memory=1.0)


# ---------------------------------------------------------------- the program


def test_who_is_trained_when():
    sizes = ({"iterations": 1, "problems": 4}, {"iterations": 1, "problems": 4}, {"iterations": 4, "problems": 4})
    parts = tuple(replace(r, loop=replace(r.loop, **k)) for r, k in zip(TANGO.recipes, sizes, strict=True))
    trainer = DIGITS.trainer(replace(TANGO, recipes=parts))
    changed = []
    while not trainer.done:
        before = [{n: w.clone() for n, w in trainer.ctx.actors[a].weights().items()} for a in ("policy", "verifier")]
        trainer.step()
        changed.append(
            [
                not weights_equal(b, trainer.ctx.actors[a].weights())
                for a, b in zip(("policy", "verifier"), before, strict=True)
            ]
        )
    # form and head start: the verifier alone; then the policy each time, and the verifier each third time
    assert changed[1:] == [[False, True], [True, True], [True, False], [True, False], [True, True]]
    assert changed[0][0] is False


def test_each_model_is_trained_on_its_own_traces():
    trainer = DIGITS.trainer(TANGO.recipes[2])
    done = trainer.step()
    generator, verifier = (u.rows(done.groups, trainer.ctx)[0] for u in updates_of(trainer.recipe))
    assert ({t.agent for t in generator}, len(generator)) == ({"policy"}, 64)
    assert ({t.agent for t in verifier}, len(verifier)) == ({"verifier"}, 256)
    assert {s.by for t in verifier for s in t.actions} == {"verifier@0"}
    right = [t for t in generator if t.solved]
    assert done.metrics["solved"] == len(right) / 64  # verdicts do not count as solutions
    assert sum(t.problem.info["right"] for t in verifier) == 4 * len(right)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_verifier_learns_from_outcomes_alone(seed):
    """No label of a step is used, and yet both its last sign and the signs of steps become better."""
    warm: Recipe = replace(TANGO.recipes[1], loop=replace(TANGO.recipes[1].loop, iterations=10))
    trainer = DIGITS.trainer(warm, seed)
    last, steps = judges(trainer.ctx.actors["verifier"])
    assert (0.6 < last < 0.7, 0.75 < steps < 0.82) == (True, True)
    while not trainer.done:
        trainer.step()
    last, _ = judges(trainer.ctx.actors["verifier"])
    assert last > 0.78
