"""What a person sees of a run while it goes on."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping

from rich.console import Console

from sharpen.cli.progress import Bar, Display, Measuring, Progress
from sharpen.run.watching import Shows
from sharpen.visible import visible


class Screen:
    """The watcher of the command line: one display after another, messages above them.

    When nobody reads any more (`| head`) it falls silent, and the run goes on.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self._shown: Display | None = None
        self._deaf = False

    def close(self) -> None:
        """End the display there is."""
        shown, self._shown = self._shown, None
        if shown is not None:
            with self._heard():
                shown.__exit__(None, None, None)

    def message(self, text: str) -> None:
        """A paragraph above the display."""
        with self._heard():
            if self._shown is not None:
                self._shown.message(text)
            else:
                self.console.print(visible(text), markup=False, highlight=False, soft_wrap=not self.console.is_terminal)

    def phase(self, title: str, total: int, start: int = 0, shows: Shows = "loss") -> None:
        """A new display."""
        self.close()
        kind = {"iterations": Progress, "loss": Bar, "accuracy": Measuring}[shows]
        with self._heard():
            self._shown = kind(total, title, start=start, console=self.console, quiet=self._deaf)
            self._shown.__enter__()

    def update(self, step: int, metrics: Mapping[str, float], tokens_per_second: float = 0.0) -> None:
        """One more step."""
        with self._heard():
            if isinstance(self._shown, Progress):
                self._shown.update(step, metrics, tokens_per_second)
            elif isinstance(self._shown, Measuring):
                self._shown.update(step, metrics.get("accuracy"))
            elif isinstance(self._shown, Bar):
                self._shown.update(step, metrics.get("loss"))

    @contextlib.contextmanager
    def _heard(self) -> Iterator[None]:
        if self._deaf:
            return (yield)
        try:
            yield
        except BrokenPipeError:
            self._deaf = True
            if self._shown is not None:
                self._shown.quiet = True
            # what is still buffered would fail again at each write
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.console.file.fileno())
