"""The sandbox `bubblewrap`: namespaces of its own, a file system of its own, no network, no rights."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import secrets
import select
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from sharpen.errors import SharpenError
from sharpen.sandbox.base import Limits, Ran, Sandbox
from sharpen.sandbox.filter import seccomp
from sharpen.sandbox.watch import ENVIRONMENT, START, Watched, held, starting, words

LEAST = (0, 8)
"""The first version of bubblewrap that can do all that is asked of it here (`--size`, `--disable-userns`)."""

NOBODY = 65534
UIDS = (0x70000000, 1 << 24)
"""The first user id of programs where this program is root, and how many there are: far above those of people."""

FEW = 4096
"""With fewer user ids than these, root is one user among others, as in a container without rights."""


@dataclass(frozen=True)
class Bubblewrap(Sandbox):
    """One `bwrap` a program. Inside there are the interpreter, its standard library, the system's shared libraries,
    `/dev/null`, `/dev/urandom` and an empty `/tmp` of limited size; no `/proc`, no home, no network, one user.

    - A user other than root: in a user namespace, as nobody, which has no further user namespaces inside.
    - Root: without a user namespace, and the program changes to a user id of no person, drawn for it. So root's name
      opens no file to it, and its processes are counted alone, unless two programs draw the same.
    """

    name: ClassVar[str] = "bubblewrap"

    def run(self, program: bytes | Sequence[str], stdin: bytes = b"", limits: Limits = Limits()) -> Ran:  # noqa: B008
        """Run a program. Everything it started dies with the process namespace."""
        with starting():
            return self._run(program, stdin, limits)

    def _run(self, program: bytes | Sequence[str], stdin: bytes, limits: Limits) -> Ran:
        uid = unused_uid() if os.geteuid() == 0 else 0
        root = uid > 0
        # a user namespace counts bubblewrap's own process inside as well
        processes = limits.processes + (not root)
        with contextlib.ExitStack() as stack:
            keep = stack.enter_context(_descriptors())
            inner, outer = keep.pipe(), keep.pipe()  # ready, told
            gate = keep.pipe()
            code = keep.add(held(program if isinstance(program, bytes) else b""))
            rules = seccomp(alone=limits.processes == 1)
            filtered = [] if rules is None else ["--seccomp", str(keep.add(held(rules)))]
            args = [
                bwrap(),
                *_isolation(root),
                *_places(limits.files),
                *("--info-fd", str(outer[1]), "--block-fd", str(gate[0]), *filtered, "--"),
                interpreter(),
                *words(inner[1], code, uid, limits, processes, program),
            ]
            passed = [inner[1], outer[1], gate[0], code, *(int(fd) for fd in filtered[1:])]
            watched = Watched(args, keep.add(held(stdin)), passed, inner[0], "/", {})
            stack.callback(watched.close)
            keep.close(inner[1], outer[1], gate[0])
            init = -1
            try:
                pid = _told(outer[0])
                if pid is not None:
                    # the first process inside waits at the gate, so the number is still its own
                    init = keep.add(os.pidfd_open(pid))
                    with contextlib.suppress(BrokenPipeError):  # it could not set the rest up, and says why
                        os.write(gate[1], b"1")
            except BaseException:
                _end(watched.process, init)
                raise
            return watched.follow(limits, lambda: _end(watched.process, init))


def _end(outside: subprocess.Popen[bytes], init: int) -> None:
    """Kill the first process inside, and with it all the others; when its descriptor is ready, all are dead."""
    if init >= 0:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(init, signal.SIGKILL)
        poll = select.poll()
        poll.register(init, select.POLLIN)
        poll.poll(30_000)
        with contextlib.suppress(subprocess.TimeoutExpired):
            outside.wait(5.0)  # it passes the exit status on
    outside.kill()
    outside.wait()


def _told(fd: int) -> int | None:
    """The process id that bubblewrap tells of the first process inside; None where it ended before."""
    said, stop = b"", time.monotonic() + START
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    while b"}" not in said:
        ready = poll.poll(max(0.0, stop - time.monotonic()) * 1000)
        part = os.read(fd, 4096) if ready else b""
        if not part:
            return None
        said += part
    found = re.search(rb'"child-pid"\s*:\s*(\d+)', said)
    return None if found is None else int(found[1])


class _Kept:
    def __init__(self) -> None:
        self.open: set[int] = set()

    def add(self, fd: int) -> int:
        self.open.add(fd)
        return fd

    def pipe(self) -> tuple[int, int]:
        one, two = os.pipe()
        return self.add(one), self.add(two)

    def close(self, *fds: int) -> None:
        for fd in fds:
            self.open.remove(fd)
            os.close(fd)


@contextlib.contextmanager
def _descriptors() -> Iterator[_Kept]:
    kept = _Kept()
    try:
        yield kept
    finally:
        kept.close(*tuple(kept.open))


def bwrap() -> str:
    """The path of bubblewrap. SharpenError where it is not installed."""
    found = shutil.which("bwrap")
    if found is None:
        raise SharpenError("bubblewrap (`bwrap`) is not installed.")
    return found


def version(path: str) -> tuple[int, ...]:
    """The version of bubblewrap, such as `(0, 8, 0)`."""
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False, timeout=START).stdout
    return tuple(map(int, re.findall(r"\d+", said)))


def unused_uid() -> int:
    """A user id for one program, drawn at random. 0 where there are too few ids.

    Two programs that run at once share one hardly ever (one pair in `free_uids()[1]`, most often 16 million), and would
    share no more than what the system counts by user, processes above all: they are in process namespaces and file
    systems of their own.
    """
    first, many = free_uids(Path("/proc/self/uid_map").read_text())
    # not of a run's random numbers: what a program says does not hang on it, and equal seeds at once must draw apart
    return 0 if many < FEW else first + secrets.randbelow(many)


@functools.lru_cache(maxsize=1)
def free_uids(mapped: str) -> tuple[int, int]:
    """Where user ids of programs begin and how many there are, by the map of ids (`proc(5)`): `UIDS`.

    In a container that has fewer ids, the upper half of its largest range.
    """
    ranges = [(int(first), int(many)) for first, _, many in map(str.split, mapped.splitlines())]
    if any(first <= UIDS[0] and sum(UIDS) <= first + many for first, many in ranges):
        return UIDS
    first, many = max(ranges, key=lambda r: r[1])
    return first + many // 2, many - many // 2


def interpreter() -> str:
    """The file of this interpreter itself, not that of a virtual environment."""
    return os.path.realpath(getattr(sys, "_base_executable", "") or sys.executable)


def _isolation(root: bool) -> list[str]:
    args = ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
    args += ["--die-with-parent", "--new-session", "--hostname", "sandbox", "--cap-drop", "ALL", "--clearenv"]
    for name, value in ENVIRONMENT.items():
        args += ["--setenv", name, value]
    if root:  # the launcher needs these two to become nobody's user id, and loses them by it
        return [*args, "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    return [*args, "--unshare-user", "--disable-userns", "--uid", str(NOBODY), "--gid", str(NOBODY)]


@functools.lru_cache(maxsize=16)
def _places(scratch: int) -> tuple[str, ...]:
    """The file system inside. All of it is read-only but `/tmp`."""
    shown, masked = libraries()
    args: list[str] = []
    made: set[str] = set()

    def parents(path: str) -> None:
        for parent in [str(p) for p in reversed(Path(path).parents)][1:]:
            if parent not in made:  # bubblewrap would give them the rights they have outside, closed to the program
                made.add(parent)
                args.extend(("--perms", "0755", "--dir", parent))

    for link in ("/lib", "/lib32", "/lib64"):
        if os.path.islink(link):
            args += ["--symlink", os.readlink(link), link]
            made.add(link)
    args += ["--size", str(scratch), "--perms", "1777", "--tmpfs", "/tmp", "--chdir", "/tmp"]
    made.add("/tmp")
    for path in shown:
        parents(path)
        args += ["--ro-bind", path, path]
        made.add(path)
    for path in masked:
        args += ["--size", "4096", "--perms", "0555", "--tmpfs", path, "--remount-ro", path]
    parents("/dev/null")
    for path in ("/dev/null", "/dev/urandom"):
        args += ["--dev-bind", path, path]
    return (*args, "--remount-ro", "/")


def libraries() -> tuple[list[str], list[str]]:
    """What an interpreter needs of the file system, and the folders in it that stay hidden (packages).

    Needed are its file, the standard library, the folder of its own shared library, and the system's libraries.
    """
    base = {"base": sys.base_prefix, "platbase": sys.base_exec_prefix}
    base |= {"installed_base": sys.base_prefix, "installed_platbase": sys.base_exec_prefix}
    library = [sysconfig.get_path(name, vars=base) for name in ("stdlib", "platstdlib")]
    wanted = ["/usr/lib", "/usr/lib32", "/usr/lib64", "/lib", "/lib64", "/etc/ld.so.cache"]
    wanted += [os.path.realpath(p) for p in library]
    wanted += [os.path.dirname(p) for p in library]
    wanted += [str(sysconfig.get_config_var("LIBDIR") or "/usr/lib")] if _shared() else []
    wanted.append(interpreter())
    shown = _outermost(p for p in wanted if os.path.exists(p) and not os.path.islink(p))
    return shown, _packages(shown, library)


def _packages(shown: Sequence[str], library: Sequence[str]) -> list[str]:
    """Where the folders of packages are seen inside. One may be shown by several paths, as links lead to it."""
    folders = [
        folder
        for path in map(Path, (*shown, *library))
        for folder in (path / "python3", *path.glob("*-packages"), *path.glob("python3*/*-packages"))
        if folder.is_dir()
        and (folder.name != "python3" or not folder.is_symlink())  # such a link may lead to the library
    ]
    real = {str(folder.resolve()) for folder in folders}
    places = [(path, os.path.realpath(path) + "/") for path in shown]
    return _outermost(path + r[len(at) - 1 :] for path, at in places for r in real if r.startswith(at))


def _outermost(paths: Iterable[str]) -> list[str]:
    """The paths that lie in no other of them."""
    found: list[str] = []
    for path in sorted(set(paths)):
        if not any(path.startswith(outer + "/") for outer in found):
            found.append(path)
    return found


def _shared() -> bool:
    return bool(sysconfig.get_config_var("Py_ENABLE_SHARED"))
