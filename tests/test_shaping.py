"""Where samples go, which are kept, and rewards of length and of confidence, on groups written out by hand."""

import math
from dataclasses import replace

import pytest
import torch

from benches import Padded
from sharpen.actor.scripted import ScriptedActor
from sharpen.credit.peers import GroupNorm
from sharpen.ctx import Ctx
from sharpen.errors import SharpenError
from sharpen.loop import Trainer
from sharpen.loss.policy import Entropy
from sharpen.recipes import recipe
from sharpen.reward.calibration import Brier, calibration, laid_out
from sharpen.reward.length import Brevity
from sharpen.reward.verify import Total, Verify
from sharpen.rollout.balance import Balance, balance
from sharpen.rollout.combinators import Vary, all_solved, any_solved
from sharpen.rollout.sample import Sample
from sharpen.rollout.select import KeepBest, SampleUntil, Thin
from sharpen.run.plan import plan
from sharpen.task.confident import Confident
from sharpen.task.text import said
from sharpen.types import Batch, Group, Problem, Scored, Segment, Trace
from toy import Copy, nano_actor


def context(script=lambda c, r: "7", task=None):
    return Ctx(recipe("dapo"), task or Copy(), {"policy": ScriptedActor(script)})


def problem(digit=7):
    return Problem(f"copy:{digit}", f"{digit}?", str(digit), (str(digit),), {"digit": digit})


def group(*texts, solved=None, rewards=None, ends=None, digit=7):
    """Traces with these texts, a character an atom."""
    g = Group(problem(digit))
    for i, text in enumerate(texts):
        s = Segment(torch.tensor([ord(c) for c in text]), True, role="assistant", text=text, by="policy@0")
        t = Trace(g.problem, [Segment(torch.tensor([1, 2])), s], end=ends[i] if ends else "stop")
        t.solved = bool(solved[i]) if solved else None
        t.reward = float(rewards[i]) if rewards else None
        g.traces.append(t)
    return g


def texts(g):
    return [t.text for t in g.traces]


def credit(g):
    return [float(t.actions[0].cols["adv"][0]) for t in g.traces]


# ---------------------------------------------------------------- sampling until there is a signal


def scripted(**answers):
    """Each problem gives its answers in turn: `scripted(three="33x")`."""
    left = {{"three": "3?", "four": "4?"}[k]: iter(v) for k, v in answers.items()}
    return context(lambda c, r: next(left[c]))


@pytest.mark.parametrize(
    ("needs", "drawn", "rounds", "retired"),
    [
        # rounds of two: 3x retires at once, 4444x needs the third; then it has no rounds left
        ({"positive": 1, "negative": 1}, ["3x", "44444x"], 3, 1.0),
        ({"positive": 1, "negative": 0}, ["3x", "44"], 1, 1.0),
        ({"positive": 2, "negative": 1}, ["3x33", "44444x"], 3, 1.0),
        ({"positive": 2, "negative": 2}, ["3x33xx", "44444x"], 3, 0.5),
    ],
)
def test_groups_are_sampled_until_they_have_both_kinds(needs, drawn, rounds, retired):
    ctx = scripted(three="3x33xx", four="44444x")
    groups = [Group(problem(3)), Group(problem(4))]
    out = SampleUntil((Sample(2), Verify()), rounds=3, **needs)(groups, ctx)
    assert out == groups
    assert ["".join(texts(g)) for g in out] == drawn
    assert ctx.cost.traces == ctx.cost.verifier_calls == sum(map(len, drawn))
    seen = ctx.metrics.take()
    assert (seen["until/rounds"], seen["until/retired"]) == (rounds, retired)


def test_sampling_until_needs_verdicts():
    with pytest.raises(SharpenError, match=r"SampleUntil reads 'solved'.* Verify"):
        replace(recipe("reinforce-ada"), collect=(SampleUntil((Sample(2),)), *recipe("reinforce-ada").collect[1:]))


def slow_thin(right, wrong, n):
    """The counts of the released code, step by step."""
    a = min(n // 2, right)
    b = min(n - a, wrong)
    while a + b < n and a < right:
        a += 1
    while a + b < n and b < wrong:
        b += 1
    return a, b


def test_thinning_keeps_half_of_each_kind_and_fills_with_the_other():
    for n in (1, 2, 3, 4, 7):
        for right in range(7):
            for wrong in range(7):
                verdicts = [1] * right + [0] * wrong
                g = group(*"abcdefghijklm"[: right + wrong], solved=verdicts)
                Thin(n)([g], context())
                a, b = slow_thin(right, wrong, n)
                assert texts(g) == [*"abcdefghijklm"[:a], *"abcdefghijklm"[right : right + b]], (n, right, wrong)


def test_credit_is_against_everything_that_was_drawn():
    """One right answer in five: r - mean is 0.8 and -0.2, whatever is kept."""
    g = group(*"abcde", solved=[0, 0, 1, 0, 0], rewards=[0, 0, 1, 0, 0])
    ctx = context()
    for stage in recipe("reinforce-ada").collect[2:]:
        stage([g], ctx)
    assert texts(g) == ["c", "a", "b", "d"]
    assert credit(g) == pytest.approx([0.8, -0.2, -0.2, -0.2])
    assert ctx.metrics.take()["thin/kept"] == 0.8


# ---------------------------------------------------------------- keeping the best


def test_the_best_above_a_threshold_are_kept_once_each():
    made = {"rewards": [0.5, 1.0, 1.2, 1.0, 2.0, 0.5], "ends": ["stop"] * 4 + ["length", "stop"]}
    for above, kept in ((0.5, ["c", "b"]), (0.4, ["c", "b", "a"]), (1.0, ["c"]), (1.2, [])):
        g = group("a", "b", "c", "b", "d", "a", **made)
        KeepBest(above)([g], context())
        assert texts(g) == kept


@pytest.mark.parametrize(
    ("fill", "kept"), [(0, "321"), (1, "111"), (3, "111"), (4, "221"), (5, "221"), (6, "321"), (9, "321")]
)
def test_no_group_keeps_more_than_it_takes_to_fill_the_round(fill, kept):
    groups = [group(*t, rewards=[1.0] * len(t)) for t in ("abc", "ab", "a")]
    KeepBest(0.0, fill)(groups, context())
    assert "".join(str(len(g.traces)) for g in groups) == kept


def test_selection_asks_for_a_total():
    with pytest.raises(SharpenError, match="has no total reward; put Total before"):
        KeepBest()([group("a")], context())


# ---------------------------------------------------------------- balance


def test_the_balance_score_by_hand():
    """Above 0.5: a, b and c right, d wrong, a again. n = 4, n' = 3, so 3/8 x 3/4."""
    g = group(*"abcdae", solved=[1, 1, 1, 0, 1, 0], rewards=[1, 1, 1, 0.6, 1, 0.2])
    assert balance(g, 0.5) == pytest.approx(3 / 8 * 3 / 4)
    assert balance(g, 0.0) == pytest.approx(3 / 8 * 3 / 5)
    assert balance(g, 0.9) == pytest.approx(3 / 8)
    assert balance(g, 0.9, target=2) == 1.0
    assert balance(g, 1.0) == 0.0


def heated():
    """Right answers to 7 are 7 and dots. Cold: always 7. Warm: four different right ones, one wrong. Hot: all wrong."""
    told = iter(())
    heat = [0.0]

    def script(c, r):
        return next(told)

    actor = ScriptedActor(script)
    inner = actor.sample

    def sample(requests):
        nonlocal told
        heat.append(requests[0].sampling.temperature)
        lists = {0.5: ["7"] * 5, 1.0: ["7", "7.", "7..", "7...", "8"], 1.5: ["8"] * 5}
        told = iter(lists[heat[-1]] * (len(requests) // 5))
        return inner(requests)

    actor.sample = sample
    ctx = Ctx(recipe("b-star"), Padded(), {"policy": actor})
    return ctx, heat


def test_balance_turns_both_knobs_to_the_best_pair_of_a_probe():
    """Of warm answers all but one are right: 4/8 x 4/5 without a threshold, 4/8 above 0 or 0.5; cold ones score 1/8."""
    ctx, heat = heated()
    probe = (Vary(Sample(5), "temperature", "T"), Verify(), Total())
    part = Balance(probe, temperatures=(0.5, 1.0, 1.5), thresholds=(-1.0, 0.0, 0.5), problems=2)
    groups = [Group(problem()) for _ in range(3)]
    assert part(groups, ctx) == groups
    assert all(g.traces == [] for g in groups)
    assert ctx.knobs == {"T": 1.0, "threshold": 0.5}  # the strictest of equals
    assert heat[1:] == [0.5, 1.0, 1.5]
    assert ctx.cost.traces == 30
    assert ctx.metrics.take() == {"balance/T": 1.0, "balance/threshold": 0.5, "balance/score": 0.5}


def test_the_round_is_sampled_and_selected_as_the_knobs_say():
    ctx, heat = heated()
    ctx.knobs = {"T": 1.0, "threshold": 0.5}
    groups = [Group(problem())]
    for stage in (Vary(Sample(5), "temperature", "T"), *recipe("b-star").collect[2:]):
        groups = stage(groups, ctx)
    assert heat[1:] == [1.0]
    assert texts(groups[0]) == ["7", "7.", "7..", "7..."]


def test_a_probe_must_be_judged():
    with pytest.raises(SharpenError, match="Balance reads 'reward'"):
        replace(recipe("b-star"), collect=(Balance((Sample(2), Verify())), *recipe("b-star").collect[1:]))


def test_plans_count_what_is_drawn_and_what_is_trained_on():
    """4 rounds of 8 answers to 32 problems, 4 of them kept; 15 probes of 64 problems x 16 beside 256 x 16."""

    def bounds(name):
        (found,) = plan(Trainer(recipe(name), Copy(), nano_actor(max_tokens=4)))
        return found.traces, found.generated, found.updates[0]["rows"]

    assert bounds("reinforce-ada") == (128, 32 * 32 * 4, 128)
    assert bounds("b-star") == (4096, (15 * 64 * 16 + 4096) * 4, 4096)
    assert bounds("dapo") == (512, 512 * 8 * 4, 512)


# ---------------------------------------------------------------- length


def test_predicates_of_groups():
    assert [f(group(*"ab", solved=v)) for f in (any_solved, all_solved) for v in ([1, 1], [1, 0], [0, 0])] == [
        *(True, True, False),
        *(True, False, False),
    ]
    assert not all_solved(Group(problem()))


def test_length_counts_only_in_groups_that_are_all_right():
    ctx = context()
    ctx.actors["policy"] = nano_actor(max_tokens=10)
    groups = [group("7", "77777", solved=[1, 1]), group("7", "77777", solved=[1, 0])]
    Brevity()(groups, ctx)
    assert [t.rewards["brevity"] for g in groups for t in g.traces] == pytest.approx([0.9, 0.5, 0, 0])
    assert ctx.metrics.take()["brevity/all_solved"] == 0.5
    Brevity(any_solved)(groups, ctx)
    assert [t.rewards["brevity"] for g in groups for t in g.traces] == pytest.approx([0.9, 0.5, 0.9, 0.5])


@pytest.mark.parametrize("lam", [0.01, 0.5, 5.0])
def test_divided_by_the_deviation_the_weight_of_brevity_does_not_matter(lam):
    """Lengths 1, 2 and 6 of 10: (3 - n) / sqrt(7) in a group that is all right; elsewhere the verdict alone counts."""
    ctx = context()
    ctx.actors["policy"] = nano_actor(max_tokens=10)
    groups = [group("7", "77", "777777", solved=[1, 1, 1]), group("7", "77", "8", solved=[1, 1, 0])]
    for stage in (Brevity(), Total({"main": 1.0, "brevity": lam}), GroupNorm()):
        for g in groups:
            for t in g.traces:
                t.rewards["correct"] = float(t.solved)
        stage(groups, ctx)
    assert credit(groups[0]) == pytest.approx([2 / math.sqrt(7), 1 / math.sqrt(7), -3 / math.sqrt(7)], abs=1e-3)
    assert credit(groups[1]) == pytest.approx([1 / math.sqrt(3), 1 / math.sqrt(3), -2 / math.sqrt(3)], abs=1e-4)


def test_a_positive_weight_of_the_entropy_term_rewards_entropy():
    h = torch.tensor([0.5, 1.5], requires_grad=True)
    logp = torch.zeros(2, requires_grad=True)
    ids = torch.zeros(2, dtype=torch.long)
    value = Entropy()(Scored(logp, {"entropy": h}), Batch([None], {}, ids, ids, ids[:1], {}))
    value.sum().backward()
    assert value.tolist() == [-0.5, -1.5]
    assert h.grad.tolist() == [-1.0, -1.0]
    assert logp.grad is None


# ---------------------------------------------------------------- stated confidence

SAID = ["7\n?9", "7\n?6", "7\n?0", "8\n?9", "8\n?3", "8\n?0", "7", "?9", "8\n?10"]


@pytest.fixture
def confident():
    ctx = context(task=Confident(Copy()))
    g = group(*SAID)
    Verify()([g], ctx)
    Brier()([g], ctx)
    return ctx, g


def test_brier_rewards_by_hand(confident):
    ctx, g = confident
    want = [1, 1 - (1 / 3) ** 2, 0, 0, 1 - (1 / 3) ** 2, 1, 0, 0, 0]
    assert [t.rewards["brier"] for t in g.traces] == pytest.approx(want)
    seen = ctx.metrics.take()
    assert seen["confidence"] == pytest.approx((9 + 6 + 0 + 9 + 3 + 0 + 9) / 9 / 7)
    assert seen["reward/brier"] == pytest.approx(sum(want) / 9)


def test_the_total_of_rlcr_by_hand(confident):
    """0.5 for the layout, 0.5 for a right answer, 0.5 (1 - (q - c)^2); nothing at all without the layout."""
    ctx, g = confident
    recipe("rlcr").collect[3]([g], ctx)
    want = [1.5, 1.5 - 0.5 / 9, 1.0, 0.5, 1.0 - 0.5 / 9, 1.0, 0, 0, 0]
    assert [t.reward for t in g.traces] == pytest.approx(want)
    assert laid_out({"layout": 0.0, "correct": 1.0}, {"correct": 1.0}) == 0.0


def test_a_task_without_confidence_is_refused_by_name():
    from sharpen.recipe import check

    with pytest.raises(SharpenError, match="Brier needs 'confidence' of the task, and task 'copy' gives only answer"):
        check(recipe("rlcr"), Copy())
    check(recipe("rlcr"), Confident(Copy()))


def test_calibration_by_hand():
    """Stated 1 (right), 1 (wrong) and 0 (wrong), and one that states nothing."""
    traces = [said(problem(), text) for text in ("7\n?9", "8\n?9", "8\n?0", "7")]
    for t, right in zip(traces, (True, False, False, True), strict=True):
        t.solved = right
    found = calibration(traces)
    assert found == {
        "stated": 0.75,
        "accuracy": pytest.approx(1 / 3),
        "confidence": pytest.approx(2 / 3),
        "ece": pytest.approx(1 / 3),
        "brier": pytest.approx(1 / 3),
        "auroc": 0.75,
    }
    for t in traces:
        t.rewards["self"] = 0.25
    assert calibration(traces, lambda t: t.rewards["self"])["ece"] == 0.25
    assert math.isnan(calibration(traces[:1])["auroc"])
    nothing = calibration(traces[3:])
    assert nothing.pop("stated") == 0.0
    assert all(map(math.isnan, nothing.values()))
    assert math.isnan(calibration([])["stated"])
