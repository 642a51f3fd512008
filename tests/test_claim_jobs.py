"""Jobs of claims: processes of their own, results kept one by one, failures, Ctrl-C."""

from __future__ import annotations

import json
import multiprocessing
from dataclasses import replace

import pytest

from claim_toy import fails, says_claim, trains_claim
from sharpen.claims import Arm, run, store
from sharpen.errors import SharpenError
from sharpen.run.ending import Stopped


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("SHARPEN_CACHE", str(tmp_path_factory.getbasetemp() / "bases"))


def test_jobs_at_once_change_no_figure(tmp_path):
    c = trains_claim()
    one = run(c, tmp_path / "1", seeds=1)
    two = run(c, tmp_path / "2", seeds=1, jobs=2)
    assert [(r.arm, r.seed) for r in one] == [("rloo", 0), ("psr", 0), ("base", 0)]
    for a, b in zip(one, two, strict=True):
        assert replace(a, seconds=0) == replace(b, seconds=0)
        assert a.spent == (0 if a.arm == "base" else 3)
    assert one[0].numbers != one[1].numbers
    head, *lines = (tmp_path / "1" / "trains" / "results.jsonl").read_text().splitlines()
    top = json.loads(head)
    assert (top["command"], top["seeds"]) == ("sharpen claim trains --seeds 1", [0])
    assert {"python", "torch", "cpus", "seconds"} <= top.keys()
    psr = one[1]
    assert top["arms"]["psr"] == {
        "seeds": 1,
        "generated_tokens": psr.cost["generated_tokens"],
        "spent": 3.0,
        "seconds": round(psr.seconds, 1),
    }
    assert json.loads(lines[0])["curve"]["updates"] == [1, 2, 3]
    assert store.load(tmp_path / "1", c) == one


def test_what_is_done_is_skipped(tmp_path):
    c = says_claim()
    first = run(c, tmp_path, seeds=2, arms=["more"])
    assert [(r.arm, r.seed) for r in first] == [("more", 0), ("more", 1)]
    told = []
    second = run(c, tmp_path, seeds=3, watch=lambda r, k, n: told.append((r.arm, r.seed, k, n)))
    assert told == [("less", 0, 3, 6), ("less", 1, 4, 6), ("more", 2, 5, 6), ("less", 2, 6, 6)]
    assert second[:2] == first
    assert [r.numbers["accuracy"] for r in second] == [0.5, 0.6, 0.7, 0.4, 0.4, 0.4]
    again = run(c, tmp_path, seeds=2, arms=["more"], fresh=True)
    assert [a.numbers["moment"] > b.numbers["moment"] for a, b in zip(again, second[:3], strict=False)][:2] == [
        True
    ] * 2
    assert again[2:] == second[2:]
    changed = replace(c, evaluation=replace(c.evaluation, problems=1))
    assert store.load(tmp_path, changed) == []


def test_a_job_that_fails_is_told_and_the_others_go_on(tmp_path):
    c = says_claim(Arm("bad", run=fails))
    rs = run(c, tmp_path, jobs=2)
    bad = [r for r in rs if r.arm == "bad"]
    assert [r.error.partition(" (claim_toy.py, line")[0] for r in bad] == [
        "",
        "ValueError: no luck",
        "The job failed: its process was ended by signal 9.",
        "Arm 'bad' measured accuracy = nan; give a finite number for every metric.",
        "The claim compares 'accuracy', and arm 'bad' measured moment. Measure it, or compare another metric.",
    ]
    assert [r.error for r in rs if r.arm != "bad"] == [""] * 10
    told = []
    run(c, tmp_path, arms=["bad"], seeds=2, watch=lambda r, k, n: told.append((r.seed, k, n)))
    assert told == [(1, 2, 2)]


def test_what_ctrl_c_leaves(tmp_path):
    c = says_claim()

    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(Stopped, match=r"Stopped; 1 results are kept in .*results.jsonl. The same command goes on"):
        run(c, tmp_path, jobs=2, watch=stop)
    assert multiprocessing.active_children() == []
    assert len(store.load(tmp_path, c)) == 1
    assert len(run(c, tmp_path)) == 10


def test_what_cannot_be_run(tmp_path):
    with pytest.raises(SharpenError, match=r"has no arm 'mor'\. Did you mean more"):
        run(says_claim(), tmp_path, arms=["mor"])
    with pytest.raises(SharpenError, match="0 jobs at once cannot be run"):
        run(says_claim(), tmp_path, jobs=0)
    with pytest.raises(SharpenError, match=r"cannot be handed to another process .* at the top of a module"):
        run(says_claim(Arm("here", run=lambda stage, seed: {})), tmp_path)
    with store.held(tmp_path, says_claim()), pytest.raises(SharpenError, match="Another process is testing the claim"):
        run(says_claim(), tmp_path)
    file = store.path(tmp_path, says_claim())
    file.write_text('{}\n{"arm": "more"}\n')
    with pytest.raises(SharpenError, match=r"Line 2 of .*results.jsonl is no result that sharpen wrote"):
        run(says_claim(), tmp_path)
