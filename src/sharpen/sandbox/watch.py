"""Watching a program from outside: its time, its output, its end."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from sharpen.errors import SharpenError
from sharpen.sandbox.base import Limits, Ran, Status

START = 60.0
"""Seconds within which a sandbox must be up, however busy the machine is."""

MEMORY = 86  # as in `launcher`, which is not imported: it runs when it is

LAUNCHER = Path(__file__).with_name("launcher.py").read_text(encoding="utf-8")
FLAGS = ("-s", "-S", "-P", "-B")
"""No site-packages, neither the user's nor the machine's, and no compiled files left behind."""

ENVIRONMENT = {"PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8"}
"""All that a program finds in its environment. Sets have one order, so that a program gives one result."""


@contextlib.contextmanager
def starting() -> Iterator[None]:
    """What the operating system refuses to a sandbox (descriptors, processes, a folder) is told in a paragraph."""
    try:
        yield
    except OSError as error:
        raise SharpenError(
            f"The sandbox could not be run: {error}. No program was judged. Look at the machine's memory, processes, "
            "open files (`ulimit -n`) and temporary folder, and run again; with fewer `workers` it needs less."
        ) from error


def held(data: bytes) -> int:
    """A file descriptor to read some bytes from, which nobody can change or make longer."""
    if hasattr(os, "memfd_create"):
        import fcntl

        fd = os.memfd_create("held", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        _write(fd, data)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK)
    else:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
        _write(fd, data)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _write(fd: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(fd, left) :]


def words(ready: int, code: int, uid: int, limits: Limits, processes: int, program: bytes | Sequence[str]) -> list[str]:
    """The arguments of the interpreter that becomes the program."""
    numbers = (ready, code, uid, limits.cpu, limits.memory, limits.files, processes)
    return [*FLAGS, "-c", LAUNCHER, *map(str, numbers), *([] if isinstance(program, bytes) else program)]


class Watched:
    """A child that was just started, with pipes on its standard output and error, and the pipe `ready`."""

    def __init__(
        self, args: Sequence[str], stdin: int, passed: Sequence[int], ready: int, cwd: str, env: Mapping[str, str]
    ) -> None:
        self.ready = ready
        self.process = subprocess.Popen(
            args,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=tuple(passed),
            start_new_session=True,
            bufsize=0,
            cwd=cwd,
            env=dict(env),
        )
        self.said = {"out": bytearray(), "err": bytearray()}
        self.began = 0.0
        self.end = os.pidfd_open(self.process.pid) if hasattr(os, "pidfd_open") else -1

    def follow(self, limits: Limits, kill: Callable[[], None]) -> Ran:
        """Wait for the end of the child, or end it at a limit, by `kill`, which ends all that it started."""
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        pipes = {"out": self.process.stdout.fileno(), "err": self.process.stderr.fileno()}
        status: Status | None = None
        self.began = time.monotonic()
        up = False
        try:
            with selectors.DefaultSelector() as selector:
                for name, fd in (*pipes.items(), ("ready", self.ready), ("end", self.end)):
                    if fd >= 0:
                        os.set_blocking(fd, False)
                        selector.register(fd, selectors.EVENT_READ, name)
                while status is None:
                    left = self.began + (limits.seconds if up else START) - time.monotonic()
                    if left <= 0:
                        status = "time"
                        break
                    wait = left if self.end >= 0 else min(left, 0.005)
                    events = {key.data: key.fd for key, _ in selector.select(wait)}
                    if "ready" in events:
                        selector.unregister(self.ready)
                        if os.read(self.ready, 1):
                            up, self.began = True, time.monotonic()
                    for name in pipes.keys() & events.keys():
                        if not self._read(name, pipes[name], limits.output):
                            selector.unregister(pipes[name])
                    if any(len(said) > limits.output for said in self.said.values()):
                        status = "output"
                    elif "end" in events or (self.end < 0 and self.process.poll() is not None):
                        break
        finally:
            seconds = time.monotonic() - self.began
            kill()
            code = self.process.wait()
        # all that it started is dead, so what is left in the pipes is all that will be
        for name, fd in pipes.items():
            with contextlib.suppress(BlockingIOError):
                while len(self.said[name]) <= limits.output and self._read(name, fd, limits.output):
                    pass
        out, err = (bytes(self.said[name][: limits.output]) for name in ("out", "err"))
        if not up and (status is not None or not self._was_ready()):
            why = " ".join(err.decode(errors="replace").split())[-600:] or "it said nothing"
            raise SharpenError(
                f"The sandbox could not be started (exit status {code}): {why}. No program was judged. Run "
                "again, and look at the machine's memory and processes if it happens again."
            )
        code = 128 - code if code < 0 else code
        if status is None and any(len(said) > limits.output for said in self.said.values()):
            status = "output"
        return Ran(status or ended(code, seconds, limits), code, out, err, seconds)

    def _read(self, name: str, fd: int, most: int) -> bool:
        part = os.read(fd, 1 << 16)
        if len(self.said[name]) <= most:
            self.said[name] += part[: most + 1 - len(self.said[name])]
        return bool(part)

    def _was_ready(self) -> bool:
        with contextlib.suppress(OSError):
            return bool(os.read(self.ready, 1))
        return False

    def close(self) -> None:
        """Close the pipes."""
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()
        if self.end >= 0:
            os.close(self.end)


def ended(code: int, seconds: float, limits: Limits) -> Status:
    """What an exit status means. One who catches the signal of the first limit of processor time is killed later."""
    if code == 0:
        return "ok"
    if code == 128 + signal.SIGXCPU or (code == 128 + signal.SIGKILL and seconds >= limits.cpu):
        return "time"
    return "memory" if code == MEMORY else "died"
