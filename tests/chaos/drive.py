"""Kill real trainings at random moments, go on with them, and compare them with ones that nothing happened to.

    python drive.py [--kills 50] [--seed 0] [--only NAME,NAME] [FOLDER]

For each kind of method `python -m sharpen train` runs once undisturbed. Then it is started, killed (SIGKILL, to it
alone), gone on with by `--resume`, with some chance killed again, and so on until it is done. Half of the moments are
drawn over the time that the undisturbed run took from its first file on, half are places where it touches the disk
(`places.py`). $SHARPEN_KILLS is the default of `--kills`.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import kinds
import same
from sweep import goes_on

PLACES = Path(__file__).with_name("places.py")
AGAIN = 0.5
"""The chance that a run which goes on is killed again, where there are kills left."""


@dataclass
class Whole:
    """The undisturbed run: its folder, the seconds from its first file to its end, its places."""

    path: Path
    seconds: float
    places: list[str]


@dataclass
class Result:
    """What became of one kind: where each kill hit, and in what any of its runs differs from the undisturbed one."""

    name: str
    hits: list[str] = field(default_factory=list)
    differs: list[str] = field(default_factory=list)
    runs: int = 0


def start(words: list[str], mark: str, place: int | None = None, told: Path | None = None) -> subprocess.Popen[str]:
    """A command in a process and a group of its own; with `place` one that is killed there."""
    how = ["-m", "sharpen"] if place is None else [str(PLACES), str(place)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "OMP_NUM_THREADS": "1"}
    env |= {"SHARPEN_CHAOS": mark, **({"PLACES": str(told)} if told else {})}
    return subprocess.Popen(
        [sys.executable, *how, *words],
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def undisturbed(at: Path, words: tuple[str, ...], mark: str) -> Whole:
    path, told = at / "whole", at / "places"
    process = start(["train", *words, "--out", str(path)], mark, 0, told)
    error = process.communicate()[1]
    if process.returncode:
        raise RuntimeError(f"{' '.join(words)} ended with {process.returncode}: {error[-2000:]}")
    return Whole(path, time.time() - (path / "manifest.json").stat().st_mtime, told.read_text().splitlines())


def disturbed(name: str, at: Path, words: tuple[str, ...], kills: int, rng: random.Random, mark: str) -> Result:
    """Runs of one method until it was killed so many times, each brought to its end and compared."""
    whole, out = undisturbed(at, words, mark), Result(name)
    while len(out.hits) < kills:
        run = at / f"run{out.runs}"
        out.runs += 1
        hit = killed(run, words, whole, rng, mark)
        while hit:
            out.hits.append(hit)
            again = len(out.hits) < kills and rng.random() < AGAIN
            hit = killed(run, words, whole, rng, mark) if again else None
        process = start(goes_on(run, words), mark)
        error = process.communicate()[1]
        if process.returncode:
            out.differs.append(f"run{out.runs - 1} went on with status {process.returncode}: {error.strip()[-500:]}")
        else:
            out.differs += [f"run{out.runs - 1}: {x}" for x in same.differences(run, whole.path)]
    out.differs += left_behind(mark)
    return out


def killed(run: Path, words: tuple[str, ...], whole: Whole, rng: random.Random, mark: str) -> str | None:
    """Start or go on, and kill; where it hit. None where it was done before its moment came."""
    if rng.random() < 0.5:
        told = run.with_suffix(".place")
        process = start(goes_on(run, words), mark, 1 + rng.randrange(len(whole.places)), told)
        process.communicate()
        return f"at {told.read_text()}; {_where(run)}" if process.returncode == -signal.SIGKILL else None
    moment, before = rng.uniform(-0.05, 1.0) * whole.seconds, _locked(run)
    process = start(goes_on(run, words), mark)
    # what it takes to import everything is not the run's, and differs more than the run is long
    while moment > 0 and process.poll() is None and _locked(run) == before:
        time.sleep(0.005)
    try:
        process.communicate(timeout=max(0.0, moment))
    except subprocess.TimeoutExpired:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        return f"{max(0.0, moment):.2f} s after its first file; {_where(run)}"
    return None


def _locked(run: Path) -> int:
    """When the lock was last taken."""
    return (run / "lock").stat().st_mtime_ns if (run / "lock").exists() else 0


def _where(run: Path) -> str:
    """How far a run had come."""
    if not (run / "manifest.json").exists():
        return "before its manifest"
    lines = (run / "metrics.jsonl").read_bytes().count(b"\n") if (run / "metrics.jsonl").exists() else 0
    kept = sorted(p.name for p in (run / "checkpoints").glob("[0-9]*")) if (run / "checkpoints").exists() else []
    half = sorted(str(p.relative_to(run)) for p in run.rglob(".tmp-*"))
    return (
        f"iteration {lines}, checkpoint {int(kept[-1]) if kept else 'none'}{', ' + half[0] + ' there' if half else ''}"
    )


def left_behind(mark: str, patience: float = 20.0) -> list[str]:
    """Processes that outlive those that were killed, after a while (and are ended then)."""
    stop = time.time() + patience
    while (left := _marked(mark)) and time.time() < stop:
        time.sleep(0.2)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    return [f"{len(left)} processes were left behind"] if left else []


def _marked(mark: str) -> list[int]:
    found, wanted = [], f"SHARPEN_CHAOS={mark}".encode()
    for p in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (p / "environ").read_bytes().split(b"\0"):
                found.append(int(p.name))
        except OSError:
            continue
    return found


def driven(
    folder: Path, kills: int, seed: int, names: tuple[str, ...], say: Callable[[str], None] = print
) -> list[Result]:
    """The kills shared out among methods; the table is said line by line."""
    out = []
    for name, count in kinds.taken(kills, names):
        at = folder / name
        shutil.rmtree(at, ignore_errors=True)
        at.mkdir(parents=True)
        rng = random.Random(f"{seed} {name}")
        result = disturbed(name, at, kinds.words(name, at), count, rng, f"{os.getpid()}-{name}")
        out.append(result)
        told = "equal" if not result.differs else "NOT EQUAL"
        say(f"{name:12} {kinds.KINDS[name][0]:36} {len(result.hits)} kills in {result.runs} runs: {told}")
        for hit in result.hits:
            say(f"    {hit}")
        for what in result.differs:
            say(f"    != {what}")
    return out


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=int(os.environ.get("SHARPEN_KILLS", "50")))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="")
    parser.add_argument("folder", nargs="?", type=Path)
    args = parser.parse_args()
    chosen = tuple(args.only.split(",")) if args.only else tuple(kinds.KINDS)
    where = (args.folder or Path(tempfile.mkdtemp(prefix="sharpen-chaos-"))).absolute()
    results = driven(where, args.kills, args.seed, chosen, lambda text: print(text, flush=True))
    wrong = [r.name for r in results if r.differs]
    print(
        f"{sum(len(r.hits) for r in results)} kills of {len(results)} methods; not equal: {', '.join(wrong) or 'none'}"
    )
    if not wrong and not args.folder:
        shutil.rmtree(where)
    sys.exit(bool(wrong))
