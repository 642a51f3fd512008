"""`sharpen claim`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from claim_toy import fails, says_claim
from command import refused
from sharpen.claims import Arm


@pytest.fixture(autouse=True)
def _claims(tmp_path, monkeypatch):
    """Two claims that take moments, in the place of the real ones."""
    known = {c.name: c for c in (says_claim(), says_claim(Arm("bad", run=fails), name="fails-once"))}
    monkeypatch.setenv("SHARPEN_CACHE", str(tmp_path / "bases"))
    monkeypatch.setattr("sharpen.claims.catalogue.all_claims", lambda: known)
    monkeypatch.setattr("sharpen.cli.claiming.all_claims", lambda: known)


def test_list_and_run(sharpen):
    assert sharpen("claim").out.splitlines() == [
        "says-more\tWhat says more is above what says less.\tnot run",
        "fails-once\tWhat says more is above what says less.\tnot run",
    ]
    told = sharpen("claim", "says-more", "--jobs", 2)
    assert told.status == 0
    lines = told.out.splitlines()
    assert lines[-8].startswith("10/10 ")
    assert lines[-7:] == [
        "What says more is above what says less. (nobody, arXiv 0000.00000)",
        "arm\tseeds\taccuracy\tgenerated tokens\tbudget spent\tCPU seconds",
        "more\t5\t0.700 [0.500, 0.900]\t0\t0 %\t0",
        "less\t5\t0.400 [0.400, 0.400]\t0\t0 %\t0",
        "comparison\tseeds\tdifference (95 % interval)\tverdict",
        "accuracy: more above less\t5\t+0.300 (+0.104 to +0.496)\tholds",
        "says-more: holds",
    ]
    assert Path("claims/says-more/results.jsonl").exists()
    assert [x["verdict"] for x in json.loads(sharpen("claim", "--json").out)] == ["holds", "not run"]
    again = sharpen("claim", "says-more")
    assert again.out.splitlines()[0] == "What says more is above what says less. (nobody, arXiv 0000.00000)"
    assert [x["verdict"] for x in json.loads(sharpen("claim", "--json", "--dir", "elsewhere").out)] == ["not run"] * 2


def test_json_and_failure(sharpen):
    said = sharpen("claim", "fails-once", "--seeds", 2, "--arm", "more", "--arm", "bad", "--json", "--dir", "kept")
    assert said.status == 1
    told = json.loads(said.out)
    assert (told["claim"], told["verdict"]) == ("fails-once", "unfinished")
    assert [(r["arm"], r["seed"], bool(r["error"])) for r in told["results"]] == [
        ("more", 0, False),
        ("more", 1, False),
        ("bad", 0, False),
        ("bad", 1, True),
    ]
    assert "ValueError: no luck" in told["remarks"][0]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["says-mor"], "There is no claim 'says-mor'. Did you mean says-more? `sharpen claim` lists them."),
        (["says-more", "--arm", "mre"], "Claim 'says-more' has no arm 'mre'. Did you mean more?"),
        (["says-more", "--seeds", "-1"], "`--seeds -1 --jobs 1` must be 1 or more each."),
        (["says-more", "--jobs", "0"], "`--seeds 0 --jobs 0` must be 1 or more each."),
        (["says-more", "--set", "a"], "`sharpen claim` has no option --set. Did you mean"),
    ],
)
def test_what_is_refused(sharpen, words, text):
    refused(sharpen("claim", *words), text)


def test_ctrl_c(sharpen, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("sharpen.cli.claiming.Told.result", stop)
    refused(sharpen("claim", "says-more"), "Stopped; 1 results are kept in claims/says-more/results.jsonl.", status=130)
