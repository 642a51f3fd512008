"""What a run's folder may hold before it is written to: files and folders of its own, no way out of it.

A folder that somebody else made may hold a link where a run appends, truncates or removes: `log.txt` that is the user's
`.bashrc`, `rollouts` that are those of another run. Other things than files (pipes, devices) would hang the run.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from sharpen.errors import SharpenError
from sharpen.run.files import TEMPORARY, replace, writing

APPENDED = ("metrics.jsonl", "timing.jsonl", "curve.jsonl", "log.txt", "engine.log")
"""Files that grow in place."""

FOLDERS = ("checkpoints", "rollouts", "actors")
"""Folders whose entries come and go."""

WRITTEN = ("lock", "manifest.json", "evaluation.json", "report.html", "policy", "engine")
"""What else a run writes."""


def refuse_ways_out(run: Path) -> None:
    """Raise SharpenError where something that a run writes, reads or removes is a link, or neither file nor folder.

    The run's folder itself may be a link: so a run is put on another disk. Half-written things are not looked at, for
    they are removed, links as links.
    """
    for path in _entries(run):
        kind = path.lstat().st_mode
        if stat.S_ISREG(kind) or stat.S_ISDIR(kind):
            continue
        what = f"a link to {os.readlink(path)}" if stat.S_ISLNK(kind) else "neither a file nor a folder"
        raise SharpenError(
            f"{path} is {what}, and a run is written only where all of it lies in its own folder: what is there could "
            "be changed or removed with it. Put a copy in its place, or, to have the run on another disk, make its "
            "whole folder the link."
        )


def _entries(run: Path) -> Iterator[Path]:
    yield from (run / name for name in (*WRITTEN, *APPENDED, *FOLDERS) if os.path.lexists(run / name))
    for folder in FOLDERS:
        for here, below, files in os.walk(run / folder):  # it follows no links
            below[:] = [n for n in below if not n.startswith(TEMPORARY)]
            yield from (Path(here) / n for n in (*below, *files) if not n.startswith(TEMPORARY))


def part_lock(run: Path) -> None:
    """Take a lock that has other names too (`cp -al`) out of the run: it is that of another one."""
    lock = run / "lock"
    if lock.exists() and lock.stat().st_nlink > 1:
        lock.unlink()


def part_copies(run: Path) -> None:
    """Give files that grow in place, and have other names too (`cp -al`), content of their own: copies do not grow."""
    for path in (run / name for name in APPENDED):
        if path.is_file() and path.stat().st_nlink > 1:
            with writing(path.name, run):
                replace(path, path.read_bytes())
