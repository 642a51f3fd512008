"""One process of a pool, seen from outside: it is asked, listened to and ended. `worker.py` is what runs inside it."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

_WORKER = Path(__file__).with_name("worker.py")
_GRACE = 5.0  # how long after its watchdog should have ended it a process is given up
_REPLY = 1 << 26
"""Bytes of a reply; a process that says more without an end is not listened to further."""


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


class Child:
    """One process, its pipes, and what it was asked last."""

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
        self.calls: int | None = None
        self.rewards = False
        self.may_be_late = False
        self.deadline = 0.0
        self.limit = 0.0

    def send(self, request: dict[str, Any], limit: float) -> bool:
        """Send one request; False when the process is gone."""
        self.limit = limit
        self.deadline = time.monotonic() + limit + _GRACE
        self.asked += 1
        self.calls = len(request["calls"]) if "calls" in request else None
        self.rewards = request.get("rewards", self.rewards)
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
        if not found or rest or not isinstance(reply, dict) or not self._is_answer(reply):
            self.wrong = "something else than its answer came from its process: it must not write to the pipes it finds"
            return False
        if self.calls is None and "error" not in reply:
            self.may_be_late = reply["async"] and not reply["batch"]
        return reply

    def _is_answer(self, reply: dict[str, Any]) -> bool:
        """Whether a reply has the form of the answer to what was asked last."""
        if reply.get("id") != self.asked:
            return False
        if "error" in reply:
            error = reply["error"]
            return (
                isinstance(error, dict)
                and isinstance(error.get("message"), str)
                and isinstance(error.get("index"), int)
                and 0 <= error["index"] < (self.calls or 1)
                and isinstance(error.get("line"), (int, type(None)))
                and isinstance(error.get("source", ""), str)
            )
        if self.calls is None:  # it was greeted
            return isinstance(reply.get("batch"), bool) and isinstance(reply.get("async"), bool)
        values = reply.get("values")
        if not isinstance(values, list) or len(values) != self.calls:
            return False
        return not self.rewards or all(_is_reward(v) or (v is None and self.may_be_late) for v in values)

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


def _is_reward(value: Any) -> bool:
    numbers = value.values() if isinstance(value, dict) and value else [value]
    return all(isinstance(x, float) and math.isfinite(x) for x in numbers)


def _await_death(pid: int, limit: float = 1.0) -> None:
    """Wait until a process that closed its pipes has an exit status of its own, without reaping it."""
    if not hasattr(os, "waitid"):
        time.sleep(0.2)  # macOS before Python 3.13
        return
    stop = time.monotonic() + limit
    while time.monotonic() < stop and os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
        time.sleep(0.002)
