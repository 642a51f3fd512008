"""The report of a run directory, put together from what lies in it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sharpen.evaluation import Evaluation
from sharpen.run import diagnose
from sharpen.run.directory import RunDir
from sharpen.run.report import ReportData, write_report
from sharpen.run.rollouts import files, read_rollouts

GROUPS_SHOWN = 4
TRACES_SHOWN = 6


def findings(run: RunDir, recipes: Iterable[str]) -> list[diagnose.Finding]:
    """What went wrong in a run, in words."""
    splits = evaluation_of(run.path)["splits"]
    sides = {
        when: {s: Evaluation.from_plain(e[when]) for s, e in splits.items() if when in e}
        for when in ("before", "after")
    }
    known = diagnose.Setup(max_tokens=run.manifest()["max_tokens"], recipes=frozenset(recipes))
    return diagnose.diagnose(run.read_metrics(), sides["before"], sides["after"], known)


def evaluation_of(path: Path) -> dict[str, Any]:
    """The measures before and after, as far as they are known."""
    file = path / "evaluation.json"
    return json.loads(file.read_text()) if file.exists() else {"splits": {}, "samples": []}


def tell(run: RunDir, found: list[diagnose.Finding]) -> Path:
    """Write report.html; returns where it is."""
    evaluation, m = evaluation_of(run.path), run.manifest()
    path = run.path / "report.html"
    write_report(
        path,
        ReportData(
            title=f"{m['name']} on {m['task']}, seed {m['seed']}",
            manifest=m,
            composition=m["composition"],
            history=run.read_metrics(),
            evaluation=evaluation["splits"],
            findings=found,
            samples=evaluation["samples"],
            rollouts=list(_groups(run.path)),
            commands={
                "Resume": f"sharpen train --resume --out {run.path}",
                "Measure": f"sharpen eval {run.path}",
                "Take the model away": f"sharpen export {run.path} DIR",
            },
        ),
    )
    return path


def _groups(path: Path) -> Iterable[dict[str, Any]]:
    """Some groups of the last iteration that was kept."""
    kept = files(path / "rollouts")
    rows = read_rollouts(path, steps={kept[-1][2]} if kept else set())
    for (step, _), members in itertools.islice(
        itertools.groupby(rows, key=lambda r: (r["step"], r["group"])), GROUPS_SHOWN
    ):
        traces = list(members)
        yield {
            "step": step,
            "problem": traces[0]["prompt"],
            "traces": [_trace(t) for t in traces[:TRACES_SHOWN]],
        }


def _trace(row: Mapping[str, Any]) -> dict[str, Any]:
    segments = []
    for s in row["segments"]:
        credit = s["cols"].get("adv") or []
        segments.append(
            {
                "role": s["role"],
                "text": s["text"] or "",
                "trainable": s["trainable"],
                "by": s["by"],
                "credit": sum(credit) / len(credit) if credit else None,
            }
        )
    return {
        "segments": segments,
        "rewards": row["rewards"],
        "reward": row["reward"],
        "solved": row["solved"],
        "end": row["end"],
    }
