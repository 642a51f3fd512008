"""Plots of an evaluation: their geometry, and where they stand in the report."""

from __future__ import annotations

import pytest
from test_report import Reader

from measured import measured, pair
from sharpen.evaluation import Comparison, Interval
from sharpen.run.calibrated import agreed
from sharpen.run.html import Html
from sharpen.run.plots import reach, reach_plot, reliability_plot
from sharpen.run.report import ReportData, page


def test_pass_at_every_doubling_of_k():
    curve = reach(measured([0, 1, 8], samples=8))
    assert list(curve) == [1, 2, 4, 8]
    # 1 of 8: pass@k = k / 8
    assert [x.mean for x in curve.values()] == pytest.approx([(0 + k / 8 + 1) / 3 for k in (1, 2, 4, 8)])
    assert all(0 <= x.low <= x.mean <= x.high <= 1 for x in curve.values())
    assert list(reach(measured([1, 2, 3], samples=6))) == [1, 2, 4, 6]
    assert reach(measured([0, 1, 8], samples=8)) == curve
    old = measured([0, 4], outcomes=False)
    assert reach(old) == {1: old.accuracy, 4: old.pass_at[4]}


def test_the_plot_of_pass_at_k():
    svg = reach_plot(pair("test", [0, 0], [4, 4]), "pass@k").text
    # k = 1, 2, 4 lie at x = 52, 188, 324; shares of 0 and 1 at y = 156 and 8
    assert '<polyline points="52.0,156.0 188.0,156.0 324.0,156.0" class="side before"/>' in svg
    assert '<polyline points="52.0,8.0 188.0,8.0 324.0,8.0" class="side after"/>' in svg
    assert "pass@2\nbefore: 0.0 % (0.0 to 0.0)\nafter: 100.0 % (100.0 to 100.0)" in svg
    assert svg.count('class="band') == 2
    assert svg.count('class="hit"') == 3
    alone = reach_plot(Comparison("test", None, measured([4, 4])), "pass@k").text
    assert "before" not in alone
    single = measured([1, 0], samples=1)
    assert reach_plot(Comparison("test", single, single), "pass@k") == Html("")


def test_the_band_of_pass_at_k_is_its_interval():
    e = measured([0, 4], outcomes=False)
    e.pass_at[4] = Interval(0.25, 0.5, 0.75)
    svg = reach_plot(Comparison("test", None, e), "x").text
    # accuracy 0.5 -+ 0.02 at x 52, pass@4 from 0.25 (y 119) to 0.75 (y 45) at x 324
    assert 'd="M52.0 79.0 L324.0 45.0 L324.0 119.0 L52.0 85.0 Z"' in svg


def test_the_plot_of_reliability():
    c = agreed(measured([4, 0], votes=(4, 2), majority=(True, False)))
    svg = reliability_plot({"after": c}, "Agreement", "share right").text
    # sure 1/2 and never right; sure 1 and always right
    assert '<polyline points="188.0,156.0 324.0,8.0" class="side thin after"/>' in svg
    assert "<title>after: 1 answers, 50.0 % sure, 0.0 % right</title>" in svg
    assert 'aria-label="Agreement: after ECE 0.250"' in svg
    assert reliability_plot({}, "x", "y") == Html("")


def test_the_report_tells_the_story_before_the_curves():
    a = measured([0] * 20, votes=(2,) * 20, majority=(False,) * 20)
    b = measured([0] * 10 + [4] * 10, votes=(4,) * 20, majority=(False,) * 10 + (True,) * 10)
    entry = {"split": "test", "problem": "p", "before": {"text": "x", "solved": False}, "after": {"text": "y"}}
    samples = [entry | {"after": {"text": "y", "solved": True}}, entry | {"before": {"text": "x", "solved": True}}]
    samples[1]["after"] = {"text": "y", "solved": False}
    history = [{"step": k, "metrics": {"solved": 0.5}, "cost": {"generated_tokens": 10}} for k in range(2)]
    data = ReportData(
        "t",
        {},
        "",
        history,
        evaluation={"test": {"before": a.to_plain(), "after": b.to_plain()}},
        samples=samples,
        timing=[{"step": 0, "seconds": 3.0, "collecting": 1.0}, {"step": 1, "seconds": 3.0, "collecting": 1.0}],
    )
    reader = Reader(page(data))
    text = reader.text.replace("\u00a0", " ")
    assert reader.links == [f"#{n}" for n in ("evaluation", "calibration", "solutions", "findings", "curves", "cost")]
    assert text.index("On new problems of the training kind it learned and widened.") < text.index("Did it learn?")
    order = [
        "Did it learn?",
        "Did it widen, or only sharpen?",
        "Which answers changed?",
        "Is it as right as it is sure?",
    ]
    order += ["What did it cost?", "What went wrong?", "pass@k on test", "Agreement on test", "wrong → right"]
    places = [text.index(x) for x in order]
    assert places == sorted(places)
    assert "wrong → rightright → wrongstill wrongright both timesin alltest10010020" in text
    # agreement 1/2 that is never right: off by 1/2, squared 1/4; agreement 1 that is right half the time: 1/2 and 1/2
    assert "test, agreement, before50.0 %0.0 %0.5000.250–20–" in text
    assert "test, agreement, after100.0 %50.0 %0.5000.5000.50020–" in text
    assert "seconds collecting2.01" in text
    assert "seconds learning4.02" in text
    assert "+50.0 ▲ 26.0 to 74.0" in text
