"""What a run came to, in words: every verdict on made-up evaluations."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from measured import ALL, CASES, HALF_FULL, HALF_ONE, NONE, around, measured, pair
from sharpen.evaluation import Comparison, Evaluation, comparisons
from sharpen.run.calibrated import agreed, brier_change, stated
from sharpen.run.diagnose import Finding, diagnose
from sharpen.run.report import ReportData, page
from sharpen.run.spending import clock, seconds, spent
from sharpen.run.story import (
    CALIBRATED,
    CHANGED,
    COST,
    LEARNED,
    TOLD,
    WIDENED,
    WRONG,
    headline,
    kind_of,
    story,
    tight,
    turns,
)

OLD = Path(__file__).with_name("evaluation_of_version_0.json")


@pytest.mark.parametrize("kind", CASES)
def test_every_kind_of_change(kind: str):
    p = pair("test", *CASES[kind])
    assert kind_of(p.before, p.after) == kind
    told = story([p])
    assert told.headline == f"On new problems of the training kind {TOLD[kind]}."
    first = next(a for a in told.answers if a.question == LEARNED)
    assert first.tone == {"worse": "down", "lost": "down", "same": "unclear"}.get(kind, "up")


def test_learned_and_widened():
    told = story([pair("test", *CASES["widened"])])
    # half the problems rose by 3/4, half by 1/2: mean 0.625, s = 0.128247, t(19) = 2.093024
    assert told.about(LEARNED) == [
        "The model learned: on new problems of the training kind, the share of right answers rose from 12.5 % (10.5 to "
        "14.5) to 75.0 % (73.0 to 77.0); problem by problem +62.5 points (56.5 to 68.5)."
    ]
    # pass@4 rose by 1 on half of them: s = 0.512989, so 0.5 -+ 0.240087
    assert told.about(WIDENED) == [
        "On new problems of the training kind: it did not only sharpen: with 4 tries it solves more than before, "
        "pass@4 went from 50.0 % (48.0 to 52.0) to 100.0 % (98.0 to 100.0), +50.0 points (26.0 to 74.0)."
    ]


def test_only_sharpened():
    told = story([pair("test", *CASES["sharpened"])])
    assert told.headline == "On new problems of the training kind it only sharpened."
    assert told.about(WIDENED) == [
        "On new problems of the training kind: it mostly sharpened: it finds more often what it could find before in "
        "4 tries; pass@4 went from 50.0 % (48.0 to 52.0) to 50.0 % (48.0 to 52.0), +0.0 points (0.0 to 0.0), within "
        "error."
    ]


def test_nothing_happened():
    told = story([pair("test", HALF_ONE, HALF_ONE)])
    assert told.headline == "On new problems of the training kind nothing changed that can be told from chance."
    assert told.about(LEARNED)[0].startswith("No change that 20 problems can tell from chance")
    assert told.about(CHANGED) == [
        "Of 20 greedy answers to new problems of the training kind, 0 went from wrong to right and 0 from right to "
        "wrong (0 were right both times, 20 wrong both times)."
    ]


def test_got_worse_and_both_ways_are_counted():
    before, after = [4] * 12 + [0] * 8, [4] * 3 + [0] * 9 + [0] * 6 + [4] * 2
    told = story([pair("test", before, after)])
    assert told.headline == "On new problems of the training kind it got worse."
    assert told.about(CHANGED) == [
        "Of 20 greedy answers to new problems of the training kind, 2 went from wrong to right and 9 from right to "
        "wrong (3 were right both times, 6 wrong both times): fewer right than before."
    ]
    assert turns(measured(before), measured(after)) == (2, 9, 3, 6)
    assert told.answers[0].tone == "down"


def test_better_on_one_split_and_worse_on_the_other():
    told = story([pair("harder", *CASES["worse"]), pair("test", *CASES["widened"])])
    assert told.headline == (
        "Mixed: on new problems of the training kind it learned and widened; on harder problems it got worse."
    )
    learned = next(a for a in told.answers if a.question == LEARNED)
    assert learned.tone == "unclear"
    assert learned.text.index("The model learned: on new") < learned.text.index("The model got worse: on harder")


def test_figures_stay_with_their_units():
    assert tight("12 000 in 3 min 20 s, 4.5 % of 6 sets") == "12\u00a0000 in 3\u00a0min 20\u00a0s, 4.5\u00a0% of 6 sets"


def test_splits_of_one_kind_are_named_together():
    told = story([pair("test", NONE, ALL), pair("harder", NONE, ALL), pair("own", HALF_ONE, HALF_FULL)])
    assert told.headline == (
        "On new problems of the training kind and harder problems it learned and widened; on the split own it only "
        "sharpened."
    )
    assert headline([]) == (
        "Nothing was measured before and after training, so nobody can say whether the model learned."
    )


def test_measures_of_an_earlier_version_are_told_by_their_intervals():
    p = pair("test", *CASES["widened"], outcomes=False)
    assert kind_of(p.before, p.after) == "widened"
    told = story([p])
    assert [a.question for a in told.answers] == [LEARNED, WIDENED]
    assert "the 95 % intervals lie apart" in told.about(LEARNED)[0]


def test_a_stored_evaluation_of_an_earlier_version_still_renders():
    data = json.loads(OLD.read_text())
    told = story(comparisons(data["splits"]))
    assert told.headline == (
        "On new problems of the training kind and harder problems nothing changed that can be told from chance."
    )
    text = page(ReportData("old", {}, "", [], evaluation=data["splits"], samples=data["samples"]))
    assert "from 36.7\u00a0% (27.3 to 46.1) to 46.1\u00a0% (35.2 to 57.0), and the 95\u00a0% intervals overlap." in text
    assert "A change is coloured when the two intervals do not overlap." in text
    assert 'id="evaluation"' in text
    assert 'id="calibration"' not in text
    assert "pass@k on test" in text
    assert "Greedy answers" not in text


# ------------------------------------------------------------------ calibration


def confident(stated_: tuple, brier: tuple, silent: int = 0) -> Evaluation:
    return measured([2] * len(brier), stated=stated_, brier=brier, silent=silent)


def test_stated_confidence_by_hand():
    c = stated(confident(((0.0, 4, 0), (1.0, 4, 2)), (0.5, 0.0), 2))
    assert (c.answers, c.confidence, c.right) == (8, 0.5, 0.25)
    assert c.ece == pytest.approx(0.25)  # half the answers are 1/2 off
    assert c.brier == pytest.approx(0.25)  # two of eight are off by 1
    assert c.auroc == pytest.approx(10 / 12)  # 2 right at 1 against 2 wrong at 1 (half) and 4 at 0
    assert c.silent == 0.2
    assert [(b.size, b.confidence, b.accuracy) for b in c.bars] == [(4, 0.0, 0.0), (4, 1.0, 0.5)]
    assert stated(measured([1, 2])) is None
    assert stated(measured([1, 2], outcomes=False)) is None


def test_agreement_by_hand():
    c = agreed(measured([4, 0], votes=(4, 2), majority=(True, False)))
    assert (c.answers, c.confidence, c.right) == (2, 0.75, 0.5)
    assert c.ece == pytest.approx(0.25)
    assert c.brier == pytest.approx(0.125)
    assert c.auroc == 1.0
    assert agreed(measured([1, 0], samples=1, votes=(1, 1), majority=(True, False))) is None
    assert agreed(measured([4, 4], votes=(4, 4), majority=(True, True))).auroc is None


def test_the_change_of_the_brier_score_is_that_of_the_same_problems():
    before = confident(((1.0, 8, 0),), (1.0,) * 8)
    after = confident(((0.5, 8, 0),), (0.25,) * 7 + (None,))
    move = brier_change(before, after, "stated")
    assert (move.change, move.problems, move.by) == ("down", 7, (-0.75, -0.75, -0.75))
    assert brier_change(before, measured([2] * 8), "stated") is None
    x, y = (measured([4] * 6, votes=(n,) * 6, majority=(True,) * 6) for n in (4, 2))
    assert brier_change(x, y, "agreed").by == (0.25, 0.25, 0.25)


def test_calibration_in_words():
    before = confident(((1.0, 8, 2),), (0.75,) * 8)
    after = confident(((0.0, 2, 0), (0.5, 6, 3)), (0.1875,) * 8)
    assert story([Comparison("test", before, after)]).about(CALIBRATED) == [
        "On new problems of the training kind the stated confidence was 100.0 % on average with 25.0 % right before "
        "and 37.5 % on average with 37.5 % right after. ECE 0.750 became 0.000, AUROC 0.500 became 0.700, Brier score "
        "0.750 became 0.188, -0.562 (-0.562 to -0.562): a better score."
    ]
    votes = [measured([4] * 8, votes=(n,) * 8, majority=(True,) * 8) for n in (4, 4)]
    assert story([Comparison("harder", *votes)]).about(CALIBRATED) == [
        "On harder problems the agreement of 4 answers was 100.0 % on average with 100.0 % right before and 100.0 % on "
        "average with 100.0 % right after. ECE 0.000 became 0.000, Brier score 0.000 became 0.000, +0.000 (0.000 to "
        "0.000): the same within error."
    ]


# ------------------------------------------------------------------ cost and trouble

COSTS = [
    {"step": k, "metrics": {"truncated": 0.25, "engine/gap": 0.003}, "cost": {"generated_tokens": 6000 * (k + 1)}}
    for k in range(2)
]


def test_cost_in_words():
    timing = [{"step": k, "seconds": 10.0, "collecting": 7.0} for k in range(2)]
    assert story([], COSTS, timing).about(COST) == [
        "Tokens: 12 000 generated, in 2 iterations. Training took 20.0 s: 70.0 % collecting, 30.0 % learning."
    ]
    assert spent([], []) == ""
    assert spent([], [{"step": 0, "seconds": 100.0}]) == "Training took 1 min 40 s."


def test_seconds_of_samples_drawn_ahead():
    ahead = [{"step": 0, "seconds": 10.0, "collecting": 4.0, "waited": 3.0}]
    assert seconds(ahead) == {"all": 10.0, "waiting": 3.0, "collecting": 1.0, "learning": 6.0}
    # a run of an earlier version
    assert seconds([{"step": 0, "seconds": 10.0, "waited": 3.0}]) == {"all": 10.0, "waiting": 3.0}
    # resumed by a later version: not every iteration says it
    assert seconds([{"step": 0, "seconds": 2.0}, {"step": 1, "seconds": 2.0, "collecting": 1.0}]) == {"all": 4.0}


@pytest.mark.parametrize(("s", "text"), [(8.54, "8.5 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")])
def test_clock(s: float, text: str):
    assert clock(s) == text


def test_trouble_in_words():
    found = [Finding("stop", "A", "x"), Finding("warning", "B", "x"), Finding("note", "C", "x")]
    end = (
        " At the end 25.0 % of the answers were cut off at the token limit. Engine and trainer differ by 0.0030 nats a"
    )
    assert story([], COSTS, (), found).about(WRONG) == [f"A; B (see the findings).{end} token."]
    assert story([], COSTS, (), found[2:]).about(WRONG) == [
        f"None of the usual failures was seen. Notes: 1.{end} token."
    ]
    assert story([]).answers == ()


def test_findings_and_story_agree_on_what_changed():
    p = pair("test", [0, 1, 2, 3] * 6, [1, 2, 3, 4] * 6)
    wide = {"accuracy": around(0.4), "pass_at": {}}
    a, b = (Evaluation(24, 4, wide["accuracy"], outcomes=e.outcomes) for e in (p.before, p.after))
    history = [{"step": k, "metrics": {"solved": k / 20}, "cost": {}} for k in range(20)]
    assert kind_of(a, b) == "learned"
    assert "Learned the training problems only" not in [f.title for f in diagnose(history, {"test": a}, {"test": b})]
