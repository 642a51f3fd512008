"""Writing files so that a killed process leaves the old content or the new, never half of it."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from sharpen.errors import SharpenError

TEMPORARY = ".tmp-"
"""How the name of everything that is not finished begins; whoever holds the run's lock may remove it."""

_NUMBER = re.compile(r"(?:os error|errno) (\d+)", re.IGNORECASE)
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


@contextmanager
def writing(what: str, where: Path, then: str = "go on with --resume") -> Iterator[None]:
    """Turn a failure of the disk inside the block into a SharpenError that names `what` and `where`.

    `then` is what to do when there is room again.

    Libraries that hide the system's error in their message (safetensors) are understood; errors that are not the
    system's pass unchanged.
    """
    try:
        yield
    except (OSError, SafetensorError) as error:
        number = _number(error)
        if number is None:
            raise
        raise SharpenError(_paragraph(number, what, where, then)) from error


def _number(error: Exception) -> int | None:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    found = _NUMBER.search(str(error))
    return int(found[1]) if found else None


def _paragraph(number: int, what: str, where: Path, then: str) -> str:
    if number in _FULL:
        return (
            f"There is no room left for {what} in {where} ({os.strerror(number)}). What was written before is intact. "
            f"Free some space there (or raise the quota), then {then}."
        )
    if number in _FORBIDDEN:
        return (
            f"{what[0].upper()}{what[1:]} may not be written in {where} ({os.strerror(number)}). Give yourself the "
            "right to write there, or choose another folder with --out."
        )
    return (
        f"{what[0].upper()}{what[1:]} could not be written in {where} ({os.strerror(number)}). Mend that, or choose "
        "another folder with --out."
    )


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def parent(path: Path) -> Path:
    """The path itself, or the nearest one above it that is there."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def write_file(path: Path, data: bytes) -> None:
    """Write a new file and wait until it is on the disk."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        rest = memoryview(data)
        while len(rest):
            rest = rest[os.write(fd, rest) :]
        os.fsync(fd)
    finally:
        os.close(fd)


def sync(path: Path) -> None:
    """Wait until a file, or the list of names in a folder, is on the disk."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def replace(path: Path, data: bytes) -> None:
    """Give a file new content: beside it first, then renamed over it."""
    beside = path.with_name(TEMPORARY + path.name)
    try:
        write_file(beside, data)
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync(path.parent)


@contextmanager
def held(place: Path, what: str, busy: str) -> Iterator[None]:
    """Be the only process that writes in a folder, which is made; where another one does, SharpenError says `busy`.

    `what` is what is written there.
    """
    with writing(what, place):
        place.mkdir(parents=True, exist_ok=True)
    fd = os.open(place, os.O_RDONLY)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SharpenError(busy) from error
        yield
    finally:
        os.close(fd)
