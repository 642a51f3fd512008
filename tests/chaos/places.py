"""The places where a process touches the disk, numbered; and a way to be killed at one of them.

`python places.py N WORDS...` is `sharpen WORDS...` that kills itself (SIGKILL, as if from outside) at the N-th place.
The file $PLACES then says which that was; with N = 0 it lists them all. Nothing in the library knows of this: functions
of the operating system are wrapped in this process before its command line is called.

A place is a moment before a call that changes a file or a folder, or in the middle of a write, when half of it is on
the disk. Places are numbered in the order in which a run comes to them, which is the same each time.
"""

from __future__ import annotations

import builtins
import io
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from safetensors import torch as tensors

from sharpen.run import checkpoint

CHANGING = ("replace", "rename", "fsync", "unlink", "remove", "rmdir", "mkdir", "ftruncate")
"""Calls of `os` before which a process may be killed."""


class Places:
    """Counts the places a process comes to, and ends it at the one that was asked for (0: none).

    The file `told` then says which it was.
    """

    def __init__(self, target: int = 0, told: str | None = None) -> None:
        self.target = target
        self.told = told
        self.seen: list[str] = []

    def come(self, what: str, where: object) -> bool:
        """One place; whether the process is to die there."""
        self.seen.append(f"{what} {_name(where)}")
        return len(self.seen) == self.target

    def before(self, what: str, where: object) -> None:
        """A place before something happens."""
        if self.come(what, where):
            self.die()

    def die(self) -> None:
        """As if killed from outside: nothing is flushed or closed."""
        if self.told:
            Path(self.told).write_text(self.seen[-1])
        os.kill(os.getpid(), signal.SIGKILL)


def _name(where: object) -> str:
    """The last parts of a path; of a file descriptor, those of what it has open."""
    if isinstance(where, int):
        where = os.readlink(f"/proc/self/fd/{where}")
    return "/".join(Path(os.fsdecode(where)).parts[-2:])  # type: ignore[arg-type]


def watch(target: int = 0, told: str | None = None) -> Places:
    """Wrap what changes the disk in this process, for good."""
    places = Places(target, told)
    for name in CHANGING:
        setattr(os, name, _announced(name, getattr(os, name), places))
    os.write = _halved(os.write, places)
    os.open = _creating(os.open, places)
    # a place before, and one when the file is there and empty
    builtins.open = io.open = _opened(io.open, places)  # type: ignore[assignment]
    checkpoint.save_file = _whole(checkpoint.save_file, places)
    tensors.save_file = _whole(tensors.save_file, places)
    pq.ParquetWriter = _writer(pq.ParquetWriter, places)
    return places


def _announced(name: str, call: Callable[..., Any], places: Places) -> Callable[..., Any]:
    def wrapped(where: Any, *rest: Any, **more: Any) -> Any:
        places.before(name, where)
        return call(where, *rest, **more)

    return wrapped


def _halved(call: Callable[..., Any], places: Places) -> Callable[..., Any]:
    def write(fd: int, data: Any) -> int:
        places.before("write", fd)
        if places.come("half of a write", fd):
            call(fd, bytes(data)[: len(data) // 2])
            places.die()
        return int(call(fd, data))

    return write


def _creating(call: Callable[..., Any], places: Places) -> Callable[..., Any]:
    def opened(path: Any, flags: int, *rest: Any, **more: Any) -> int:
        if flags & os.O_CREAT:
            places.before("create", path)
        return int(call(path, flags, *rest, **more))

    return opened


def _opened(call: Callable[..., Any], places: Places) -> Callable[..., Any]:
    def opened(file: Any, mode: str = "r", *rest: Any, **more: Any) -> Any:
        writes = set(mode) & set("wax") and not isinstance(file, int)
        if writes:
            places.before("open", file)
        found = call(file, mode, *rest, **more)
        if writes:
            places.before("opened", file)
        return found

    return opened


def _whole(call: Callable[..., Any], places: Places) -> Callable[..., Any]:
    """A library that writes a file at once, in code that is not Python's."""

    def save(state: Any, path: Any, *rest: Any, **more: Any) -> None:
        places.before("save", path)
        half = places.come("half of a save", path)
        call(state, path, *rest, **more)
        if half:
            os.truncate(path, os.path.getsize(path) // 2)
            places.die()

    return save


def _writer(kind: Any, places: Places) -> Any:
    class Writer(kind):  # type: ignore[misc]
        """Tells of its row groups."""

        def __init__(self, where: Any, *rest: Any, **more: Any) -> None:
            places.before("begin", where)
            self.told = where
            super().__init__(where, *rest, **more)

        def write_table(self, *rest: Any, **more: Any) -> None:
            places.before("row group", self.told)
            super().write_table(*rest, **more)

        def close(self) -> None:
            if self.is_open:
                places.before("footer", self.told)
            super().close()

    return Writer


if __name__ == "__main__":
    from sharpen.cli.main import main

    found = watch(int(sys.argv[1]), os.environ.get("PLACES"))
    status = main(sys.argv[2:])
    if found.told:
        found.target = 0  # the run is over
        Path(found.told).write_text("\n".join([*found.seen, ""]))
    sys.exit(status)
