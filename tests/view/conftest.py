"""Runs to look at, made once, and a hostile one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from browsing import Watched, served
from sharpen.run.rollouts import RolloutWriter, files
from viewed import EVIL, client, hostile, made, study


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs that no test changes."""
    where = tmp_path_factory.mktemp("view") / "runs"
    made(where)
    return where


@pytest.fixture(scope="session")
def seeds(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two recipes at three seeds each, which no test changes."""
    where = tmp_path_factory.mktemp("seeds") / "study"
    study(where, runs.parent / "models")
    return where


@pytest.fixture
def copied(runs: Path, tmp_path: Path) -> Callable[[str], Path]:
    """A run by its name below `runs`, copied into a folder of the test's own."""

    def copy(name: str) -> Path:
        return Path(shutil.copytree(runs / name, tmp_path / "own" / Path(name).name))

    return copy


@pytest.fixture
def evil(copied: Callable[[str], Path]) -> Path:
    """A run with hostile rollouts, metrics, manifest and evaluation."""
    run = copied("copy/grpo")
    for path, _, _ in files(run / "rollouts"):
        path.unlink()
    writer = RolloutWriter(run / "rollouts")
    writer.add(0, hostile())
    writer.flush()
    manifest = json.loads((run / "manifest.json").read_text())
    manifest |= {"name": EVIL[0], "task": EVIL[1], "composition": "\n".join(EVIL), "created": EVIL[2]}
    manifest["versions"][EVIL[0]] = EVIL[1]
    (run / "manifest.json").write_text(json.dumps(manifest))
    evaluation = json.loads((run / "evaluation.json").read_text())
    evaluation["samples"][0] |= {
        "problem": "\n".join(EVIL),
        "answer": EVIL[0],
        "after": {"text": EVIL[7], "solved": True},
    }
    evaluation["splits"][EVIL[1]] = evaluation["splits"]["test"]
    (run / "evaluation.json").write_text(json.dumps(evaluation))
    line = {"step": 6, "metrics": dict.fromkeys(EVIL, 1.0), "cost": {EVIL[0]: 1}}
    with open(run / "metrics.jsonl", "a") as file:
        file.write(json.dumps(line) + "\n")
    return run


@pytest.fixture
def ask(runs: Path) -> TestClient:
    """Somebody who asks for the runs that no test changes."""
    return client(runs)


BROWSERS = ("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium; without it, or without playwright, the tests of the page are skipped."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = next((p for p in BROWSERS if Path(p).exists()), None)
    if found is None:
        pytest.skip("there is no Chromium")
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def here(runs: Path) -> Iterator[str]:
    """The address of a server for the runs that no test changes."""
    with served(runs) as address:
        yield address


@pytest.fixture
def look(browser: Any, here: str) -> Iterator[Watched]:
    """A page at those runs, which must do nothing it should not."""
    watched = Watched(browser, here)
    yield watched
    watched.close()
