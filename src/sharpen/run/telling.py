"""The report of a run directory, put together from what lies in it."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sharpen.core import walk
from sharpen.evaluation import Evaluation
from sharpen.overrides import options
from sharpen.recipe import Method, recipes_of
from sharpen.recipes import all_recipes
from sharpen.rollout.sample import Sample
from sharpen.run.diagnose import Finding, diagnose
from sharpen.run.directory import RunDir
from sharpen.run.remedies import Known
from sharpen.run.report import ReportData, write_report
from sharpen.run.rollouts import files, read_rollouts

GROUPS_SHOWN = 4
TRACES_SHOWN = 6


def findings(run: RunDir, recipe: Method) -> list[Finding]:
    """What went wrong in a run of a recipe, in words."""
    splits = run.read_evaluation()["splits"]
    sides = {
        when: {s: Evaluation.from_plain(e[when]) for s, e in splits.items() if when in e}
        for when in ("before", "after")
    }
    return diagnose(run.read_metrics(), sides["before"], sides["after"], known(recipe, run.manifest()))


def known(recipe: Method, manifest: Mapping[str, Any]) -> Known:
    """What a diagnosis must know of a run besides its history."""
    samples = [
        part for part in walk(tuple((r.source, r.collect) for r in recipes_of(recipe))) if isinstance(part, Sample)
    ]
    own = max((s.max_tokens for s in samples), default=0)
    limit = {"max_tokens": own, "limit": "--set Sample.max_tokens="} if own else {"max_tokens": manifest["max_tokens"]}
    return Known(
        samples=max((s.traces for s in samples), default=0),
        recipes=frozenset(all_recipes()),
        options=options(recipe),
        **limit,
    )


def tell(run: RunDir, found: list[Finding]) -> Path:
    """Write report.html; returns where it is."""
    evaluation, m = run.read_evaluation(), run.manifest()
    path, name = run.report, shlex.quote(str(run.path))
    write_report(
        path,
        ReportData(
            title=f"{m['name']} on {m['task']}, seed {m['seed']}",
            manifest=m,
            composition=m["composition"],
            history=run.read_metrics(),
            timing=run.read_timing(),
            evaluation=evaluation["splits"],
            findings=found,
            samples=evaluation["samples"],
            rollouts=list(_groups(run.path)),
            commands={
                "Resume": f"sharpen train --resume --out {name}",
                "Measure": f"sharpen eval {name}",
                "Take the model away": f"sharpen export {name} DIR",
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
