"""Jobs in processes of their own: one thread each, nothing shared, ended with the process that wants them.

The processes are forked off a server that has imported the library and computed nothing, so that a job does not pay
seconds for imports.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch

from sharpen.errors import SharpenError
from sharpen.recipes import FAMILIES

PRELOADED = (
    "sharpen.claims.jobs",
    "sharpen.study.jobs",
    "transformers.models.auto.modeling_auto",
    "transformers.models.auto.tokenization_auto",
    "transformers.models.qwen3.modeling_qwen3",
    *(f"sharpen.recipes.{family}" for family in FAMILIES),
)
"""What the server imports before it forks: all that a job on a nano model needs."""

J = TypeVar("J")
R = TypeVar("R")


@dataclass(frozen=True)
class Failed:
    """A job that has no result, and why."""

    text: str


@dataclass(frozen=True)
class Said:
    """Something that a job says on its way."""

    what: Any


def told(error: Exception) -> str:
    """An error in a line, with the place in the code where it is a defect."""
    if isinstance(error, SharpenError):
        return " ".join(str(error).split())
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {' '.join(str(error).split())} ({Path(last.filename).name}, line {last.lineno})"


def can_be_handed(x: object, what: str) -> None:
    """Raise SharpenError, which calls it `what`, unless something can be given to another process."""
    try:
        pickle.dumps(x)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise SharpenError(
            f"{what} cannot be handed to another process ({error}). Write its functions and classes at the top of a "
            "module."
        ) from error


class Pool(Generic[J]):
    """Processes that do jobs, `size` at a time. `close` ends those that are left."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.running: dict[Connection, tuple[BaseProcess, J]] = {}
        self._server = multiprocessing.get_context("forkserver")
        self._server.set_forkserver_preload(list(PRELOADED))

    def alone(
        self, work: Callable[[Callable[[Any], None]], R], watch: Callable[[Any], None] | None = None
    ) -> R | Failed:
        """One job by itself: `work(say)` in another process, where `watch` is told whatever it says."""
        process, pipe = self._start(_speak, work)
        try:
            while True:
                try:
                    said = pipe.recv()
                except EOFError:
                    process.join()
                    return Failed(_ended(process))
                if not isinstance(said, Said):
                    done: R | Failed = said
                    return done
                if watch:
                    watch(said.what)
        finally:
            process.terminate()
            process.join()

    def results(self, work: Callable[[J], R], todo: Sequence[J]) -> Iterator[tuple[J, R | Failed]]:
        """Each job with what `work` gives for it, in the order in which they end."""
        left = list(todo)
        while left or self.running:
            while left and len(self.running) < self.size:
                job = left.pop(0)
                process, pipe = self._start(_work, work, job)
                self.running[pipe] = (process, job)
            ready = wait(list(self.running))
            for pipe in [p for p in self.running if p in ready]:
                process, job = self.running[pipe]
                try:
                    result: R | Failed = pipe.recv()
                except EOFError:  # it was killed before it could say anything
                    process.join()
                    result = Failed(f"The job failed: {_ended(process)}.")
                process.join()
                del self.running[pipe]
                yield job, result

    def close(self) -> None:
        """Ask what is running to end, and wait for it; a second Ctrl-C ends it at once."""
        processes = [process for process, _ in self.running.values()]
        try:
            for process in processes:
                process.terminate()
            for process in processes:
                process.join()
        finally:
            for process in processes:
                process.kill()
                process.join()
        self.running.clear()

    def _start(self, target: Callable[..., None], *args: Any) -> tuple[BaseProcess, Connection]:
        here, there = self._server.Pipe(duplex=False)
        process = self._server.Process(target=target, args=(there, *args), daemon=True)
        process.start()
        there.close()
        return process, here


def _ended(process: BaseProcess) -> str:
    code = process.exitcode or 0
    return f"its process was ended by signal {-code}" if code < 0 else f"its process ended with status {code}"


def _work(pipe: Connection, work: Callable[[Any], Any], job: Any) -> None:
    _by_itself()
    pipe.send(_tried(lambda: work(job)))


def _speak(pipe: Connection, work: Callable[[Callable[[Any], None]], Any]) -> None:
    _by_itself()
    pipe.send(_tried(lambda: work(lambda what: pipe.send(Said(what)))))


def _tried(work: Callable[[], Any]) -> Any:
    try:
        return work()
    except Exception as error:  # whatever it was, the other jobs go on
        return Failed(told(error))


def _by_itself() -> None:
    """One thread; Ctrl-C is the parent's business; and the process ends when the parent does, however that ended."""
    os.setpgid(0, 0)  # a terminal sends Ctrl-C to the whole group
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
