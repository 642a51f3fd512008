"""What became of each problem, and changes told from it."""

from __future__ import annotations

import math

import pytest

from measured import measured
from sharpen.actor.scripted import ScriptedActor
from sharpen.errors import SharpenError
from sharpen.evaluate import evaluate
from sharpen.evaluation import Evaluation, Interval, Move, moved, paired
from sharpen.evaluation import comparisons as read
from sharpen.outcomes import Outcomes, told
from sharpen.run.verdict import room, verdict
from sharpen.task.confident import Confident
from toy import Copy


def test_measures_of_each_problem():
    o = Outcomes((0, 1, 4), greedy=(False, True, True), majority=(False, False, True))
    assert o.values("accuracy", 4) == [0.0, 0.25, 1.0]
    assert o.values("pass@1", 4) == [0.0, 0.25, 1.0]
    assert o.values("pass@2", 4) == [0.0, 0.5, 1.0]  # 1 - C(3, 2) / C(4, 2)
    assert o.values("greedy", 4) == [0.0, 1.0, 1.0]
    assert o.values("maj@4", 4) == [0.0, 0.0, 1.0]
    assert o.values("pass@8", 4) is None
    assert o.values("maj@2", 4) is None
    assert Outcomes((1, 2)).values("greedy", 4) is None


def test_what_answers_state_is_counted():
    fields = told([[1.0, 0.5], [None, 1.0], [None, None]], [[True, False], [True, False], [False, False]])
    assert fields == {"stated": ((0.5, 1, 0), (1.0, 2, 1)), "silent": 3, "brier": (0.125, 1.0, None)}
    assert told([[None], [None]], [[True], [False]]) == {}


def test_outcomes_as_plain_data():
    o = Outcomes((1, 0), (True, False), (3, 4), (True, False), ((0.5, 8, 1),), 0, (0.25, None))
    plain = {
        "right": [1, 0],
        "greedy": [1, 0],
        "votes": [3, 4],
        "majority": [1, 0],
        "stated": [[0.5, 8, 1]],
        "silent": 0,
        "brier": [0.25, None],
    }
    assert o.to_plain() == plain
    assert Outcomes.from_plain(plain) == o
    assert Outcomes((2,)).to_plain() == {"right": [2]}
    e = measured([0, 4])
    assert e.to_plain()["outcomes"] == {"right": [0, 4], "greedy": [0, 1]}
    assert Evaluation.from_plain(e.to_plain()) == e


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Outcomes((1, 2), greedy=(True,)), "1 entries of 'greedy' for 2 problems"),
        (lambda: Outcomes((1,), stated=((1.5, 1, 1),)), "a confidence outside 0 to 1"),
        (lambda: Outcomes((1,), stated=((0.5, 1, 2),)), "more right answers than answers"),
        (
            lambda: Evaluation(1, 4, Interval(0, 0, 0), outcomes=Outcomes((5,))),
            "of each of 1 problems how many of 4 answers were right",
        ),
        (
            lambda: Evaluation(3, 4, Interval(0, 0, 0), outcomes=Outcomes((1, 2))),
            "of each of 3 problems how many of 4 answers were right",
        ),
    ],
)
def test_outcomes_that_cannot_be_are_refused(make, said: str):
    with pytest.raises(SharpenError) as e:
        make()
    assert said in str(e.value)


def test_a_change_is_called_from_its_interval_and_six_problems():
    # six rose by 1 and two fell by 1: mean 1/2, s = sqrt((6 / 4 + 2 * 9 / 4) / 7) = 0.92582, t(7) = 2.364624
    move = paired([0.0] * 6 + [1.0] * 2, [1.0] * 6 + [0.0] * 2)
    half = 2.364624 * math.sqrt(6 / 7) / math.sqrt(8)
    assert move.by == pytest.approx((0.5 - half, 0.5, 0.5 + half), abs=1e-6)
    assert (move.change, move.problems) == ("unclear", 8)
    # every problem by the same: the interval is a point; five that all rose happen by chance (6 %), six do not (3 %)
    assert paired([0.0] * 5, [0.5] * 5) == Move("unclear", Interval(0.5, 0.5, 0.5), 5)
    assert paired([0.0] * 6, [0.5] * 6) == Move("up", Interval(0.5, 0.5, 0.5), 6)
    assert paired([0.5] * 6, [0.0] * 6).change == "down"
    assert paired([0.0], [1.0]) == Move("unclear", None, 1)


def test_the_same_problems_show_what_two_intervals_hide():
    # shares differ widely between problems and little within one
    before = measured([0, 1, 2, 3] * 6)
    after = measured([1, 2, 3, 4] * 6)
    assert moved(before, after, "accuracy") == Move("up", Interval(0.25, 0.25, 0.25), 24)
    assert moved(before, after, "pass@2").change == "up"
    assert moved(before, after, "maj@4") is None
    old = [measured([0, 1, 2, 3] * 6, outcomes=False), measured([1, 2, 3, 4] * 6, outcomes=False)]
    assert moved(*old, "accuracy") == Move("up")  # these intervals are narrow
    assert moved(*old, "pass@2") is None
    assert moved(before, measured([4] * 3), "accuracy") == Move("up")  # other problems: by the intervals


def test_room_for_new_skill_is_enough_unsolved_problems():
    assert room(measured([0] * 6 + [4] * 94), 4)
    assert not room(measured([0] * 5 + [4] * 95), 4)
    assert room(measured([0] * 6 + [4] * 90, outcomes=False), 4)
    assert not room(measured([0] * 4 + [4] * 96, outcomes=False), 4)


def test_the_verdict_names_the_difference():
    pairs = read({"test": {"before": measured([1] * 20).to_plain(), "after": measured([2] * 20).to_plain()}})
    assert verdict(pairs) == (
        "The model learned: on new problems of the training kind, the share of right answers rose from 25.0 % (23.0 to "
        "27.0) to 50.0 % (48.0 to 52.0); problem by problem +25.0 points (25.0 to 25.0). With 4 tries the model solved "
        "100.0 % already before, so pass@4 cannot show new skill."
    )
    pairs = read({"test": {"before": measured([0] * 20).to_plain(), "after": measured([0] * 17 + [4] * 3).to_plain()}})
    assert "problem by problem +15.0 points (-2.1 to 32.1), and only 3 problems changed." in verdict(pairs)


def test_an_evaluation_keeps_what_became_of_each_problem():
    def script(text, rng):
        d = int(text[0])
        return str(d) if d % 2 == 0 else rng.choice("xy")

    result, _ = evaluate(ScriptedActor(script), Copy(), "test", problems=4, samples=5, ks=(1, 5))
    o = result.outcomes
    assert o.right == (5, 0, 5, 0)
    assert o.greedy == (True, False, True, False)
    assert o.majority == (True, False, True, False)
    assert (o.votes[0], o.votes[2]) == (5, 5)
    assert all(3 <= n <= 5 for n in (o.votes[1], o.votes[3]))  # two wrong answers share the votes
    assert o.stated == ()
    assert "stated" not in o.to_plain()


def test_an_evaluation_reads_stated_confidences():
    says = {0: "0\n?9", 1: "2\n?9", 2: "2\n?0", 3: "3"}

    result, _ = evaluate(
        ScriptedActor(lambda text, rng: says[int(text[0])]), Confident(Copy()), "test", problems=4, samples=3, ks=(1,)
    )
    assert result.outcomes.right == (3, 0, 3, 3)
    assert result.outcomes.stated == ((0.0, 3, 3), (1.0, 6, 3))
    assert result.outcomes.silent == 3
    assert result.outcomes.brier == (0.0, 1.0, 1.0, None)
