"""Who is told how a run goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

Shows = Literal["iterations", "loss", "accuracy"]
"""What a phase of a run reports at each step: all metrics of an iteration, a loss, or a share of right answers."""


class Watcher(Protocol):
    """Who is told how a run goes on: the command line's display, a notebook, nobody."""

    def message(self, text: str) -> None:
        """A paragraph."""

    def phase(self, title: str, total: int, start: int = 0, shows: Shows = "loss") -> None:
        """Something of `total` steps begins, of which `start` were done before."""

    def update(self, step: int, metrics: Mapping[str, float], tokens_per_second: float = 0.0) -> None:
        """Step `step` of it is done."""


class Silent:
    """A watcher that says nothing."""

    def message(self, text: str) -> None:
        """Nothing."""

    def phase(self, title: str, total: int, start: int = 0, shows: Shows = "loss") -> None:
        """Nothing."""

    def update(self, step: int, metrics: Mapping[str, float], tokens_per_second: float = 0.0) -> None:
        """Nothing."""
