"""What a sandbox is: it runs one program under limits and says how that ended."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

from sharpen.errors import SharpenError

Status = Literal["ok", "time", "memory", "output", "died"]

MIB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """What a program may use. `cpu` normally ends a busy loop: `seconds` counts while other programs run.

    Memory, processor time and open files are counted for each process of the program, so `processes` multiplies them.
    """

    seconds: float = 10.0
    """By the clock, from the moment the program begins."""
    cpu: int = 1
    """Seconds of processor time."""
    memory: int = 256 * MIB
    """Bytes of address space."""
    output: int = 64 * 1024
    """Bytes on standard output, and as many on standard error."""
    processes: int = 1
    """Processes and threads at a time, the first one counted."""
    files: int = MIB
    """Bytes of a file, and of the scratch folder."""

    def __post_init__(self) -> None:
        if not isinstance(self.seconds, (int, float)) or isinstance(self.seconds, bool) or not 0 < self.seconds <= 3600:
            raise SharpenError(
                f"The limit `seconds` of a sandbox must be a number above 0 and at most 3600, and it is "
                f"{self.seconds!r}. Give such a number."
            )
        least = {"cpu": 1, "memory": 32 * MIB, "output": 1, "processes": 1, "files": 4096}
        for name, low in least.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= 1 << 40:
                raise SharpenError(
                    f"The limit `{name}` of a sandbox must be a whole number of at least {low}, and it is {value!r}. "
                    "Give such a number."
                )


class Ran(NamedTuple):
    """How a program ended.

    `status`: `ok` (exit status 0), `time` (processor or clock), `memory` (a Python program that ended in a
    MemoryError), `output` (it wrote more than it may), `died` (any other exit status or signal).
    `code` is the exit status, 128 and the signal where a signal ended it. `out` and `err` hold at most
    `Limits.output` bytes each.
    """

    status: Status
    code: int
    out: bytes
    err: bytes
    seconds: float


class Job(NamedTuple):
    """One program to run: the text of a Python script, or a program and its arguments, and its standard input."""

    program: bytes | Sequence[str]
    stdin: bytes = b""


class Sandbox(ABC):
    """A place to run programs in. After each of them everything that it started is dead."""

    name: ClassVar[str]

    @abstractmethod
    def run(self, program: bytes | Sequence[str], stdin: bytes = b"", limits: Limits = Limits()) -> Ran:
        """Run a program until it ends or a limit ends it.

        `program` is the text of a Python script (the interpreter is this one, without site-packages), or the path of a
        program that can be seen inside and its arguments. What the program does never raises here; SharpenError where
        the sandbox itself could not be started.
        """


def run_many(sandbox: Sandbox, jobs: Sequence[Job], limits: Limits, workers: int) -> list[Ran]:
    """Run jobs, `workers` at a time, each in a sandbox of its own. Order is kept."""
    if workers == 1 or len(jobs) < 2:
        return [sandbox.run(job.program, job.stdin, limits) for job in jobs]
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(lambda job: sandbox.run(job.program, job.stdin, limits), jobs))
