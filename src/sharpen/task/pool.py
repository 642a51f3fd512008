"""Several processes that run a function which may hang, crash or print, and a plain answer for each of these."""

from __future__ import annotations

import selectors
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sharpen.task.child import Child, Failure
from sharpen.visible import visible

__all__ = ["MEMORY", "Failure", "Pool"]

MEMORY = 2 << 30
"""Bytes of address space that a verifier may take for an answer."""


class Pool:
    """`workers` processes, each of which holds the function `name` of the Python file `path` and answers requests.

    A request is a list of calls, each a list of plain arguments; its answer is the list of values, or a `Failure`.
    Where some calls of an async function overran and the others did not, a `Failure` stands for each of those. A
    process that overruns `timeout` seconds on a request, or dies, is killed with all it started, and another takes
    its place. Answers come in the order of requests whatever the number of workers. Processes start with the first
    request and end with `close`, with this object, or with this program. `memory` bounds the bytes of address space
    that a process may take besides what it has when the function is loaded (0: no bound; Linux).
    """

    def __init__(
        self,
        path: str | Path,
        name: str,
        *,
        workers: int = 1,
        timeout: float = 10.0,
        start: float = 120.0,
        rewards: bool = False,
        memory: int = 0,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.path = str(Path(path).resolve())
        self.name = name
        self.workers = workers
        self.timeout = timeout
        self.start = start
        self.rewards = rewards
        self.memory = memory
        self.env = dict(env or {})
        self.kind: dict[str, Any] = {}
        self._idle: list[Child] = []
        self._lock = threading.Lock()
        self._end = weakref.finalize(self, _end_all, self._idle)

    def open(self) -> Failure | None:
        """Start one process if there is none; why it could not."""
        with self._lock:
            if self._idle:
                return None
            worker = self._started()
            if isinstance(worker, Failure):
                return worker
            self._idle.append(worker)
            return None

    def run(
        self, requests: Sequence[Sequence[Sequence[Any]]], patience: int | None = None
    ) -> list[list[Any] | Failure]:
        """The answers, in order.

        With `patience`, requests after one that raised, or after more overruns and deaths than that, may go unanswered
        (and are missing: the answers are those of the first requests).
        """
        with self._lock:
            busy: dict[Child, int] = {}
            try:
                return self._run(requests, patience, busy)
            finally:
                # only an exception leaves some busy; what they would still say must not be taken for later answers
                for worker in busy:
                    worker.end()

    def _run(
        self, requests: Sequence[Sequence[Sequence[Any]]], patience: int | None, busy: dict[Child, int]
    ) -> list[list[Any] | Failure]:
        waiting = deque(range(len(requests)))
        done: dict[int, list[Any] | Failure] = {}
        lost = 0

        def settle(i: int, answer: list[Any] | Failure) -> None:
            nonlocal lost
            done[i] = answer
            failures = [x for x in (answer if isinstance(answer, list) else [answer]) if isinstance(x, Failure)]
            lost += len(failures)
            if patience is not None and (lost > patience or any(f.kind == "raised" for f in failures)):
                waiting.clear()

        while waiting or busy:
            while waiting and len(busy) < self.workers:
                i = waiting.popleft()
                worker = self._ready()
                if isinstance(worker, Failure):
                    settle(i, worker)
                    waiting.clear()  # nothing can be answered
                elif worker.send({"calls": [list(c) for c in requests[i]]}, self.timeout):
                    busy[worker] = i
                else:
                    settle(i, worker.end())
            for worker, reply in _next(busy):
                if reply is None:
                    continue
                i = busy.pop(worker)
                if reply is False:
                    settle(i, worker.end())
                    continue
                self._idle.append(worker)
                settle(i, _failure(reply["error"]) if "error" in reply else self._values(reply["values"]))
        return [done[i] for i in sorted(done)]

    def _values(self, values: list[Any]) -> list[Any]:
        """The values of a reply; of rewards, null is that of an async call that overran."""
        if not self.rewards:
            return values
        late = f"did not return within {self.timeout:g} s"
        return [Failure("timeout", late, k) if v is None else v for k, v in enumerate(values)]

    def _ready(self) -> Child | Failure:
        """An idle worker that is alive, or a new one."""
        while self._idle:
            worker = self._idle.pop()
            if worker.process.poll() is None:
                return worker
            worker.end()
        return self._started()

    def _started(self) -> Child | Failure:
        worker = Child(self.path, self.env)
        hello = {"file": self.path, "function": self.name, "rewards": self.rewards, "memory": self.memory}
        hello["path"] = [p for p in sys.path if p]
        try:
            reply: Any = None if worker.send(hello, self.start) else False
            while reply is None:
                reply = next((r for _, r in _next([worker])), None)
        except BaseException:
            worker.end()
            raise
        if reply is False:
            why = worker.end()
        elif "error" in reply:
            worker.end()
            why = _failure(reply["error"])
        else:
            self.kind = reply
            return worker
        return Failure("start", why.message, 0, why.line, why.source)

    def close(self) -> None:
        """End every process. The next request starts new ones."""
        with self._lock:
            _end_all(self._idle)


def _next(workers: Any) -> list[tuple[Child, Any]]:
    """What the workers that have something to say say, or those whose time is over (False)."""
    if not workers:
        return []
    with selectors.DefaultSelector() as selector:
        for worker in workers:
            selector.register(worker.stdout, selectors.EVENT_READ, worker)
        wait = min(w.deadline for w in workers) - time.monotonic()
        events = selector.select(max(wait, 0.0))
    said = {key.data: key.data.receive() for key, _ in events}
    now = time.monotonic()  # one that speaks and never ends is over its time as well
    late = {worker: False for worker in workers if worker.deadline <= now and said.get(worker) is None}
    return list((said | late).items())


def _failure(error: dict[str, Any]) -> Failure:
    """What a worker says of an error; the text is somebody's, and is shown on terminals and written to logs."""
    source = visible(error.get("source", ""))
    return Failure("raised", visible(error["message"]), error["index"], error.get("line"), source)


def _end_all(idle: list[Child]) -> None:
    while idle:
        idle.pop().end()
