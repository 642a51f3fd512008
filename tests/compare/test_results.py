"""What a study says of results that are known, and how it is shown."""

from __future__ import annotations

import csv
import io
import json
import sys
from dataclasses import replace

import pytest

from sharpen.errors import SharpenError
from sharpen.recipes.policy import grpo, rloo
from sharpen.run.report import POLICY
from sharpen.run.setup import Setup
from sharpen.study import Compared, Entry, Final, Found, Study, entries, summary
from sharpen.study.page import page, verdict
from sharpen.study.pictures import NoPictures, draw
from sharpen.study.tables import across, aligned, as_csv, costs, measures, pairs, sections

A, B = replace(grpo, name="a"), replace(rloo, name="b")
STUDY = Study((Entry("a", A), Entry("b", B)), ("t", "u"), 2, "1k-tokens", Setup(eval_samples=2))


def final(recipe, task, seed, accuracy, *curve):
    points = [
        {"step": k, "cost": {"generated_tokens": t, "updates": k}, "spent": float(t), "accuracy": y, "problems": [y]}
        for k, (t, y) in enumerate(curve)
    ]
    cost = points[-1]["cost"] if points else {}
    scores = {"accuracy": accuracy} | ({"harder": [y / 2 for y in accuracy]} if task == "u" else {})
    return Final(recipe, task, seed, scores, 5.0, len(points), 0.0, cost, points, 1.5)


def found(study=STUDY):
    """On `t` a is above b at both seeds, on `u` it is below, and its seed 1 is missing there."""
    return Found(
        study,
        {"t": "test", "u": "test"},
        {"t": final("base", "t", 0, [0.0, 0.5]), "u": final("base", "u", 0, [0.5, 0.5])},
        [
            final("a", "t", 0, [1.0, 1.0], (0, 0.25), (500, 0.5), (1000, 1.0)),
            final("a", "t", 1, [1.0, 1.0], (0, 0.25), (500, 0.25), (1100, 0.75)),
            final("b", "t", 0, [0.0, 0.5], (0, 0.25), (1000, 0.25)),
            final("b", "t", 1, [0.0, 0.5], (0, 0.25), (1000, 0.25)),
            final("a", "u", 0, [0.5, 0.5], (0, 0.5), (1000, 0.5)),
            final("b", "u", 1, [1.0, 1.0], (0, 0.5), (900, 1.0)),
            final("b", "u", 0, [1.0, 1.0], (0, 0.5), (1000, 1.0)),
        ],
    )


ERRORS = {"a on u, seed 1": "ValueError: no <b>luck</b>"}


def test_numbers_by_hand():
    told = summary(found(), ERRORS)
    t, u = told["tasks"]["t"], told["tasks"]["u"]
    assert t["recipes"]["a"]["accuracy"] == [1.0, 1.0, 1.0]
    assert t["base"]["accuracy"][1] == 0.25
    assert (t["recipes"]["a"]["seeds"], u["recipes"]["a"]["seeds"]) == ([0, 1], [0])
    pair = t["pairs"][0]
    assert (pair["a"], pair["b"], pair["seeds"], pair["diff"], pair["p_a_better"]) == ("a", "b", [0, 1], 0.75, 1.0)
    assert (pair["low"], pair["high"]) == (0.5, 1.0)
    assert [(p["b"], p["diff"]) for p in t["pairs"][1:]] == [("base", 0.75), ("base", 0.0)]
    assert (u["pairs"][0]["seeds"], u["pairs"][0]["diff"]) == ([0], 0.5)
    # the other split is measured on one of the tasks
    assert (t["measures"], u["measures"]) == (["accuracy"], ["accuracy", "harder"])
    assert (u["pairs"][1]["measure"], u["pairs"][1]["diff"]) == ("harder", 0.25)
    assert [(r["task"], r["harder"]) for r in told["finals"][:3]] == [("t", None), ("u", 0.25), ("t", None)]
    # halfway from 0.25 to 0.875
    assert t["target"] == 0.5625
    assert t["recipes"]["a"]["to_target"] == {"median": 1050, "reached": 2, "seeds": 2}
    assert t["recipes"]["b"]["to_target"] == {"median": None, "reached": 0, "seeds": 2}
    assert u["recipes"]["b"]["to_target"] == {"median": 950, "reached": 2, "seeds": 2}
    # shares of what the base left: a has 1, 1 and 0, b has 0, 0, 1 and 1
    assert told["across"]["a"]["iqm"][1] == pytest.approx(2 / 3)
    assert told["across"]["b"]["iqm"][1] == pytest.approx(1 / 2)
    rest = [{k: x[k] for k in ("best", "wins", "losses")} for x in told["across"].values()]
    assert rest == [{"best": 1, "wins": 1, "losses": 1}] * 2
    assert told["seconds"]["a on t, seed 1"] == 1.5
    curve = t["curves"]["a"]
    assert (curve["at"][0], curve["at"][-1], curve["mean"][-1]) == (0, 1000, pytest.approx((1 + 2 / 3) / 2))
    assert summary(found(), ERRORS) == told


def test_a_target_of_ones_own_and_none():
    told = summary(found(replace(STUDY, target=0.5)), {})
    assert told["tasks"]["t"]["recipes"]["a"]["to_target"]["median"] == 800
    some = found()
    level = replace(some, finals=[f for f in some.finals if f.recipe == "b" and f.task == "t"])
    told = summary(level, {})
    assert told["tasks"]["t"]["target"] is None
    assert told["tasks"]["t"]["recipes"]["b"]["to_target"] is None
    assert told["across"] == {}  # nobody has runs on both tasks
    assert costs(told, "t")[1][-1] == "-"
    assert "On u no run is finished." in verdict(told)
    assert "On u no run is finished." in page(told).replace("&#x27;", "'")


def test_tables():
    told = summary(found(), ERRORS)
    assert measures(told, "u") == [
        ("recipe", "accuracy, %", "harder, %"),
        ("base", "50.0 (50.0 to 50.0)", "25.0 (25.0 to 25.0)"),
        ("b", "100.0 (100.0 to 100.0)", "50.0 (50.0 to 50.0)"),
        ("a", "50.0 (50.0 to 50.0)", "25.0 (25.0 to 25.0)"),
    ]
    assert costs(told, "t") == [
        (
            "recipe",
            "seeds",
            "iterations",
            "updates",
            "generated tokens",
            "trained tokens",
            "length",
            "tokens to target",
        ),
        ("a", "2", "3", "2", "1,050", "0", "5", "1,050 (2 of 2)"),
        ("b", "2", "2", "1", "1,000", "0", "5", "not reached (0 of 2)"),
    ]
    assert pairs(told, "u")[1][0] == "b - a"  # the better one first
    assert aligned([("a", "12"), ("bcd", "3")]) == ["a    12", "bcd   3"]
    assert pairs(told, "t")[1] == ("a - b", "2", "+75.0* (+50.0 to +100.0)", "1.000")
    assert across(told)[1][0] == "a"
    assert across(told)[1][2:] == ("1 of 2", "1", "1")
    assert [name for name, _ in sections(told)][1:] == [
        "t: what a run did",
        "t: differences",
        "u (test, 2 problems x 2 samples), target 75.0 %",
        "u: what a run did",
        "u: differences",
        "All tasks: accuracy as a share of what the base left to learn",
    ]
    rows = list(csv.DictReader(io.StringIO(as_csv(told["finals"]))))
    assert [(r["recipe"], r["accuracy"]) for r in rows[:3]] == [("base", "0.25"), ("base", "0.5"), ("a", "1.0")]
    assert [r["harder"] for r in rows[:3]] == ["", "0.25", ""]
    said = verdict(told)
    assert said.startswith(
        "On t a ends highest: 100.0 % (100.0 to 100.0), base 25.0 % (0.0 to 50.0). Beyond chance it is"
    )
    assert said.count("Beyond chance it is ahead of ") == 2


def test_the_page_shows_and_cannot_act():
    evil = '"><script>alert(1)</script>'
    some = found()
    study = replace(STUDY, tasks=(evil, "u"))
    moved = {"t": evil, "u": "u"}
    told = summary(
        Found(
            study,
            {moved[k]: v for k, v in some.splits.items()},
            {moved[k]: replace(v, task=moved[k]) for k, v in some.bases.items()},
            [replace(f, task=moved[f.task]) for f in some.finals],
        ),
        ERRORS,
    )
    text = page(told)
    assert f'content="{POLICY}"'.replace("'", "&#x27;") in text
    assert "<script" not in text
    assert "<b>luck" not in text
    assert "no &lt;b&gt;luck" in text
    assert text.count("<svg") == 2
    assert text.count("<polygon") == text.count("<polyline") == 4
    assert "http" not in text.replace("http-equiv", "")


def test_pictures_and_frames_without_their_libraries(tmp_path, monkeypatch):
    told = summary(found(), {})
    assert [p.name for p in draw(told, tmp_path)] == ["curves-t.png", "curves-t.svg", "curves-u.png", "curves-u.svg"]
    first = (tmp_path / "curves-t.svg").read_bytes()
    draw(told, tmp_path)
    assert (tmp_path / "curves-t.svg").read_bytes() == first
    frame = Compared(tmp_path, told).to_pandas()
    assert list(frame["recipe"]) == ["base", "base", "a", "a", "b", "b", "a", "b", "b"]
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(NoPictures, match=r"else was written. Install it with `pip install 'sharpen\[plots\]'`"):
        draw(told, tmp_path)
    with pytest.raises(SharpenError, match=r"pip install 'sharpen\[notebook\]'"):
        Compared(tmp_path, told).to_pandas()


def test_changes_for_all_and_for_one():
    first, second = entries(["grpo", rloo], ["Sample.n=4", "rloo:Loop.problems=2"])
    assert (first.set, second.set) == (("Sample.n=4",), ("Sample.n=4", "Loop.problems=2"))
    assert second.method.loop.problems == 2
    assert json.dumps([first.name, second.name]) == '["grpo", "rloo"]'
    with pytest.raises(SharpenError, match="A recipe cannot be called 'base'"):
        replace(STUDY, entries=(Entry("base", A),))
