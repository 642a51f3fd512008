"""Whether two runs ended in the same: every byte that a run promises, and nothing left over."""

from __future__ import annotations

import json
from pathlib import Path

from sharpen.cli.options import find_recipe
from sharpen.overrides import override
from sharpen.run.directory import RunDir
from sharpen.run.rollouts import read_rollouts
from sharpen.run.telling import findings, tell

OWN = ("lock", "log.txt", "timing.jsonl", "report.html", "manifest.json")
"""Files that tell of a process or of a moment."""


def differences(run: Path, whole: Path) -> list[str]:
    """In what a run that was killed differs from one that was not; empty when in nothing."""
    out = [f"left over: {p.relative_to(run)}" for p in run.rglob(".tmp-*")]
    mine, theirs = _files(run), _files(whole)
    out += [f"only there: {x}" for x in sorted(theirs - mine)] + [f"only here: {x}" for x in sorted(mine - theirs)]
    out += [f"other bytes: {x}" for x in sorted(mine & theirs) if (run / x).read_bytes() != (whole / x).read_bytes()]
    if list(read_rollouts(run)) != list(read_rollouts(whole)):
        out.append("other rollouts")
    steps, wanted = (RunDir(x).read_metrics() for x in (run, whole))
    if [x["step"] for x in RunDir(run).read_timing()] != [x["step"] for x in wanted] or len(steps) != len(wanted):
        out.append("not a line an iteration")
    if _lasting(run) != _lasting(whole):
        out.append("another manifest")
    if _stale(run):
        out.append("a report of an earlier moment")
    return out


def _files(run: Path) -> set[str]:
    found = {str(p.relative_to(run)) for p in run.rglob("*") if p.is_file()}
    return {x for x in found if x not in OWN and not x.startswith("rollouts/")}


def _lasting(run: Path) -> dict[str, object]:
    return {k: v for k, v in json.loads((run / "manifest.json").read_bytes()).items() if k not in ("created", "git")}


def _stale(path: Path) -> bool:
    """Whether the report is another than the one that the folder as it is would get."""
    run = RunDir(path)
    if not run.report.exists():
        return True
    there, origin = run.report.read_bytes(), run.manifest()["origin"]
    tell(run, findings(run, override(find_recipe(origin["recipe"]), origin["set"])))
    now = run.report.read_bytes()
    run.report.write_bytes(there)
    return now != there
