"""The server's addresses: one page, its files, and answers about runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import pyarrow as pa
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sharpen.errors import SharpenError
from sharpen.view import calibration, choosing, picture, records, summary, traces
from sharpen.view.answers import Question, answer, refusal, seen
from sharpen.view.choosing import SORTS, Wanted
from sharpen.view.columns import Indexes
from sharpen.view.guard import Guard
from sharpen.view.shelf import Shelf, Shelved, Unknown
from sharpen.view.tree import tree

KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""Types of the page's files."""

STRANGE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError, pa.ArrowException)
"""What reading a file may raise that is JSON or Parquet and was written by somebody else."""

PAGE_MOST = 200
"""Rollouts on one page."""


def app(folders: Sequence[Path], host: str = "127.0.0.1", token: str = "") -> Guard:
    """The server for the runs below `folders`, as an ASGI application that guards itself."""
    return Guard(Starlette(routes=_routes(Shelf(folders)), exception_handlers=HANDLERS), host, token)


def _routes(shelf: Shelf) -> list[Route]:
    indexes = Indexes()
    files = _static()

    def file(name: str) -> Response:
        if name not in files:
            return refusal(f"There is no file {name[:80]!r} of the page.", 404)
        return Response(files[name], headers={"Cache-Control": "no-cache"}, media_type=KINDS[Path(name).suffix])

    def of_run(look: Callable[[Shelved, Request, Question], Any]) -> Callable[[Request], Response]:
        def endpoint(request: Request) -> Response:
            run = shelf.get(request.path_params["run"])
            try:
                return answer(look(run, request, Question(request.query_params)))
            except SharpenError as error:  # a page names a run as its list does, not by where it lies
                raise type(error)(str(error).replace(str(run.path), run.name)) from error
            except STRANGE as error:
                raise SharpenError(strange(run, error)) from error

        return endpoint

    def runs(request: Request) -> Response:
        return answer({"folders": [name for _, name in shelf.folders], "runs": [told(r) for r in shelf.all()]})

    def told(run: Shelved) -> Any:
        try:
            return seen(summary.line(run))
        except STRANGE as error:  # one run that nobody can read must not hide the others
            return {"id": run.id, "folder": run.name, "problem": strange(run, error)}

    def group(run: Shelved, request: Request, trace: int | None = None) -> list[dict[str, Any]]:
        path = request.path_params
        return traces.group(run, indexes, path["step"], path["group"], trace)

    def rollouts(run: Shelved, request: Request, q: Question) -> Any:
        wanted = Wanted(
            text=q.text("text"),
            first=q.whole("first"),
            last=q.whole("last"),
            low=q.number("low"),
            high=q.number("high"),
            solved=q.truth("solved"),
            end=q.text("end"),
            agent=q.text("agent"),
            sort=q.one_of("sort", SORTS),
            down=bool(q.truth("down")),
            offset=q.whole("offset") or 0,
            limit=q.whole("limit", 1, PAGE_MOST) or 50,
        )
        return choosing.page(indexes.of(run), wanted)

    def tail(name: str) -> Callable[[Shelved, Request, Question], Any]:
        return lambda run, _, q: records.since(run.file(name), q.whole("from") or 0, q.text("mark")).plain()

    about: dict[str, Callable[[Shelved, Request, Question], Any]] = {
        "": lambda run, *_: summary.overview(run),
        "/metrics": tail("metrics.jsonl"),
        "/curve": tail("curve.jsonl"),
        "/timing": tail("timing.jsonl"),
        "/findings": lambda run, *_: summary.findings(run),
        "/evaluation": lambda run, *_: summary.evaluation(run),
        "/recipe": lambda run, *_: picture.picture(run),
        "/calibration": lambda run, _, q: calibration.calibration(run, q.whole("first"), q.whole("last")),
        "/rollouts": rollouts,
        "/rollouts/{step:int}/{group:int}": lambda run, r, _: {"traces": traces.shown(run, group(run, r))},
        "/rollouts/{step:int}/{group:int}/tree": lambda run, r, _: tree(group(run, r)),
        "/rollouts/{step:int}/{group:int}/{trace:int}": lambda run, r, _: traces.shown(
            run, group(run, r, r.path_params["trace"])
        )[0],
    }
    return [
        Route("/", lambda _: file("index.html")),
        Route("/static/{name}", lambda request: file(request.path_params["name"])),
        Route("/api/runs", runs),
        *(Route(f"/api/runs/{{run:int}}{path}", of_run(look)) for path, look in about.items()),
    ]


def strange(run: Shelved, error: Exception) -> str:
    """What to say of files that hold something else than they should, in a way that nobody thought of."""
    return (
        f"A file of the run {run.name} does not hold what sharpen writes there ({type(error).__name__}). If nobody but "
        "sharpen wrote it, this is a defect of sharpen; please report it."
    )


def _static() -> dict[str, bytes]:
    """The page's files by name: a fixed set, so that no name leads anywhere else."""
    here = resources.files("sharpen.view") / "static"
    return {f.name: f.read_bytes() for f in here.iterdir() if Path(f.name).suffix in KINDS}


def _unknown(_: Request, error: Exception) -> Response:
    return refusal(str(error), 404)


def _told(_: Request, error: Exception) -> Response:
    return refusal(str(error), 422)


def _http(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return refusal("There is nothing at this address." if status == 404 else str(error), status)


def _gone(_: Request, error: Exception) -> Response:
    return refusal(
        f"A file of the run cannot be read ({type(error).__name__}). Has the run been moved or removed?", 422
    )


def _defect(_: Request, error: Exception) -> Response:
    return refusal(f"The server failed ({type(error).__name__}). This is a defect of sharpen; please report it.", 500)


HANDLERS: dict[Any, Callable[[Request, Exception], Response]] = {
    Unknown: _unknown,
    SharpenError: _told,
    HTTPException: _http,
    OSError: _gone,
    Exception: _defect,
}
"""What is answered where something is wrong: a message, the page shows it."""
