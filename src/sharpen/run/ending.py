"""How a run ends early: by Ctrl-C, an error of the user's to mend, or a defect. Each leaves words and a report."""

from __future__ import annotations

import contextlib
import logging
import shlex
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import FrameType

from sharpen.errors import SharpenError
from sharpen.recipe import Method
from sharpen.run import checkpoint
from sharpen.run.directory import RunDir
from sharpen.run.telling import findings, tell
from sharpen.run.watching import Watcher


class Stopped(Exception):  # noqa: N818 - it is no error
    """Ctrl-C: the run stopped, and what it had done up to the last checkpoint is kept."""


def again(run: RunDir) -> str:
    """How to go on with a run, and from where."""
    kept = checkpoint.kept(run.checkpoints)
    start = f"from iteration {int(kept[-1].name)}" if kept else "from its beginning"
    return f"Go on {start} with `sharpen train --resume --out {shlex.quote(str(run.path))}`."


@contextmanager
def remembered(run: RunDir, recipe: Method) -> Iterator[None]:
    """What ends the run early inside is told in log.txt, and a report of what is known is left.

    Warnings of the library meanwhile (a text that a verifier was lost on) are lines of log.txt too. SharpenErrors say
    how to go on after they are mended; a KeyboardInterrupt becomes Stopped.
    """
    handler = _Lines(run)
    logging.getLogger("sharpen").addHandler(handler)
    try:
        yield
    except BaseException as error:
        plain = isinstance(error, (SharpenError, Stopped, KeyboardInterrupt))
        words = str(error) or type(error).__name__ if plain else traceback.format_exc()
        # on a full disk there may be no room for words either
        with contextlib.suppress(SharpenError, OSError):
            run.log(f"{datetime.now(UTC).isoformat(timespec='seconds')} {words}")
            if run.writes:
                tell(run, findings(run, recipe))
        if isinstance(error, KeyboardInterrupt):
            raise Stopped(f"Stopped at once. {again(run)}") from error
        if isinstance(error, SharpenError):
            hint = "" if "--resume" in str(error) else f" {again(run)}"
            raise type(error)(f"{error}{hint}") from error
        raise
    finally:
        logging.getLogger("sharpen").removeHandler(handler)


class _Lines(logging.Handler):
    """Writes warnings into log.txt."""

    def __init__(self, run: RunDir) -> None:
        super().__init__(logging.WARNING)
        self.run = run

    def emit(self, record: logging.LogRecord) -> None:
        """One line."""
        self.run.log(f"{datetime.now(UTC).isoformat(timespec='seconds')} {' '.join(record.getMessage().splitlines())}")


@contextmanager
def stoppable(watcher: Watcher) -> Iterator[Callable[[], bool]]:
    """Within, the first Ctrl-C (or SIGTERM) asks the loop to stop after its iteration; a second one ends it at once."""
    asked = False

    def ask(signum: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        # the signal may have come in the middle of a write to the same stream
        with contextlib.suppress(RuntimeError):
            watcher.message("Stopping after this iteration, to keep it. Press Ctrl-C again to stop at once.")

    # only the main thread may handle signals
    signals = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    old = {s: signal.signal(s, ask) for s in signals}
    try:
        yield lambda: asked
    finally:
        for s, handler in old.items():
            signal.signal(s, handler)
