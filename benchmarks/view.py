"""The viewer's server on a run of ten thousand rollouts, next to loading them all.

`python benchmarks/view.py [--threads N] [--repeats N]`. The first page builds the index of columns; a filter and a
trace find it in memory. Loading everything is what a page without an index would do.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import common
import torch
from starlette.testclient import TestClient

from sharpen.run.rollouts import RolloutWriter, read_rollouts
from sharpen.types import Group, Problem, Sampling, Segment, Trace
from sharpen.view.app import app

STEPS, GROUPS, TRACES, ATOMS = 25, 25, 16, 200


def main() -> None:
    """Seconds of each way."""
    repeats = common.asked(__doc__, 5)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        size = made(run)
        ready = client(run)
        page = "/api/runs/0/rollouts?limit=50"
        asked(ready, page)
        sides: dict[str, Callable[[], float | None]] = {
            "first page, nothing known yet": lambda: asked(client(run), page),
            "first page again": partial(asked, ready, page),
            "filter and sort": partial(asked, ready, f"{page}&text=17&solved=yes&low=0.5&sort=length&down=yes"),
            "one trace, whole": partial(asked, ready, "/api/runs/0/rollouts/20/7/3"),
            "load everything": partial(everything, run),
        }
        times = common.turns(sides, repeats)
    whole = times["load everything"]
    rows = [[name, t.text(), common.ratio(whole, t)] for name, t in times.items()]
    text = f"{STEPS * GROUPS * TRACES:,} rollouts of {ATOMS} tokens with four numbers each, {size / 2**20:.0f} MiB of "
    text += "Parquet. Times are of a request and its answer as JSON.\n\n"
    text += common.table(["", "time", "loading everything takes as long as"], [[a, b, f"{c} x"] for a, b, c in rows])
    common.keep("view", "Looking at rollouts", text, {name: t.seconds for name, t in times.items()})


def client(run: Path) -> TestClient:
    """Somebody who asks a fresh server."""
    return TestClient(app([run]), base_url="http://127.0.0.1")


def asked(ask: TestClient, path: str) -> None:
    """A request that must be answered."""
    ask.get(path).raise_for_status()


def everything(run: Path) -> None:
    """Every row, as Python objects."""
    assert sum(1 for _ in read_rollouts(run)) == STEPS * GROUPS * TRACES


def made(run: Path) -> int:
    """A run with rollouts and nothing else; their size in bytes."""
    gen = torch.Generator().manual_seed(0)
    run.mkdir()
    (run / "manifest.json").write_text(json.dumps({"name": "made", "task": "none", "seed": 0, "recipe": {}}))
    writer = RolloutWriter(run / "rollouts")
    for step in range(STEPS):
        writer.add(step, [group(f"{step}-{g}", gen) for g in range(GROUPS)])
        writer.flush()
    return sum(p.stat().st_size for p in (run / "rollouts").iterdir())


def group(key: str, gen: torch.Generator) -> Group:
    """Random answers to a random question."""
    problem = Problem(key, f"What comes after {key}? " * 20)
    out = Group(problem)
    for _ in range(TRACES):
        n = int(torch.randint(ATOMS // 2, 3 * ATOMS // 2, (1,), generator=gen))
        asked = Segment(torch.randint(0, 500, (60,), generator=gen), text=problem.prompt)
        logp = -torch.rand(n, generator=gen)
        said = Segment(torch.randint(0, 500, (n,), generator=gen), True, logp, Sampling(), "policy@0", "assistant")
        said.text = " ".join(map(str, said.atoms.tolist()))
        for name in ("adv", "logp_old", "entropy"):
            said.put(name, torch.randn(n, generator=gen))
        right = float(logp.mean()) > -0.5
        out.traces.append(Trace(problem, [asked, said], {"correct": float(right)}, float(right), right))
    return out


if __name__ == "__main__":
    main()
