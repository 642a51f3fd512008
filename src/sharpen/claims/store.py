"""Results of a claim on disk: `DIR/NAME/results.jsonl`, a head that tells how they were made, then one line a job.

The file is written anew, beside itself and renamed, whenever a job has ended, so it is always whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch

from sharpen.claims.base import Arm, Claim, bare
from sharpen.errors import SharpenError
from sharpen.run import files
from sharpen.run.compose import compose
from sharpen.run.files import replace, writing
from sharpen.run.lines import valid

FORMAT = 1
"""Version of the results' layout; results of another are made anew."""


@dataclass(frozen=True)
class Result:
    """What one arm measured at one seed: `numbers`, or the `error` it failed with.

    `spent` is in the unit of the claim's budget, `cost` everything that was counted, `seconds` those of CPU, evaluation
    included. `curve` holds a list for each recorded metric, one entry an iteration (None where it was not logged).
    `fingerprint` tells whether the claim still asks for this very experiment; `made` names the versions.
    """

    arm: str
    seed: int
    fingerprint: str
    numbers: Mapping[str, float] = field(default_factory=dict)
    spent: float = 0.0
    cost: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    curve: Mapping[str, list[float | None]] = field(default_factory=dict)
    made: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""


def fingerprint(claim: Claim, arm: Arm) -> str:
    """A name for everything an arm's results depend on but the seed and the code: composition, task, base, budget."""
    base = claim.base
    taught = (base.task or claim.open_task()).identity()
    measured = [arm.run] if arm.run else [bare(arm.method), claim.measure]
    parts = [FORMAT, claim.open_task().identity(), claim.open_task().main, taught]
    parts += [compose(x, defaults=True) for x in (base.nano, base.setup, claim.budget, claim.evaluation, *measured)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def environment() -> dict[str, Any]:
    """What the results of this process are made with."""
    from sharpen import __version__

    return {
        "sharpen": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cpus": os.cpu_count(),
    }


def path(folder: Path, claim: Claim) -> Path:
    """Where a claim's results lie."""
    return folder / claim.name / "results.jsonl"


def current(claim: Claim, results: Sequence[Result]) -> list[Result]:
    """Those of this claim as it is now, in the order of arms, then seeds."""
    prints = {a.name: fingerprint(claim, a) for a in claim.arms}
    order = list(prints)
    known = [r for r in results if prints.get(r.arm) == r.fingerprint]
    return sorted(known, key=lambda r: (order.index(r.arm), r.seed))


def load(folder: Path, claim: Claim) -> list[Result]:
    """The results that are there for the claim as it is now. Raises SharpenError for a file that is damaged."""
    file = path(folder, claim)
    if not file.exists():
        return []
    names = {f.name for f in fields(Result)}
    out = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines()[1:], start=2):
        try:
            known = json.loads(line)
            out.append(Result(**{name: known[name] for name in names}))
        except (ValueError, KeyError, TypeError) as error:
            raise SharpenError(
                f"Line {number} of {file} is no result that sharpen wrote ({type(error).__name__}: {error}). Put the "
                "file back as it was, or delete it to test the claim anew."
            ) from error
    return current(claim, out)


def head(folder: Path, claim: Claim) -> dict[str, Any]:
    """How the results that are there were made: command, versions, CPUs, seconds, and what each arm spent."""
    with path(folder, claim).open(encoding="utf-8") as file:
        known: dict[str, Any] = json.loads(file.readline())
    return known


def command(claim: Claim, results: Sequence[Result]) -> str:
    """The command that makes these results, however many it took."""
    known = {r.arm for r in results}
    some = [f"--arm {a.name}" for a in claim.arms if a.name in known] if len(known) < len(claim.arms) else []
    return " ".join(["sharpen claim", claim.name, f"--seeds {max(r.seed for r in results) + 1}", *some])


def save(folder: Path, claim: Claim, results: Sequence[Result]) -> None:
    """Write all results (one or more), the head first."""
    top = {
        "claim": claim.name,
        "statement": claim.statement,
        "source": claim.source,
        "command": command(claim, results),
        "budget": asdict(claim.budget),
        "seeds": sorted({r.seed for r in results}),
        "seconds": round(sum(r.seconds for r in results), 1),
        "arms": {a.name: _totals([r for r in results if r.arm == a.name and not r.error]) for a in claim.arms},
        **environment(),
    }
    rows = [top, *(asdict(r) for r in current(claim, results))]
    data = "".join(json.dumps(valid(row), allow_nan=False) + "\n" for row in rows)
    file = path(folder, claim)
    with writing("the results", file.parent):
        replace(file, data.encode())


def _totals(results: Sequence[Result]) -> dict[str, float]:
    """How many seeds an arm has, and what it spent in the mean over them."""
    n = max(1, len(results))
    tokens = sum(r.cost.get("generated_tokens", 0) for r in results) / n
    return {
        "seeds": len(results),
        "generated_tokens": round(tokens),
        "spent": round(sum(r.spent for r in results) / n, 1),
        "seconds": round(sum(r.seconds for r in results) / n, 1),
    }


def held(folder: Path, claim: Claim) -> AbstractContextManager[None]:
    """Be the only process that writes a claim's results. SharpenError where another one does."""
    return files.held(
        path(folder, claim).parent,
        "the results",
        f"Another process is testing the claim {claim.name!r} in {folder}. Wait until it has ended, or choose another "
        "folder with --dir.",
    )
