"""Rollouts as the server tells them: filtered, sorted, whole, and as trees."""

from __future__ import annotations

import math
import shutil

import pyarrow.parquet as pq
import pytest

from sharpen.run.rollouts import read_rollouts
from sharpen.view import columns as columns_module
from sharpen.view.tree import tree
from viewed import client, number, said

# ------------------------------------------------------------------ rollouts


def test_rollouts_filtered_sorted_and_paged(ask, runs):
    k = number(ask, "copy/grpo")
    rows = list(read_rollouts(runs / "copy/grpo"))

    def got(**query):
        return said(ask.get(f"/api/runs/{k}/rollouts", params={"limit": 200, **query}))

    def keys(some):
        return [(r["step"], r["group"], r["trace"]) for r in some]

    whole = got()
    assert (whole["total"], whole["fit"], whole["steps"]) == (len(rows), len(rows), [0, 5])
    assert keys(whole["rows"]) == keys(rows)[:200]
    first = whole["rows"][0]
    assert {n: first[n] for n in ("problem", "prompt", "reward", "solved", "end", "agent", "length")} == {
        n: rows[0][n] for n in ("problem", "prompt", "reward", "solved", "end", "agent", "length")
    }
    assert keys(got(solved="yes")["rows"]) == keys([r for r in rows if r["solved"]])
    assert keys(got(solved="no", first=2, last=3)["rows"]) == keys(
        [r for r in rows if not r["solved"] and 2 <= r["step"] <= 3]
    )
    assert keys(got(low=1)["rows"]) == keys([r for r in rows if r["reward"] >= 1])
    text = rows[0]["prompt"]
    assert keys(got(text=text.upper())["rows"]) == keys([r for r in rows if text in r["prompt"]])
    assert keys(got(text=rows[0]["problem"])["rows"]) == keys([r for r in rows if r["problem"] == rows[0]["problem"]])
    assert keys(got(end="length")["rows"]) == keys([r for r in rows if r["end"] == "length"])
    assert got(agent="nobody")["fit"] == 0
    down = sorted(rows, key=lambda r: (-r["length"], r["step"], r["group"], r["trace"]))
    assert keys(got(sort="length", down="yes")["rows"]) == keys(down)[:200]
    assert keys(got(sort="length", down="yes", offset=5, limit=3)["rows"]) == keys(down[5:8])


def test_rows_without_a_reward_come_last(ask):
    k = number(ask, "tree")  # its recipe makes no total
    rows = said(ask.get(f"/api/runs/{k}/rollouts", params={"sort": "reward", "down": "yes"}))["rows"]
    assert {r["reward"] for r in rows} == {None}
    assert said(ask.get(f"/api/runs/{k}/rollouts", params={"low": 0}))["fit"] == 0


def test_the_index_reads_a_file_once_and_never_the_segments(runs, monkeypatch):
    ask = client(runs)
    k, asked = number(ask, "copy/grpo"), []
    real = pq.ParquetFile.read

    def spy(self, columns=None, **how):
        asked.append(columns)
        return real(self, columns=columns, **how)

    monkeypatch.setattr(pq.ParquetFile, "read", spy)
    for query in ({}, {"solved": "yes"}, {"text": "3"}, {"sort": "reward"}):
        said(ask.get(f"/api/runs/{k}/rollouts", params=query))
    files = list((runs / "copy/grpo/rollouts").iterdir())
    assert len(asked) == len(files)
    assert "segments" not in asked[0]
    assert set(asked[0]) == {*columns_module.NUMBERS, "solved", *columns_module.TEXTS}


def test_a_trace_and_its_tokens(ask, runs):
    k = number(ask, "copy/grpo")
    row = list(read_rollouts(runs / "copy/grpo", {3}))[9]
    told = said(ask.get(f"/api/runs/{k}/rollouts/3/{row['group']}/{row['trace']}"))
    answer, mine = told["segments"][-1], row["segments"][-1]
    assert {n: told[n] for n in ("problem", "rewards", "reward", "solved", "end")} == {
        n: row[n] for n in ("problem", "rewards", "reward", "solved", "end")
    }
    assert answer["tokens"] == mine["tokens"]
    assert "".join(answer["pieces"]) == mine["text"] + "<eos>" * (told["end"] == "stop")
    assert answer["cols"]["adv"] == pytest.approx(mine["cols"]["adv"])
    assert answer["cols"]["logp"] == pytest.approx(mine["logp"])
    gap = [a - b for a, b in zip(mine["cols"]["logp_old"], mine["cols"]["logp_ref"], strict=True)]
    assert answer["cols"]["ratio"] == pytest.approx([math.exp(x) for x in gap])


def test_without_a_tokenizer_segments_have_no_pieces(copied, tmp_path):
    shutil.rmtree(copied("copy/grpo") / "policy")
    told = said(client(tmp_path / "own").get("/api/runs/0/rollouts/0/0/0"))
    assert told["segments"][-1]["pieces"] is None
    assert told["segments"][-1]["text"]


def test_a_group(ask, runs):
    k = number(ask, "sure")
    traces = said(ask.get(f"/api/runs/{k}/rollouts/1/2"))["traces"]
    mine = [r for r in read_rollouts(runs / "sure", {1}) if r["group"] == 2]
    assert [t["trace"] for t in traces] == [r["trace"] for r in mine]
    assert [[s["text"] for s in t["segments"]] for t in traces] == [[s["text"] for s in r["segments"]] for r in mine]


def test_the_tree_of_a_search(ask, runs):
    k = number(ask, "tree")
    mine = [r for r in read_rollouts(runs / "tree", {0}) if r["group"] == 0]
    told = said(ask.get(f"/api/runs/{k}/rollouts/0/0/tree"))
    nodes = told["nodes"]
    assert (told["searched"], told["shared"], told["traces"]) == (True, True, len(mine))
    distinct = {s["id"] for r in mine for s in r["segments"] if s["trainable"]}
    assert sum(n["trainable"] for n in nodes) == len(distinct)
    assert [n["parent"] for n in nodes].count(None) == 1  # the question stands once
    root = nodes[0]
    assert (root["text"], root["of"], root["judged"]) == (mine[0]["prompt"], len(mine), len(mine))
    assert root["solved"] == sum(r["solved"] for r in mine)
    by_text = {(n["parent"], n["text"]): n for n in nodes}
    for row in mine:
        at = None
        for segment in row["segments"]:
            node = by_text[at, " ".join((segment["text"] or "").split())]
            assert node["visits"] == segment["notes"].get("visits")
            assert node["q"] == segment["notes"].get("q")
            at = node["id"]
        assert row["trace"] in [e["trace"] for e in nodes[at]["ends"]]
    assert all(n["parent"] is None or n["parent"] < n["id"] for n in nodes)


def test_a_tree_of_version_1_merges_what_is_equal():
    def row(trace, *texts):
        segments = [
            {
                "role": "assistant" if k else "user",
                "by": "policy",
                "trainable": k > 0,
                "text": text,
                "atoms": 1,
                "tokens": [ord(text)],
                "logp": [-1.0] if k else None,
                "cols": {},
                "id": None,
                "notes": {},
            }
            for k, text in enumerate(texts)
        ]
        return {"trace": trace, "solved": trace == 1, "reward": None, "end": "stop", "notes": {}, "segments": segments}

    told = tree([row(0, "q", "a", "b"), row(1, "q", "a", "c"), row(2, "q", "d", "b")])
    assert [(n["parent"], n["text"], n["of"], n["solved"]) for n in told["nodes"]] == [
        (None, "q", 3, 1),
        (0, "a", 2, 1),
        (1, "b", 1, 0),
        (1, "c", 1, 1),
        (0, "d", 1, 0),
        (4, "b", 1, 0),
    ]
    assert (told["shared"], told["searched"]) == (True, False)
