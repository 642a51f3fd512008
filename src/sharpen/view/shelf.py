"""The runs below some folders, each by a number of its own."""

from __future__ import annotations

import os
import re
import socket
import stat
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sharpen.errors import SharpenError
from sharpen.run.directory import RunDir

Status = Literal["live", "finished", "stopped", "failed"]
"""Trained right now; done; ended early in a way that words explain (Ctrl-C, an error to mend); killed by a defect."""

DEPTH = 6
"""Folders below a given one that are looked into."""

FOLDERS_MOST = 20_000
"""Folders looked at; a run's own are not."""

TEXT_MOST = 1 << 29
"""Bytes of a file of JSON that are read; a folder of somebody else's may hold one that is all holes."""

FRESH = 2.0
"""Seconds for which a list of runs is taken to be right."""

_OWNER = re.compile(r"process (\d+) on (.+)")


class Unknown(SharpenError):  # noqa: N818 - it is no fault of anybody's
    """There is no such run, or nothing of that kind in it."""


@dataclass(frozen=True)
class Shelved:
    """A run: its number, its folder, the given folder it lies in, and its path from there."""

    id: int
    path: Path
    root: Path
    name: str

    def file(self, name: str) -> Path:
        """A file or folder of the run, there or not.

        Raises SharpenError where a link leads out of the given folder, for what would be waited for (a pipe), and for
        more text than fits in memory.
        """
        path = self.path / name
        if not path.resolve().is_relative_to(self.root):
            raise SharpenError(
                f"{name} of the run {self.name} is a link to somewhere outside of the folder that is looked at, so it "
                "is not read. Give `sharpen view` the folder it leads to, or put a copy in its place."
            )
        try:
            found = path.stat()
        except OSError:
            return path
        if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
            raise SharpenError(f"{name} of the run {self.name} is neither a file nor a folder, so it is not read.")
        if found.st_size > TEXT_MOST and path.suffix in (".json", ".jsonl"):
            raise SharpenError(
                f"{name} of the run {self.name} has {found.st_size:,} bytes, and at most {TEXT_MOST:,} are read of one "
                "file."
            )
        return path

    def files(self, folder: str) -> Iterator[Path]:
        """What lies in a folder of the run, in order of name."""
        top = self.file(folder)
        if top.is_dir():
            yield from (self.file(f"{folder}/{p.name}") for p in sorted(top.iterdir()))

    @property
    def run(self) -> RunDir:
        """The run, to be read."""
        for name in ("manifest.json", "evaluation.json", "metrics.jsonl", "timing.jsonl", "lock", "log.txt", "policy"):
            self.file(name)
        return RunDir(self.path)

    def status(self) -> Status:
        """How the run stands."""
        if held(self.file("lock")):
            return "live"
        run = self.run
        try:
            done = "after" in run.read_evaluation()["done"]
        except SharpenError:
            done = False
        if done and run.report.exists():
            return "finished"
        log = self.file("log.txt")
        return "failed" if log.is_file() and "Traceback (most recent call last)" in _tail(log) else "stopped"


class Shelf:
    """Runs below folders. The numbers stay as they are while the server runs; runs that appear get new ones."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = [(f.resolve(), str(f)) for f in folders]
        self._runs: dict[Path, Shelved] = {}
        self._here: list[Shelved] = []
        self._looked = 0.0
        self._lock = threading.Lock()

    def all(self) -> list[Shelved]:
        """Every run that is there now, in order of folder and name."""
        with self._lock:
            if not self._here or time.monotonic() - self._looked > FRESH:
                self._here = [self._dealt(path, root) for root, _ in self.folders for path in found(root)]
                self._here = list({r.id: r for r in self._here}.values())
                self._looked = time.monotonic()
            return list(self._here)

    def get(self, number: int) -> Shelved:
        """The run of a number. Raises Unknown."""
        run = next((r for r in self.all() if r.id == number), None)
        if run is None or not (run.path / "manifest.json").is_file():
            raise Unknown(f"There is no run {number} (any more). Go back to the list of runs.")
        return run

    def _dealt(self, path: Path, root: Path) -> Shelved:
        if path not in self._runs:
            name = str(path.relative_to(root)) if path != root else root.name
            several = len(self.folders) > 1 and path != root
            self._runs[path] = Shelved(len(self._runs), path, root, f"{root.name}/{name}" if several else name)
        return self._runs[path]


def found(root: Path) -> Iterator[Path]:
    """The folders of runs at and below one, in order of name; links are not followed."""
    todo, seen = [(root, 0)], 0
    while todo and seen < FOLDERS_MOST:
        folder, depth = todo.pop()
        seen += 1
        if (folder / "manifest.json").is_file() and is_run(folder):
            yield folder
            continue
        if depth == DEPTH:
            continue
        try:
            inside = sorted(
                (e.name for e in os.scandir(folder) if e.is_dir(follow_symlinks=False) and not e.name.startswith(".")),
                reverse=True,
            )
        except OSError:
            continue  # a folder that may not be read holds nothing to show
        todo += [(folder / name, depth + 1) for name in inside]


def is_run(folder: Path) -> bool:
    """Whether a folder with a manifest is a run (a checkpoint has one too)."""
    return folder.parent.name != "checkpoints"


def held(lock: Path) -> bool:
    """Whether a process holds a run's lock, found out without taking it for a moment."""
    try:
        inode = lock.stat().st_ino
        with open(lock, "rb") as file:
            said = file.read(200).decode(errors="replace")
    except OSError:
        return False
    try:
        table = Path("/proc/locks").read_text()
    except OSError:
        return _alive(said)
    locks = (line.split() for line in table.splitlines())
    return any(words[1] == "FLOCK" and words[5].endswith(f":{inode}") for words in locks)


def _alive(said: str) -> bool:
    """Whether the process that a lock names is there, as far as this machine can tell."""
    owner = _OWNER.match(said.strip())
    if owner is None or owner[2] != socket.gethostname():
        return False
    try:
        os.kill(int(owner[1]), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _tail(path: Path, most: int = 20_000) -> str:
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - most))
        return file.read().decode(errors="replace")
