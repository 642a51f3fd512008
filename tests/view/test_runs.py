"""What the server tells of runs: how they stand, their metrics as they grow, measures, recipes."""

from __future__ import annotations

import json
import os
import sys

import pytest

from sharpen.evaluation import comparisons
from sharpen.recipe import recipes_of
from sharpen.recipes import all_recipes
from sharpen.run.directory import RunDir
from sharpen.run.rollouts import read_rollouts
from sharpen.view import picture, records, shelf
from viewed import client, listed, number, said

# ------------------------------------------------------------------ runs


def test_the_list(ask, runs):
    found = listed(ask)
    assert list(found) == ["copy/dr-grpo", "copy/grpo", "sure", "tree", "walk"]
    grpo = found["copy/grpo"]
    assert (grpo["name"], grpo["seed"], grpo["status"], grpo["problem"]) == ("grpo", 0, "finished", None)
    assert (grpo["iterations"], grpo["total"], grpo["metric"]) == (6, 6, "solved")
    solved = [r["metrics"]["solved"] for r in RunDir(runs / "copy/grpo").read_metrics()]
    assert grpo["spark"] == solved
    splits = RunDir(runs / "copy/grpo").read_evaluation()["splits"]
    assert (grpo["split"], grpo["before"], grpo["after"]) == (
        "test",
        splits["test"]["before"]["accuracy"],
        splits["test"]["after"]["accuracy"],
    )
    # how it moved is told by the rule of the report: problem by problem
    [move] = [p.moved("accuracy") for p in comparisons(splits) if p.split == "test"]
    assert (grpo["move"], grpo["by"]) == (move.change, list(move.by))
    [test] = [s for s in said(ask.get(f"/api/runs/{grpo['id']}/evaluation"))["splits"] if s["split"] == "test"]
    assert (test["paired"], test["rows"][0]["move"], test["rows"][0]["by"]) == (True, move.change, list(move.by))


def test_numbers_stay_while_runs_come_and_go(copied, tmp_path, monkeypatch):
    monkeypatch.setattr(shelf, "FRESH", 0.0)
    first = copied("copy/grpo")
    ask = client(tmp_path / "own")
    assert number(ask, "grpo") == 0
    copied("copy/dr-grpo")  # comes before the other in order of name
    assert [(r["folder"], r["id"]) for r in said(ask.get("/api/runs"))["runs"]] == [("dr-grpo", 1), ("grpo", 0)]
    first.rename(tmp_path / "away")
    assert [(r["folder"], r["id"]) for r in said(ask.get("/api/runs"))["runs"]] == [("dr-grpo", 1)]
    assert "There is no run 0" in said(ask.get("/api/runs/0"), 404)["error"]


def test_status(copied, tmp_path):
    run = RunDir(copied("copy/grpo"))
    ask = client(tmp_path / "own")
    with run.lock():
        assert listed(ask)["grpo"]["status"] == "live"
    assert listed(ask)["grpo"]["status"] == "finished"
    os.remove(run.report)
    assert listed(ask)["grpo"]["status"] == "stopped"
    run.log("2026-01-01 Stopped at once.")
    assert listed(ask)["grpo"]["status"] == "stopped"
    run.log('Traceback (most recent call last):\n  File "x.py"\nValueError: no')
    assert listed(ask)["grpo"]["status"] == "failed"


def test_overview_and_findings(ask, runs):
    k = number(ask, "copy/grpo")
    told = said(ask.get(f"/api/runs/{k}"))
    assert told["cost"] == RunDir(runs / "copy/grpo").read_metrics()[-1]["cost"]
    assert told["seconds"] == pytest.approx(sum(t["seconds"] for t in RunDir(runs / "copy/grpo").read_timing()))
    assert set(told["manifest"]) >= {"name", "versions", "seed", "origin"}
    assert said(ask.get(f"/api/runs/{k}/findings")) == {"findings": [], "broken": [], "iterations": 6}


def test_findings_are_those_of_the_report(copied, tmp_path):
    run = RunDir(copied("copy/grpo"))
    for k in range(6, 30):
        run.append_metrics(k, {"group/all_failed": 1.0, "groups/signal": 0.0}, {})
    [first, *_] = said(client(tmp_path / "own").get("/api/runs/0/findings"))["findings"]
    assert first["severity"] == "stop"
    assert "samples failed on" in first["text"]


# ------------------------------------------------------------------ metrics


def test_metrics_are_read_on_from_where_one_was(copied, tmp_path, monkeypatch):
    path = copied("copy/grpo")
    ask = client(tmp_path / "own")
    first = said(ask.get("/api/runs/0/metrics"))
    assert [r["step"] for r in first["records"]] == list(range(6))
    where = {"from": first["next"], "mark": first["mark"]}
    assert said(ask.get("/api/runs/0/metrics", params=where))["records"] == []
    with open(path / "metrics.jsonl", "a") as file:
        file.write('{"step": 6, "metrics": {"solved": "NaN"}, "cost": {}}\n{"step": 7, "met')
    second = said(ask.get("/api/runs/0/metrics", params=where))
    assert (second["start"], second["records"]) == (
        first["next"],
        [{"step": 6, "metrics": {"solved": "NaN"}, "cost": {}}],
    )
    where["from"] = second["next"]
    assert said(ask.get("/api/runs/0/metrics", params=where))["records"] == []  # the line is half-written
    with open(path / "metrics.jsonl", "a") as file:
        file.write('rics": {}}\n')
    assert [r["step"] for r in said(ask.get("/api/runs/0/metrics", params=where))["records"]] == [7]


def test_metrics_begin_anew_after_a_rewind(copied, tmp_path):
    path = copied("copy/grpo")
    ask = client(tmp_path / "own")
    first = said(ask.get("/api/runs/0/metrics"))
    RunDir(path).rewind(2)
    again = said(ask.get("/api/runs/0/metrics", params={"from": first["next"], "mark": first["mark"]}))
    assert (again["start"], [r["step"] for r in again["records"]]) == (0, [0, 1])
    assert again["mark"] != first["mark"]


def test_only_new_bytes_are_read(copied, monkeypatch):
    path = copied("copy/grpo") / "metrics.jsonl"
    whole = records.since(path)
    with open(path, "a") as file:
        file.write('{"step": 6}\n')
    seen = []
    monkeypatch.setattr(records, "_parsed", lambda data, *_: (seen.append(data), ([], []))[1])
    records.since(path, whole.next, whole.mark)
    assert seen == [b'{"step": 6}\n']


def test_a_long_file_comes_in_parts(copied):
    path = copied("copy/grpo") / "metrics.jsonl"
    steps, at, mark, more = [], 0, "", True
    while more:
        part = records.since(path, at, mark, most=1000)
        steps += [r["step"] for r in part.records]
        at, mark, more = part.next, part.mark, part.more
    assert steps == list(range(6))


# ------------------------------------------------------------------ evaluation, calibration, recipe


def test_evaluation(ask, runs):
    told = said(ask.get(f"/api/runs/{number(ask, 'copy/grpo')}/evaluation"))
    data = RunDir(runs / "copy/grpo").read_evaluation()
    split = told["splits"][0]
    assert split["split"] == "test"
    assert split["pass"]["after"] == [[k, data["splits"]["test"]["after"][f"pass@{k}"]] for k in (1, 4)]
    assert split["rows"][0]["name"] == "accuracy"
    assert "problems" in told["verdict"]
    assert {s["kind"] for s in told["samples"]} <= {
        "wrong → right",
        "right → wrong",
        "still wrong",
        "right both times",
    }


def test_calibration(ask, runs):
    rows = [r for r in read_rollouts(runs / "sure") if "confidence" in r["notes"]]
    told = said(ask.get(f"/api/runs/{number(ask, 'sure')}/calibration"))
    [kind] = told["kinds"]
    assert (kind["name"], kind["n"]) == ("confidence", len(rows))
    assert kind["accuracy"] == pytest.approx(sum(r["solved"] for r in rows) / len(rows))
    brier = sum((r["notes"]["confidence"] - r["solved"]) ** 2 for r in rows) / len(rows)
    assert kind["brier"] == pytest.approx(brier)
    assert sum(b["n"] for b in kind["bins"]) == len(rows)
    last = [r for r in rows if r["step"] == 5]
    told = said(ask.get(f"/api/runs/{number(ask, 'sure')}/calibration", params={"first": 5}))
    assert told["kinds"][0]["n"] == len(last)


def test_a_search_is_calibrated_by_its_values(ask, runs):
    [kind] = said(ask.get(f"/api/runs/{number(ask, 'tree')}/calibration"))["kinds"]
    assert (kind["name"], kind["n"]) == ("value", len(list(read_rollouts(runs / "tree"))))


def test_recipe_marks_what_is_not_as_in_its_parent(ask):
    told = said(ask.get(f"/api/runs/{number(ask, 'copy/dr-grpo')}/recipe"))
    parent, own = told["against"]
    assert (parent["what"], parent["name"], own["what"], own["name"]) == (
        "its parent",
        "grpo",
        "the built-in recipe",
        "dr-grpo",
    )
    [boxes] = parent["recipes"]
    assert [(b["title"], b["mark"]) for b in boxes["collect"]] == [
        ("Sample", "changed"),
        ("Verify", "same"),
        ("Total", "same"),
        ("Annotate", "removed"),
        ("GroupNorm", "changed"),
    ]
    assert boxes["collect"][0]["fields"] == [{"name": "n", "value": "8", "was": "16"}]
    assert [(b["title"], b["mark"]) for b in boxes["actors"]] == [("policy", "same"), ("ref", "removed")]
    [update] = boxes["updates"]
    assert (update["title"], update["mark"]) == ("train policy", "changed")
    assert [(b["title"], b["mark"]) for b in update["inner"]] == [
        ("PPOClip", "changed"),
        ("KL (kl)", "removed"),
        ("Traces", "same"),
        ("AdamW", "changed"),
    ]
    assert "Sample.n: 16 -> 8" in own["lines"]
    assert all(b["mark"] in ("same", "changed") for b in own["recipes"][0]["collect"])


def test_a_recipe_of_ones_own_is_not_imported(copied, tmp_path):
    path = copied("copy/grpo") / "manifest.json"
    path.write_text(path.read_text().replace("sharpen.credit.peers.GroupNorm", "mine.Norm"))
    told = said(client(tmp_path / "own").get("/api/runs/0/recipe"))
    assert (told["recipes"], told["against"]) == ([], [])
    assert "GroupNorm" in told["composition"]
    assert "mine" not in sys.modules
    assert said(client(tmp_path / "own").get("/api/runs/0/findings"))["findings"] == []


@pytest.mark.parametrize("name", [n for n, r in all_recipes().items() if r.parent])
def test_every_recipe_can_be_drawn_next_to_its_parent(name):
    recipe = all_recipes()[name]
    drawn = picture.against(recipe, all_recipes()[recipe.parent])
    assert [r["name"] for r in drawn] == [r.name for r in recipes_of(recipe)]
    assert any(b["mark"] != "same" for r in drawn for lane in r.values() if isinstance(lane, list) for b in lane)
    json.dumps(drawn)
