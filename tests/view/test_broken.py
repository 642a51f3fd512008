"""What is broken or hostile in a run is told, not obeyed."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sharpen.run.rollouts import read_rollouts
from viewed import EVIL, client, listed, number, said

# ------------------------------------------------------------------ what is broken is told


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("sort=rewrd", "Did you mean reward"),
        ("solved=maybe", "must be yes, no, or nothing"),
        ("low=abc", "must be a number"),
        ("low=nan", "must be a number"),
        ("first=-1", "must be a whole number from 0"),
        ("limit=1000", "from 1 to 200"),
        ("offset=1e9", "must be a whole number"),
    ],
)
def test_questions_that_make_no_sense(ask, query, text):
    assert text in said(ask.get(f"/api/runs/0/rollouts?{query}"), 422)["error"]


def test_a_broken_line_of_metrics(copied, tmp_path):
    path = copied("copy/grpo") / "metrics.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], "{oops", *lines[2:]]) + "\n")
    ask = client(tmp_path / "own")
    told = said(ask.get("/api/runs/0/metrics"))
    assert [r["step"] for r in told["records"]] == [0, 2, 3, 4, 5]
    assert told["broken"] == [told["broken"][0]]
    assert told["broken"][0].startswith(f"The line at byte {len(lines[0]) + 1} of metrics.jsonl is not a record")
    assert "metrics.jsonl" in listed(ask)["grpo"]["problem"]
    assert said(ask.get("/api/runs/0"))["broken"] == told["broken"]


def test_a_truncated_parquet_file(copied, tmp_path):
    run = copied("copy/grpo")
    [whole] = (run / "rollouts").iterdir()
    broken = run / "rollouts" / "000006-000007.parquet"
    broken.write_bytes(whole.read_bytes()[:-9])
    ask = client(tmp_path / "own")
    told = said(ask.get("/api/runs/0/rollouts"))
    assert told["total"] == len(list(read_rollouts(run, range(6))))
    [message] = told["broken"]
    assert "000006-000007.parquet is not a whole Parquet file" in message
    assert str(tmp_path) not in message
    assert "not a whole Parquet file" in said(ask.get("/api/runs/0/calibration"))["broken"][0]
    os.remove(whole)
    assert said(ask.get("/api/runs/0/rollouts"))["total"] == 0
    assert "no such rollout" in said(ask.get("/api/runs/0/rollouts/0/0/0"), 404)["error"]


def test_damaged_pages_of_a_parquet_file(copied, tmp_path):
    run = copied("copy/grpo")
    [file] = (run / "rollouts").iterdir()
    data = bytearray(file.read_bytes())
    data[4:-3000] = bytes(len(data) - 3004)
    file.write_bytes(data)
    ask = client(tmp_path / "own")
    told = said(ask.get("/api/runs/0/rollouts"))
    assert (told["total"], len(told["broken"])) == (0, 1)
    assert str(tmp_path) not in told["broken"][0]


@pytest.mark.parametrize("name", ["manifest.json", "evaluation.json"])
def test_json_that_cannot_be_read(copied, tmp_path, name):
    (copied("copy/grpo") / name).write_text("{")
    ask = client(tmp_path / "own")
    problem = listed(ask)["grpo"]["problem"]
    assert f"{name} cannot be read" in problem
    assert str(tmp_path) not in problem
    for path in ("", "/findings", "/evaluation", "/recipe", "/rollouts", "/metrics"):
        answer = ask.get(f"/api/runs/0{path}")
        assert answer.status_code in (200, 422)
        assert answer.status_code == 200 or "cannot be read" in answer.json()["error"]


ONE = {"problems": 1, "samples": 1}
SHAPES = (
    {"splits": []},
    {"splits": {"test": 3}},
    {"splits": {"test": {"after": {"accuracy": 7, **ONE}}}},
    {"splits": {"test": {"after": {"accuracy": ["a", 1, 2], **ONE}}}},
    {"samples": [3]},
    {"samples": [{"before": "x"}]},
)


@pytest.mark.parametrize("content", SHAPES)
def test_an_evaluation_of_another_shape(copied, tmp_path, content):
    whole = {"splits": {}, "samples": [], "done": [], **content}
    (copied("copy/grpo") / "evaluation.json").write_text(json.dumps(whole))
    ask = client(tmp_path / "own")
    assert "valuation" in said(ask.get("/api/runs/0/evaluation"), 422)["error"]
    assert ask.get("/api/runs/0").status_code == 200  # the rest is shown
    assert ask.get("/api/runs/0/findings").status_code in (200, 422)


@pytest.mark.parametrize("line", ["[]", "3", "null", '{"step": "x"}', '{"step": 1, "metrics": []}', "[" * 100_000])
def test_a_line_of_metrics_of_another_shape(copied, tmp_path, line):
    path = copied("copy/grpo") / "metrics.jsonl"
    path.write_text(path.read_text() + line + "\n")
    ask = client(tmp_path / "own")
    told = said(ask.get("/api/runs/0/metrics"))
    assert (len(told["records"]), len(told["broken"])) == (6, 1)
    for path in ("", "/findings"):
        assert said(ask.get(f"/api/runs/0{path}"))["iterations"] == 6


def test_a_parquet_file_without_the_columns(copied, tmp_path):
    run = copied("copy/grpo")
    schema = pa.schema([("step", pa.int32())], metadata={"sharpen.rollouts": "2"})
    pq.write_table(pa.table({"step": [9]}, schema), run / "rollouts" / "000009-000009.parquet")
    told = said(client(tmp_path / "own").get("/api/runs/0/rollouts"))
    assert told["total"] == len(list(read_rollouts(run, range(6))))
    assert "000009-000009.parquet is damaged" in told["broken"][0]


def test_rollouts_of_version_1_and_of_latents(copied, tmp_path):
    run = copied("copy/grpo")
    shutil.rmtree(run / "rollouts")
    (run / "rollouts").mkdir()
    shutil.copy(Path(__file__).parents[1] / "run" / "version1.parquet", run / "rollouts" / "000000-000001.parquet")
    ask = client(tmp_path / "own")
    assert said(ask.get("/api/runs/0/rollouts"))["total"] == 8
    words, latents = said(ask.get("/api/runs/0/rollouts/1/0"))["traces"]
    assert (words["notes"], words["segments"][1]["notes"]) == ({}, {})
    assert (latents["segments"][1]["tokens"], latents["segments"][1]["text"]) == (None, None)
    nodes = said(ask.get("/api/runs/0/rollouts/1/0/tree"))["nodes"]
    assert [(n["parent"], n["of"]) for n in nodes] == [(None, 2), (0, 1), (0, 1)]


def test_a_run_that_is_moved_away(copied, tmp_path):
    path = copied("copy/grpo")
    ask = client(tmp_path / "own")
    assert number(ask, "grpo") == 0
    path.rename(tmp_path / "gone")
    assert "There is no run 0" in said(ask.get("/api/runs/0/rollouts"), 404)["error"]


@pytest.mark.parametrize("name", ["metrics.jsonl", "rollouts", "evaluation.json", "policy"])
def test_links_that_lead_out_are_not_followed(copied, tmp_path, name):
    run = copied("copy/grpo")
    (run / name).rename(tmp_path / name)
    (run / name).symlink_to(tmp_path / name)
    ask = client(tmp_path / "own")
    paths = {
        "metrics.jsonl": "metrics",
        "rollouts": "rollouts",
        "evaluation.json": "evaluation",
        "policy": "rollouts/0/0/0",
    }
    assert "is a link to somewhere outside" in said(ask.get(f"/api/runs/0/{paths[name]}"), 422)["error"]


def test_folders_that_are_links_hold_no_runs(copied, tmp_path):
    run = copied("copy/grpo")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "link").symlink_to(run)
    assert listed(client(tmp_path / "other")) == {}


# ------------------------------------------------------------------ what models wrote


def test_hostile_texts_are_plain_text(evil, tmp_path):
    ask = client(tmp_path / "own")
    told = said(ask.get("/api/runs/0/rollouts/0/0"))
    texts = [t["segments"][1]["text"] for t in told["traces"]]
    assert texts[0] == EVIL[0]  # markup is text already; what cannot be seen is spelt out
    assert texts[4] == "⟨U+001B⟩]0;title⟨U+0007⟩⟨U+001B⟩[31mred⟨U+001B⟩[0m"
    assert texts[5] == "⟨U+202E⟩gnp.exe"
    for path in ("", "/rollouts", "/evaluation", "/recipe", "/findings", "/metrics", "/rollouts/0/0/tree"):
        answer = ask.get(f"/api/runs/0{path}")
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "application/json"
        assert "\x1b" not in answer.text
        assert "\u202e" not in answer.text
        assert "\\u001b" not in answer.text
        json.loads(answer.text)
