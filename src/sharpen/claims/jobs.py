"""Jobs of a claim in processes of their own: one thread each, nothing shared, ended with the process that wants them.

The processes are forked off a server that has imported the library and computed nothing, so that a job does not pay
seconds for imports.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import pickle
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

from sharpen.claims.base import Claim
from sharpen.claims.stage import Stage
from sharpen.claims.store import Result, environment, fingerprint
from sharpen.errors import SharpenError

PRELOADED = (
    "sharpen.claims.jobs",
    "transformers.models.auto.modeling_auto",
    "transformers.models.auto.tokenization_auto",
    "transformers.models.qwen3.modeling_qwen3",
)
"""What the server imports before it forks: all that a job on a nano model needs."""

DIGITS = 4
"""Significant digits of the numbers of a curve."""


def work(claim: Claim, arm: str, seed: int) -> Result:
    """One job, in this process: what the arm measured, or what it failed with."""
    began = time.process_time()
    stage = Stage(claim, seed)
    numbers: Mapping[str, float] = {}
    error = ""
    try:
        numbers = measured(stage.play(claim.arm(arm)), claim, arm)
    except Exception as failure:  # whatever it was, the other jobs go on
        error = told(failure)
    return Result(
        arm,
        seed,
        fingerprint(claim, claim.arm(arm)),
        numbers,
        spent=round(stage.spent, 3),
        cost=stage.cost.as_dict(),
        seconds=round(time.process_time() - began, 2),
        curve=columns(stage.curve),
        made=environment(),
        error=error,
    )


def measured(numbers: Mapping[str, float], claim: Claim, arm: str) -> dict[str, float]:
    """The numbers of an arm as floats. SharpenError for one that is not finite, or lacks what the claim compares."""
    out = {name: float(x) for name, x in numbers.items()}
    odd = [name for name, x in out.items() if not math.isfinite(x)]
    if odd:
        raise SharpenError(f"Arm {arm!r} measured {odd[0]} = {out[odd[0]]}; give a finite number for every metric.")
    for c in claim.compared:
        if arm in (c.better, c.worse) and c.metric not in out:
            raise SharpenError(
                f"The claim compares {c.metric!r}, and arm {arm!r} measured {', '.join(out) or 'nothing'}. Measure it, "
                "or compare another metric."
            )
    return out


def told(error: Exception) -> str:
    """An error in a line, with the place in the code where it is a defect."""
    if isinstance(error, SharpenError):
        return " ".join(str(error).split())
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {' '.join(str(error).split())} ({Path(last.filename).name}, line {last.lineno})"


def columns(curve: Sequence[Mapping[str, float]]) -> dict[str, list[float | None]]:
    """One list a metric, of one entry an iteration."""
    names = dict.fromkeys(name for record in curve for name in record)
    return {name: [_rounded(record.get(name)) for record in curve] for name in names}


def _rounded(x: float | None) -> float | None:
    if x is None or not math.isfinite(x):
        return None
    return int(x) if isinstance(x, int) else float(f"{x:.{DIGITS}g}")


# ------------------------------------------------------------------ processes


class Pool:
    """Processes that do jobs of a claim, `size` at a time. `close` ends those that are left."""

    def __init__(self, claim: Claim, size: int) -> None:
        self.claim = claim
        self.size = size
        self.running: dict[Connection, tuple[BaseProcess, str, int]] = {}
        self._server = multiprocessing.get_context("forkserver")
        self._server.set_forkserver_preload(list(PRELOADED))
        try:
            pickle.dumps(claim)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise SharpenError(
                f"Claim {claim.name!r} cannot be handed to another process ({error}). Write its functions and classes "
                "at the top of a module."
            ) from error

    def teach(self, watch: Callable[[int, float], None] | None = None) -> None:
        """Make the base where the cache lacks it; `watch(step, loss)` sees it learn."""
        process, pipe = self._start(_teach, self.claim)
        try:
            while True:
                try:
                    said = pipe.recv()
                except EOFError:
                    process.join()
                    raise SharpenError(f"The base could not be made: {_ended(process)}.") from None
                if not isinstance(said, tuple):
                    break
                if watch:
                    watch(*said)
        finally:
            process.terminate()
            process.join()
        if said:
            raise SharpenError(said)

    def results(self, todo: Sequence[tuple[str, int]]) -> Iterator[Result]:
        """The result of each job, in the order in which they end."""
        left = list(todo)
        while left or self.running:
            while left and len(self.running) < self.size:
                arm, seed = left.pop(0)
                process, pipe = self._start(_work, self.claim, arm, seed)
                self.running[pipe] = (process, arm, seed)
            ready = wait(list(self.running))
            for pipe in [p for p in self.running if p in ready]:
                process, arm, seed = self.running[pipe]
                try:
                    result = pipe.recv()
                except EOFError:  # it was killed before it could say anything
                    process.join()
                    name = fingerprint(self.claim, self.claim.arm(arm))
                    result = Result(arm, seed, name, made=environment(), error=f"The job failed: {_ended(process)}.")
                process.join()
                del self.running[pipe]
                yield result

    def close(self) -> None:
        """End what is running."""
        for process, _, _ in self.running.values():
            process.terminate()
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


def _work(pipe: Connection, claim: Claim, arm: str, seed: int) -> None:
    _alone()
    pipe.send(work(claim, arm, seed))


def _teach(pipe: Connection, claim: Claim) -> None:
    _alone()
    try:
        claim.base.actor(claim.open_task(), lambda step, loss: pipe.send((step, loss)))
    except Exception as error:
        pipe.send(told(error))
    else:
        pipe.send("")


def _alone() -> None:
    """One thread; Ctrl-C is the parent's business; and the process ends when the parent does, however that ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
