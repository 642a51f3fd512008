"""Worker processes that run a function which may hang, crash or print, and a plain answer for each of these."""

from __future__ import annotations

import contextlib
import json
import os
import re
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

from sharpen.visible import visible

_WORKER = Path(__file__).with_name("worker.py")
_GRACE = 5.0  # how long after its watchdog should have ended it a worker is given up
MEMORY = 2 << 30
"""Bytes of address space that a verifier may take for an answer."""

_REPLY = 1 << 26
"""Bytes of a reply; a worker that says more without an end is not listened to further."""


@dataclass(frozen=True)
class Failure:
    """Why a request has no values.

    `kind`: `start` (the function could not be loaded), `raised` (it raised, or returned what it may not), `timeout`,
    `died` (its process ended). `index` is the call of the request that failed; `line` and `source` are the place in
    the file.
    """

    kind: Literal["start", "raised", "timeout", "died"]
    message: str
    index: int = 0
    line: int | None = None
    source: str = ""


class _Worker:
    """One process and its pipes."""

    def __init__(self, path: str, env: Mapping[str, str]) -> None:
        self.path = path
        self.crash: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `end`
        self.process = subprocess.Popen(
            # -P: the directory of the worker holds modules whose names others use
            [sys.executable, "-P", str(_WORKER), str(self.crash.fileno())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=(self.crash.fileno(),),
            start_new_session=True,
            bufsize=0,
            env={**os.environ, **env},
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.stdin = self.process.stdin
        self.stdout = self.process.stdout
        self.rest = b""
        self.gone = False
        self.wrong = ""
        self.asked = 0
        self.deadline = 0.0
        self.limit = 0.0

    def send(self, request: dict[str, Any], limit: float) -> bool:
        """Send one request; False when the process is gone."""
        self.limit = limit
        self.deadline = time.monotonic() + limit + _GRACE
        self.asked += 1
        # what JSON has no word for is sent as its text
        data = json.dumps({**request, "timeout": limit, "id": self.asked}, default=str).encode() + b"\n"
        try:
            while data:
                data = data[self.stdin.write(data) or 0 :]
        except BrokenPipeError:
            self.gone = True
            return False
        return True

    def receive(self) -> dict[str, Any] | Literal[False] | None:
        """What has come: a reply, None while it is incomplete, False when the process is gone or said anything else."""
        data = os.read(self.stdout.fileno(), 1 << 16)
        if not data:
            self.gone = True
            return False
        self.rest += data
        line, found, rest = self.rest.partition(b"\n")
        if not found and len(self.rest) <= _REPLY:
            return None
        self.rest = rest
        try:
            reply = json.loads(line)
        except (ValueError, RecursionError):
            reply = None
        # what is on the way is the function's as well: it may have found the pipe, and written to it what it likes
        if not found or rest or not isinstance(reply, dict) or reply.get("id") != self.asked:
            self.wrong = "something else than its answer came from its process: it must not write to the pipes it finds"
            return False
        return reply

    def end(self) -> Failure:
        """Kill the process and all it started; why it had ended, if it is gone already or its time is over."""
        late = time.monotonic() >= self.deadline
        if self.gone:
            _await_death(self.process.pid)
        # the leader is not reaped yet, so the number of its group is still its own
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
        code = self.process.wait()
        self.crash.seek(0)
        dump = self.crash.read().decode(errors="replace")
        for pipe in (self.stdin, self.stdout, self.crash):
            pipe.close()
        if self.wrong:
            return Failure("died", self.wrong, 0, None, "")
        return self._why(code, dump, late and not self.gone)

    def _why(self, code: int, dump: str, late: bool) -> Failure:
        found = re.search(rf'File "{re.escape(self.path)}", line (\d+)', dump)
        line = int(found.group(1)) if found else None
        source = ""
        if line is not None:
            with contextlib.suppress(OSError, IndexError, UnicodeDecodeError):
                source = Path(self.path).read_text(encoding="utf-8").splitlines()[line - 1].strip()
        if late or dump.startswith("Timeout"):
            return Failure("timeout", f"did not return within {self.limit:g} s", 0, line, source)
        if code < 0:
            return Failure("died", f"killed by {signal.Signals(-code).name}", 0, line, source)
        return Failure("died", f"exit status {code}", 0, line, source)


def _await_death(pid: int, limit: float = 1.0) -> None:
    """Wait until a process that closed its pipes has an exit status of its own, without reaping it."""
    if not hasattr(os, "waitid"):
        time.sleep(0.2)  # macOS before Python 3.13
        return
    stop = time.monotonic() + limit
    while time.monotonic() < stop and os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
        time.sleep(0.002)


class Pool:
    """`workers` processes, each of which holds the function `name` of the Python file `path` and answers requests.

    A request is a list of calls, each a list of plain arguments; its answer is the list of values, or a `Failure`. A
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
        self._idle: list[_Worker] = []
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
        (and are missing).
        """
        with self._lock:
            busy: dict[_Worker, int] = {}
            try:
                return self._run(requests, patience, busy)
            finally:
                # only an exception leaves some busy; what they would still say must not be taken for later answers
                for worker in busy:
                    worker.end()

    def _run(
        self, requests: Sequence[Sequence[Sequence[Any]]], patience: int | None, busy: dict[_Worker, int]
    ) -> list[list[Any] | Failure]:
        waiting = deque(range(len(requests)))
        done: dict[int, list[Any] | Failure] = {}
        lost = 0

        def fail(i: int, failure: Failure) -> None:
            nonlocal lost
            done[i] = failure
            lost += 1
            if patience is not None and (failure.kind == "raised" or lost > patience):
                waiting.clear()

        while waiting or busy:
            while waiting and len(busy) < self.workers:
                i = waiting.popleft()
                worker = self._ready()
                if isinstance(worker, Failure):
                    fail(i, worker)
                    waiting.clear()  # nothing can be answered
                elif worker.send({"calls": [list(c) for c in requests[i]]}, self.timeout):
                    busy[worker] = i
                else:
                    fail(i, worker.end())
            for worker, reply in _next(busy):
                if reply is None:
                    continue
                i = busy.pop(worker)
                if reply is False:
                    fail(i, worker.end())
                    continue
                self._idle.append(worker)
                if "error" in reply:
                    fail(i, _failure(reply["error"]))
                else:
                    done[i] = reply["values"]
        return [done[i] for i in sorted(done)]

    def _ready(self) -> _Worker | Failure:
        """An idle worker that is alive, or a new one."""
        while self._idle:
            worker = self._idle.pop()
            if worker.process.poll() is None:
                return worker
            worker.end()
        return self._started()

    def _started(self) -> _Worker | Failure:
        worker = _Worker(self.path, self.env)
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


def _next(workers: Any) -> list[tuple[_Worker, Any]]:
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
    kind: Literal["raised", "timeout"] = "timeout" if error.get("late") else "raised"
    return Failure(kind, visible(error["message"]), error["index"], error.get("line"), visible(error.get("source", "")))


def _end_all(idle: list[_Worker]) -> None:
    while idle:
        idle.pop().end()
