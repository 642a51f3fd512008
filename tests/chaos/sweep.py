"""Kill a run at every place where it touches the disk, go on with it, and compare it with one that was not killed.

    python sweep.py FOLDER [EVERY]

Each run is a process forked off this one, which has imported everything (OMP_NUM_THREADS must be 1: threads do not
survive it). It ends by SIGKILL. EVERY takes one place of so many (1: all).
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import places
import same

from sharpen.cli.main import main
from toy import nano_actor

SMALL = (
    *("--max-tokens", "4", "--eval-problems", "3", "--eval-samples", "2", "--measure-every", "1"),
    *("--measure-problems", "2", "--measure-samples", "2", "--rollouts-every", "1", "--rollout-groups", "2"),
    *("--set", "Loop.problems=2", "--set", "Sample.n=2"),
)
GRPO = ("grpo", *SMALL, "--checkpoint-every", "1", "--set", "Loop.iterations=3")
"""Three iterations, a checkpoint after each: the oldest goes when the third is written."""
PPO = ("ppo", *SMALL, "--checkpoint-every", "2", "--set", "Loop.iterations=2")
"""Two models that are trained, and so two that are given out."""


@dataclass(frozen=True)
class Kill:
    """One kill: where, and in what the run that went on differs from the whole one."""

    number: int
    place: str
    differs: list[str]


def prepare(folder: Path) -> tuple[str, ...]:
    """A tiny model and a tiny task in a folder; the words of the command line that name them."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "tiny").exists():
        nano_actor().export(folder / "tiny")
    rows = [{"prompt": f"{d}+1=", "answer": str(d + 1), "solution": str(d + 1)} for d in range(60)]
    (folder / "data.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    return ("--model", str(folder / "tiny"), "--task", str(folder / "data.jsonl"))


def child(words: Sequence[str], target: int = 0, log: Path | None = None, signalled: int = 0) -> tuple[int, list[str]]:
    """A command in a process of its own, killed at the place of that number; its status, and the places it came to.

    With `signalled` a Ctrl-C comes at that place, and the process ends as it does then.
    """
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        where = os.open(log or os.devnull, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        os.dup2(where, 1)
        os.dup2(where, 2)
        found = places.watch(target)
        if signalled:
            found.before = _interrupting(found, signalled)  # type: ignore[method-assign]
        status = main(list(words))
        with os.fdopen(write, "w") as out:
            out.write("\n".join(found.seen))
        os._exit(status)
    os.close(write)
    with os.fdopen(read) as said:
        seen = said.read().splitlines()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), seen


def _interrupting(found: places.Places, number: int) -> Callable[[str, object], None]:
    def before(what: str, where: object) -> None:
        found.come(what, where)
        if len(found.seen) == number:
            os.kill(os.getpid(), signal.SIGINT)

    return before


def goes_on(run: Path, words: Sequence[str]) -> list[str]:
    """What the user would type next: the same again where nothing was begun, else to resume."""
    if (run / "manifest.json").exists():
        return ["train", "--resume", "--out", str(run)]
    return ["train", *words, "--out", str(run)]


def swept(
    folder: Path,
    words: Sequence[str],
    whole: Path,
    every: int = 1,
    begun: Path | None = None,
    say: Callable[[str], None] = print,
) -> list[Kill]:
    """A kill at each place (or at one of `every`) of a run, or of the rest of one that was `begun`.

    `whole` is the run that nothing happened to.
    """
    run, log = folder / "run", folder / "log"

    def anew() -> list[str]:
        shutil.rmtree(run, ignore_errors=True)
        if begun:
            shutil.copytree(begun, run)
        return goes_on(run, words)

    status, seen = child(anew(), log=log)
    if status != 0:
        raise RuntimeError(f"the run without a kill ended with {status}: {log.read_text()[-2000:]}")
    out = []
    for number, place in enumerate(seen, 1):
        if (number - 1) % every:
            continue
        status, _ = child(anew(), number, log)
        if status != -signal.SIGKILL:
            raise RuntimeError(f"place {number} ({place}) was not come to: status {status}")
        status, _ = child(goes_on(run, words), log=log)
        differs = same.differences(run, whole) if status == 0 else [f"went on with status {status}: {_last(log)}"]
        out.append(Kill(number, place, differs))
        say(f"{number:4d} {place:60} {'; '.join(differs) or 'equal'}")
    return out


def _last(log: Path) -> str:
    lines = log.read_text().strip().splitlines()
    return lines[-1] if lines else ""


def warm(folder: Path, words: Sequence[str]) -> Path:
    """The run that nothing happens to, in this process: what is loaded on first use is there for every child."""
    whole = folder / "whole"
    shutil.rmtree(whole, ignore_errors=True)
    out = os.dup(1)
    silent = os.open(os.devnull, os.O_WRONLY)
    sys.stdout.flush()
    os.dup2(silent, 1)
    try:
        if main(["train", *words, "--out", str(whole)]):
            raise RuntimeError("the whole run failed")
        sys.stdout.flush()
    finally:
        os.dup2(out, 1)
        os.close(silent)
        os.close(out)
    return whole


def killed_before(folder: Path, words: Sequence[str], place: str, name: str) -> Path:
    """A run that was killed before the first place whose text holds `place`."""
    run = folder / name
    shutil.rmtree(run, ignore_errors=True)
    _, seen = child(goes_on(run, words))
    number = next(i for i, x in enumerate(seen, 1) if place in x)
    shutil.rmtree(run)
    child(goes_on(run, words), number)
    return run


def stopped(folder: Path, words: Sequence[str], name: str) -> Path:
    """A run that Ctrl-C stopped after its first iteration; its report tells of that."""
    run = folder / name
    shutil.rmtree(run, ignore_errors=True)
    _, seen = child(goes_on(run, words))
    number = next(i for i, x in enumerate(seen, 1) if x.startswith("create") and x.endswith("/metrics.jsonl"))
    shutil.rmtree(run)
    child(goes_on(run, words), signalled=number)
    return run


def everything(folder: Path, every: int = 1) -> list[Kill]:
    """A run of one model from its beginning; one of two models that was killed with its models given out and its report
    not written; and one that was stopped by Ctrl-C before.
    """
    found: list[Kill] = []
    names = prepare(folder / "given")
    for title, recipe, begin in (
        ("grpo, from its beginning", GRPO, None),
        (
            "ppo, killed before its report",
            PPO,
            lambda at, words: killed_before(at, words, "/.tmp-report.html", "begun"),
        ),
        ("grpo, stopped by Ctrl-C before", GRPO, lambda at, words: stopped(at, words, "begun")),
    ):
        at, words = folder / title.replace(",", "").replace(" ", "-"), (*recipe, *names)
        at.mkdir(parents=True, exist_ok=True)
        whole = warm(at, words)
        print(title)
        found += swept(at, words, whole, every, begin(at, words) if begin else None)
    return found


if __name__ == "__main__":
    kills = everything(Path(sys.argv[1]).absolute(), int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    wrong = [k for k in kills if k.differs]
    print(f"{len(kills)} kills, {len(kills) - len(wrong)} equal")
    sys.exit(bool(wrong))
