"""The sandbox `process`: a process of its own with limits, and nothing more."""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from sharpen.errors import SharpenError
from sharpen.sandbox.base import Limits, Ran, Sandbox
from sharpen.sandbox.bubblewrap import interpreter
from sharpen.sandbox.watch import ENVIRONMENT, Watched, held, starting, words

MARK = "SANDBOX_MARK"

PATIENCE = 60.0
"""Seconds for which processes that a program left are killed."""


@dataclass(frozen=True)
class Process(Sandbox):
    """The weaker sandbox, which must be asked for by name: it stops accidents, not attacks.

    A program runs in a session of its own with an empty environment, limits of the operating system, an empty working
    folder that is removed afterwards, and the standard library alone. It has the user's rights: it can read and write
    all the user's files, use the network, see and signal the user's other processes. The number of processes is that of
    the user (for root it is not limited), the scratch folder is limited by file and not as a whole.

    Afterwards its process group is killed, and (on Linux) every process in whose environment it finds the mark of this
    run. One that leaves the group and wipes its environment survives.
    """

    name: ClassVar[str] = "process"

    def run(self, program: bytes | Sequence[str], stdin: bytes = b"", limits: Limits = Limits()) -> Ran:  # noqa: B008
        """Run a program."""
        with starting():
            return self._run(program, stdin, limits)

    def _run(self, program: bytes | Sequence[str], stdin: bytes, limits: Limits) -> Ran:
        mark = secrets.token_hex(16)
        opened = [held(stdin), held(program if isinstance(program, bytes) else b""), *os.pipe()]
        given, code, heard, ready = opened
        folder = ""
        try:
            folder = tempfile.mkdtemp(prefix="sandbox-")
            args = [interpreter(), *words(ready, code, 0, limits, limits.processes, program)]
            env = {**ENVIRONMENT, MARK: mark}
            watched = Watched(args, given, (ready, code), heard, folder, env)
            try:
                os.close(opened.pop())  # so that the pipe `ready` ends with the child
                return watched.follow(limits, lambda: _end(watched.process, mark))
            finally:
                watched.close()
        finally:
            if folder:
                _remove(folder, mark)
            for fd in opened:
                os.close(fd)


def _end(process: subprocess.Popen[bytes], mark: str) -> None:
    """Kill the group (its leader is not reaped yet, so the number is its own), then all that bear the mark."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    stop = time.monotonic() + PATIENCE
    while marked := [pid for pid in _processes() if _bears(pid, mark)]:
        if time.monotonic() > stop:
            raise SharpenError(
                f"A program in the sandbox `process` starts processes faster than they can be killed, for {PATIENCE:g} "
                f"seconds now. End those that have {MARK}={mark} in their environment, and use bubblewrap."
            )
        for pid in marked:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


def _remove(folder: str, mark: str) -> None:
    """Remove the scratch folder, however deep its folders lie: they are moved up, since a path may be too long to name.

    What cannot be removed stays.
    """
    number = itertools.count()
    with contextlib.suppress(OSError):
        while inside := list(os.scandir(folder)):
            for entry in inside:
                if not entry.is_dir(follow_symlinks=False):
                    os.unlink(entry.path)
                    continue
                os.chmod(entry.path, 0o700)
                for one in list(os.scandir(entry.path)):
                    if one.is_dir(follow_symlinks=False):
                        os.chmod(one.path, 0o700)
                        os.rename(one.path, os.path.join(folder, f"{mark}{next(number)}"))
                    else:
                        os.unlink(one.path)
                os.rmdir(entry.path)
        os.rmdir(folder)


def _processes() -> list[int]:
    if not os.path.isdir("/proc/self"):
        return []
    return [int(name) for name in os.listdir("/proc") if name.isdecimal() and int(name) != os.getpid()]


def _bears(pid: int, mark: str) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return f"{MARK}={mark}".encode() in file.read()
    except OSError:
        return False
