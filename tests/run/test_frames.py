"""Results in code: tables of pandas, and what a notebook shows."""

from __future__ import annotations

import sys

import pytest
from test_report import Reader, history

import sharpen
from measured import CASES, measured, pair
from sharpen.actor.nano import Nano, character_tokenizer, nano_model
from sharpen.api import Measures
from sharpen.errors import SharpenError
from sharpen.run.card import curves, measures_card, run_card
from sharpen.run.diagnose import Finding
from sharpen.run.frames import history_frame
from sharpen.run.measuring import CHANGED, SHOWN, Results
from sharpen.run.rollouts import read_rollouts
from sharpen.run.session import Run
from sharpen.run.story import story
from sharpen.task.text import said
from sharpen.types import Problem
from toy import Copy


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    folder = tmp_path_factory.mktemp("frames")
    nano_model(Nano(width=16, layers=1, heads=2, context=128)).save_pretrained(folder / "model")
    character_tokenizer().save_pretrained(folder / "model")
    return sharpen.train(
        "grpo",
        model=folder / "model",
        out=folder / "run",
        set=["Loop.iterations=2", "Loop.problems=2", "Sample.n=2"],
        eval_problems=2,
        eval_samples=4,
        max_tokens=8,
        device="cpu",
        rollouts_every=1,
    )


def test_history_by_step():
    pytest.importorskip("pandas")
    frame = history_frame(history(3), [{"step": 1, "seconds": 2.5}])
    assert frame.index.name == "step"
    assert list(frame.index) == [0, 1, 2]
    assert list(frame["solved"]) == [0.0, pytest.approx(1 / 6), pytest.approx(1 / 3)]
    assert list(frame["cost/verifier_calls"]) == [10, 20, 30]
    assert frame["timing/seconds"].isna().tolist() == [True, False, True]
    assert frame["timing/seconds"][1] == 2.5
    assert history_frame([]).shape == (0, 0)


def test_a_run_as_tables(run: Run):
    pytest.importorskip("pandas")
    frame = run.to_pandas()
    assert list(frame["reward/total"]) == [e["metrics"]["reward/total"] for e in run.history]
    assert list(frame["cost/traces"]) == [4, 8]
    assert (frame["timing/collecting"] > 0).all()
    assert (frame["timing/collecting"] < frame["timing/seconds"]).all()
    rows = list(read_rollouts(run))
    traces = run.rollouts_to_pandas()
    assert len(traces) == len(rows) == 8
    assert "segments" not in traces
    assert "rewards" not in traces
    assert list(traces["reward/format"]) == [r["rewards"]["format"] for r in rows]
    assert list(traces["step"]) == [0] * 4 + [1] * 4
    whole = run.rollouts_to_pandas(steps={1}, segments=True)
    assert whole["segments"].tolist() == [r["segments"] for r in rows if r["step"] == 1]
    assert len(run.rollouts_to_pandas(steps={7})) == 0
    assert "problem" in run.rollouts_to_pandas(steps={7})


def test_measures_as_tables(run: Run):
    pytest.importorskip("pandas")
    e = measured([1, 3])
    frame = e.to_pandas()
    assert list(frame.index) == ["accuracy", "greedy", "pass@4"]
    assert tuple(frame.loc["accuracy"]) == e.accuracy
    both = Measures(test=e, harder=measured([0, 0])).to_pandas()
    assert both.index.names == ["split", "measure"]
    assert both.loc[("harder", "pass@4"), "mean"] == 0.0
    assert tuple(both.loc[("test", "accuracy")]) == e.accuracy
    times = run.evaluation_to_pandas()
    assert times.index.names == ["split", "when", "measure"]
    assert times.loc[("test", "after", "accuracy"), "mean"] == run.evaluation["test"]["after"].accuracy.mean
    assert Measures().to_pandas().shape == (0, 3)


def test_without_pandas_a_paragraph_says_what_to_do(run: Run, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    for make in (run.to_pandas, run.rollouts_to_pandas, run.evaluation_to_pandas, measured([1]).to_pandas):
        with pytest.raises(SharpenError, match=r"pandas is not installed. Install it with `pip install 'sharpen\[note"):
            make()


def test_a_notebook_shows_a_run(run: Run):
    shown = run._repr_html_()
    text = Reader(shown).text
    assert run.story.headline in text
    assert "grpo, 2 iterations" in text
    assert repr(run) == f"Run('grpo', 2 iterations, '{run.path}')"
    assert "test: new problems of the training kind" in text
    assert f"The whole report is {run.path / 'report.html'}" in text
    assert run.story.about("Which answers changed?")[0].startswith("Of 2 greedy answers to new problems")


def test_a_card_holds_figures_and_nothing_that_acts():
    pairs = [pair("test", *CASES["widened"]), pair("<b>", *CASES["same"])]
    evil = "<script>alert(1)</script>"
    shown = run_card(evil, story(pairs, (), (), [Finding("warning", evil, evil)]), pairs, history(), evil)
    reader = Reader(shown)
    assert not reader.tags & {"script", "img", "iframe", "link", "object", "a"}
    assert not [n for n in reader.names if n.startswith("on")]
    assert "On new problems of the training kind it learned and widened; on the split <b> nothing" in reader.text
    assert "accuracy12.5 % 10.5 – 14.575.0 % 73.0 – 77.0+62.5 ▲ 56.5 to 68.5" in reader.text
    assert shown.count("<figure>") == 3  # reward, solved, entropy; this history has no length
    # every rule is bound to the card
    rules = shown[shown.index("<style>") + 7 : shown.index("</style>")].split("}")
    heads = [r.split("{")[-2 if r.count("{") > 1 else 0].strip() for r in rules if "{" in r]
    assert heads
    assert all(part.strip().startswith(".sharpen-card") for h in heads for part in h.split(","))


def test_a_notebook_shows_measures_and_curves():
    shown = Measures(test=measured([4, 4]))._repr_html_()
    assert "accuracy–100.0 % 98.0 – 100.0–" in Reader(shown).text
    assert measures_card([]).endswith("</style></div>")
    two = curves({"a": history(), "b": history(10)}, "solved", "nothing")._repr_html_()
    assert two.count("<figure>") == 1
    assert "a from 0% to 48%, b from 0% to 45% over steps 0 to 29" in two


def test_a_run_keeps_answers_that_changed_both_ways():
    class Folder:
        def read_evaluation(self) -> dict:
            return {"splits": {}, "samples": [], "done": []}

    def said_of(right: set[int]) -> list:
        problems = Copy().fixed("test", 10) + [Problem(f"more:{k}", f"{k}?", str(k)) for k in range(20)]
        traces = [said(p, p.answer if k in right else "x") for k, p in enumerate(problems)]
        for k, trace in enumerate(traces):
            trace.solved = k in right
        return [[trace] for trace in traces]

    results = Results(Folder())
    results._show("before", "test", said_of({1, 28, 29}))
    assert [s["before"]["solved"] for s in results.data["samples"]].count(True) == 3
    assert len(results.data["samples"]) == 30
    results._show("before", "harder", said_of(set()))
    # 10 to 25 turn right, 28 and 29 turn wrong
    results._show("after", "test", said_of({1, *range(10, 26)}))
    kept = [s for s in results.data["samples"] if s["split"] == "test"]
    assert [s["key"] for s in kept] == [f"copy:{k}" for k in range(SHOWN)] + [
        f"more:{k}" for k in (*range(CHANGED), 18, 19)
    ]
    assert kept[SHOWN] == {
        "split": "test",
        "key": "more:0",
        "problem": "0?",
        "answer": "0",
        "before": {"text": "x", "solved": False},
        "after": {"text": "0", "solved": True},
    }
    assert len(results.data["samples"]) - len(kept) == 30  # the other split is not touched
    # a run of an earlier version kept the first problems only
    results.data["samples"] = kept[:SHOWN]
    results._show("after", "test", said_of({28, 29}))
    assert [s["key"] for s in results.data["samples"]] == [f"copy:{k}" for k in range(SHOWN)]
    assert results.data["samples"][1]["after"] == {"text": "x", "solved": False}
