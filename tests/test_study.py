"""The notebook of the examples runs, and its cells leave what its text says."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path

import pytest

from sharpen.actor.nano import Nano, nano_base
from sharpen.task import Chain

ROOT = Path(__file__).parents[1]
BOOK = ROOT / "examples" / "study.ipynb"
SHORT = {"low": 1, "high": 2, "harder_low": 3, "harder_high": 3}
CONSTANTS = """MODEL = {model!r}
TASK_SET = {task!r}
ITERATIONS = 3
PROBLEMS = 4
EVAL_PROBLEMS = 12
EVAL_SAMPLES = 4
"""
LEFT = """
import json
print(json.dumps({
    "prompt": problem.prompt,
    "answer": problem.answer,
    "steps": [list(r.to_pandas().index) for r in (first, second)],
    "tokens": {k: int(v) for k, v in tokens.items()},
    "traces": len(traces),
    "headline": first.story.headline,
    "evaluated": [e.problems for run in (first, second) for times in run.evaluation.values() for e in times.values()],
    "base": [[run.evaluation[s]["before"].outcomes.right for s in run.evaluation] for run in (first, second)],
    "after": {s: [run.evaluation[s]["after"].accuracy.mean for run in (first, second)] for s in first.evaluation},
    "differences": {"/".join(k): m.by.mean for k, m in comparison.items()},
    "report": (first.path / "report.html").exists(),
}))
"""


def book() -> dict:
    return json.loads(BOOK.read_text())


def test_the_notebook_is_stored_without_outputs_and_paths():
    cells = book()["cells"]
    assert all(not c.get("outputs") and c.get("execution_count") is None for c in cells)
    assert [c["metadata"].get("tags") for c in cells if c["metadata"]] == [["parameters"]]
    kinds = [c["cell_type"] for c in cells]
    # text stands between any two cells of code
    assert kinds[0] == "markdown"
    assert all({a, b} == {"markdown", "code"} for a, b in itertools.pairwise(kinds))
    assert not [word for word in ("/home", "/root", "/work", "/tmp", "/Users") if word in BOOK.read_text()]


def test_the_notebook_runs(tmp_path: Path, monkeypatch):
    nbformat = pytest.importorskip(
        "nbformat", reason="the notebook is run by nbclient: pip install 'sharpen[notebook]'"
    )
    nbclient = pytest.importorskip(
        "nbclient", reason="the notebook is run by nbclient: pip install 'sharpen[notebook]'"
    )
    pytest.importorskip("ipykernel", reason="the notebook runs in a kernel: pip install 'sharpen[notebook]'")
    pytest.importorskip("pandas", reason="the notebook shows tables of pandas: pip install 'sharpen[notebook]'")
    monkeypatch.setenv("SHARPEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]))
    model = nano_base(Chain(**SHORT), Nano(width=32, layers=2, heads=2, context=128, steps=60, batch=32, warmup=10))
    notebook = nbformat.reads(BOOK.read_text(), as_version=4)
    constants = next(c for c in notebook.cells if c.metadata.get("tags") == ["parameters"])
    constants.source = CONSTANTS.format(model=str(model), task=SHORT)
    notebook.cells.append(nbformat.v4.new_code_cell(LEFT))
    nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    outputs = {i: c.outputs for i, c in enumerate(notebook.cells) if c.cell_type == "code"}
    left = json.loads(outputs[len(notebook.cells) - 1][0]["text"])
    assert left["steps"] == [[0, 1, 2]] * 2
    assert left["traces"] == 4 * 16  # of the first iteration, which alone is a multiple of five
    assert set(left["evaluated"]) == {12}
    # both runs began with the same model, on the same problems
    assert left["base"][0] == left["base"][1]
    assert 0 < left["tokens"]["n = 8"] < left["tokens"]["n = 16"]
    for split, (a, b) in left["after"].items():
        assert left["differences"][f"{split}/accuracy"] == pytest.approx(b - a, abs=1e-9)
    assert set(left["differences"]) == {f"{s}/{m}" for s in ("test", "harder") for m in ("accuracy", "pass@4")}
    assert left["report"]
    shown = [o["data"]["text/html"] for c in outputs.values() for o in c if "text/html" in o.get("data", {})]
    assert sum(left["headline"] in html for html in shown) >= 1
    assert sum('class="sharpen-card"' in html for html in shown) == 3  # two runs and their curves
    assert sum("<table" in html and "dataframe" in html for html in shown) == 2
