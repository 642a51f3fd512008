"""What runs inside a process of a pool: somebody else's function. `child.py` is the side that asks it.

Started by file, not imported: it needs the standard library alone, and its directory must not be on the path.
Requests and replies are JSON lines on copies of standard input and output; the function finds its own input empty and
what it prints goes to standard error. A watchdog that needs no cooperation (not even the interpreter lock) ends the
process when a request overruns, and leaves a stack trace in the file whose descriptor is the first argument.
"""

from __future__ import annotations

import asyncio
import faulthandler
import importlib.util
import inspect
import json
import linecache
import math
import os
import resource
import sys
import traceback
from collections.abc import Callable
from typing import Any

MOST = 2000
"""Characters of an error's message that are told, and of a line of the file."""


LONGEST = 100
"""Characters of a reward's name."""


class View(dict[str, Any]):
    """A problem as a reward function sees it: `problem.answer` and `problem["answer"]` are the same."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"a problem has no {name!r}; it has {', '.join(self)}") from None


class WrongError(Exception):
    """A function that cannot be used, or a value that is no reward."""


def load(path: str, name: str) -> Callable[..., Any]:
    """The function `name` of the Python file `path`. Raises `WrongError`, or whatever running the file raises."""
    sys.path.insert(0, os.path.dirname(path))
    spec = importlib.util.spec_from_file_location(os.path.splitext(os.path.basename(path))[0], path)
    if spec is None or spec.loader is None:
        raise WrongError("it is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    if not hasattr(module, name):
        known = [k for k, v in vars(module).items() if callable(v) and getattr(v, "__module__", "") == spec.name]
        raise WrongError(f"there is no function {name!r} in it (it defines {', '.join(sorted(known)) or 'none'})")
    function = getattr(module, name)
    if not callable(function):
        raise WrongError(f"{name!r} is a {type(function).__name__}, not a function")
    return function  # type: ignore[no-any-return]


def shape(function: Callable[..., Any]) -> tuple[bool, bool]:
    """Whether a function takes a batch, and whether it is async. Raises `WrongError` for other signatures."""
    parameters = inspect.signature(function).parameters
    try:
        inspect.signature(function).bind(None, None)
    except TypeError:
        raise WrongError(f"it takes ({', '.join(parameters)}), not (text, problem) or (texts, problems)") from None
    call = getattr(function, "__call__", None)  # noqa: B004 - the method itself is wanted
    return "texts" in parameters, inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


def number(value: Any) -> float:
    """One reward as a float. Raises `WrongError` for what is none, NaN or infinite."""
    if isinstance(value, (str, bytes)) or value is None or not hasattr(value, "__float__"):
        raise WrongError(f"returned {_kind(value)}, not a number, a bool or a dict of numbers")
    try:
        x = float(value)
    except (TypeError, ValueError, RuntimeError, OverflowError) as err:
        raise WrongError(f"returned {_kind(value)}, which is not one number ({err})") from None
    if not math.isfinite(x):
        raise WrongError(f"returned {x}, and a reward must be finite")
    return x


def reward(value: Any) -> Any:
    """A returned value as a float or a dict of floats. Raises `WrongError`."""
    if not isinstance(value, dict):
        return number(value)
    if not value:
        raise WrongError("returned an empty dict")
    out = {}
    for name, x in value.items():
        if not isinstance(name, str):
            raise WrongError(f"returned a dict with the key {name!r}, and names of rewards must be strings")
        if not (name.isprintable() and 0 < len(name) <= LONGEST):
            raise WrongError(
                f"returned a dict with the key {cut(repr(name))}, and names of rewards must be strings of 1 to "
                f"{LONGEST} characters that can be seen"
            )
        try:
            out[name] = number(x)
        except WrongError as err:
            raise WrongError(f"{err} (under {name!r})") from None
    return out


def _kind(value: Any) -> str:
    return "None" if value is None else f"a {type(value).__name__} ({repr(value)[:60]})"


class Served:
    """A loaded function, answering requests."""

    def __init__(self, path: str, name: str, rewards: bool) -> None:
        self.path = path
        self.rewards = rewards
        self.runner = asyncio.Runner()
        self.function = load(path, name)
        self.batch, self.is_async = shape(self.function) if rewards else (False, False)

    def answer(self, calls: list[list[Any]], limit: float) -> list[Any]:
        """The values of some calls, in order; None for an async one that overran `limit` seconds.

        What a call raises carries its index as `sharpen_index`.
        """
        if self.rewards:
            calls = [[text, View(problem)] for text, problem in calls]
        if self.batch:
            return self._batch(calls)
        if self.is_async:
            return self.runner.run(self._gather(calls, limit))
        values = []
        for i, call in enumerate(calls):
            try:
                value = self.function(*call)
                values.append(self._checked(self.runner.run(_await(value)) if inspect.isawaitable(value) else value))
            except BaseException as err:
                err.sharpen_index = i  # type: ignore[attr-defined]
                raise
        return values

    def _batch(self, calls: list[list[Any]]) -> list[Any]:
        value = self.function([c[0] for c in calls], [c[1] for c in calls])
        if inspect.isawaitable(value):
            value = self.runner.run(_await(value))
        if isinstance(value, (str, bytes, dict)) or not hasattr(value, "__len__") or not hasattr(value, "__iter__"):
            raise WrongError(f"returned {_kind(value)}, not a list of rewards")
        values = list(value)
        if len(values) != len(calls):
            raise WrongError(f"returned {len(values)} rewards for {len(calls)} texts")
        out = []
        for i, v in enumerate(values):
            try:
                out.append(reward(v))
            except WrongError as err:
                err.sharpen_index = i  # type: ignore[attr-defined]
                raise
        return out

    async def _gather(self, calls: list[list[Any]], limit: float) -> list[Any]:
        tasks = [asyncio.ensure_future(self.function(*c)) for c in calls]
        _, late = await asyncio.wait(tasks, timeout=limit)
        for task in late:
            task.cancel()
        out = []
        for i, task in enumerate(tasks):
            try:
                out.append(None if task in late else self._checked(task.result()))
            except BaseException as err:
                err.sharpen_index = i  # type: ignore[attr-defined]
                raise
        return out

    def _checked(self, value: Any) -> Any:
        return reward(value) if self.rewards else value


async def _await(value: Any) -> Any:
    return await value


def described(err: BaseException, path: str) -> dict[str, Any]:
    """What went wrong, as plain data: the exception, and the last line of the user's file on the way to it."""
    out: dict[str, Any] = {"index": getattr(err, "sharpen_index", 0)}
    if isinstance(err, WrongError):
        return {**out, "message": cut(str(err))}
    try:
        said = str(err)
    except BaseException:
        said = "(its message cannot be made)"
    out["message"] = cut(f"{type(err).__name__}: {said}" if said else type(err).__name__)
    if isinstance(err, SystemExit):
        out["message"] = cut(f"it called sys.exit({'' if err.code is None else repr(err.code)})")
    if isinstance(err, SyntaxError) and err.filename == path:
        return {**out, "line": err.lineno, "source": cut((err.text or "").strip())}
    lines = [f.lineno for f in traceback.extract_tb(err.__traceback__) if f.filename == path]
    if lines and lines[-1]:
        out |= {"line": lines[-1], "source": cut(linecache.getline(path, lines[-1]).strip())}
    return out


def bound(memory: int) -> None:
    """Let this process take no more address space than it has and so many bytes (0: as many as there are)."""
    if not memory or not sys.platform.startswith("linux"):
        return
    with open("/proc/self/statm") as file:
        most = int(file.read().split()[0]) * resource.getpagesize() + memory
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def cut(text: str) -> str:
    """The beginning of a text: whoever reads a message of many megabytes waits for it longer than for the function."""
    return text if len(text) <= MOST else text[:MOST] + "..."


def main() -> None:
    """Answer requests until the input ends."""
    out = os.fdopen(os.dup(1), "w", encoding="ascii")
    inp = os.fdopen(os.dup(0), encoding="ascii")
    os.dup2(2, 1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    crash = os.fdopen(int(sys.argv[1]), "w")
    faulthandler.enable(crash)

    served: Served | None = None
    home = os.getpid()
    for line in inp:
        request = json.loads(line)
        limit = request["timeout"]
        # async calls are timed one by one, so the whole request gets a little longer
        faulthandler.dump_traceback_later(limit + (served is not None and served.is_async), exit=True, file=crash)
        path = served.path if served else request["file"]
        try:
            if served is None:
                sys.path += [p for p in request["path"] if p not in sys.path]
                served = Served(path, request["function"], request["rewards"])
                message: dict[str, Any] = {"batch": served.batch, "async": served.is_async}
                bound(request["memory"])
            else:
                message = {"values": served.answer(request["calls"], limit)}
            text = json.dumps(message | {"id": request["id"]})
        except BaseException as err:
            text = json.dumps({"error": described(err, path), "id": request["id"]})
        if os.getpid() != home:
            os._exit(0)  # a child the function forked came back: its reply would be taken for another call's
        faulthandler.cancel_dump_traceback_later()
        out.write(text + "\n")
        out.flush()


if __name__ == "__main__":
    main()
