"""The folder of a run as seen by the processes that do not write it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from sharpen.run.directory import RunDir
from sharpen.types import Group


class Onlooker(RunDir):
    """A run directory that is read as any other and never written."""

    writes: ClassVar[bool] = False

    @contextmanager
    def lock(self) -> Iterator[Onlooker]:
        """The main process holds it."""
        yield self

    def append_metrics(self, step: int, metrics: Mapping[str, float], cost: Mapping[str, float]) -> None:
        """Nothing."""

    def append_timing(self, step: int, timing: Mapping[str, float]) -> None:
        """Nothing."""

    def append_rollouts(self, step: int, groups: Sequence[Group]) -> None:
        """Nothing."""

    def append_curve(self, record: Mapping[str, Any]) -> None:
        """Nothing."""

    def flush(self) -> None:
        """Nothing."""

    def save(self, step: int, state: Any, keep: int = 2) -> Path:
        """Nothing; `state` was to be put together by all processes."""
        return self.checkpoints / f"{step:06d}"

    def rewind(self, step: int) -> None:
        """Nothing."""

    def _put(self, target: Path, export: Callable[[Path], None]) -> None:
        export(target)  # a model is put together by all processes and written by the main one

    def write_evaluation(self, evaluation: Mapping[str, Any]) -> None:
        """Nothing."""

    def log(self, line: str) -> None:
        """Nothing."""
