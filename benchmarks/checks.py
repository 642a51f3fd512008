"""What it costs to look for NaN and infinity: the share of an iteration of GRPO that is spent in `sharpen.numbers`.

`python benchmarks/checks.py [--threads N] [--repeats N]`. Every call is timed within the iteration it is part of, the
norm of the gradient included, which clipping wants anyway. A share needs no second side: what happens on the machine
meanwhile meets an iteration and its checks alike.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import common
import torch
from grpo import ours

from sharpen import loop, numbers
from sharpen.recipes import recipe

SIZES = (common.Size("0.15 M", 64, 2, 256, 4, 2), common.NANO, common.SMALL)


class Clock:
    """Seconds spent in some functions since it was last read."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.running = False

    def of(self, work: Callable[..., Any]) -> Callable[..., Any]:
        """The function, timed."""

        def timed(*args: Any) -> Any:
            if self.running:  # one of them calls another
                return work(*args)
            self.running, start = True, time.perf_counter()
            try:
                return work(*args)
            finally:
                self.running = False
                self.seconds += time.perf_counter() - start

        return timed

    def read(self) -> float:
        """And begin anew."""
        now, self.seconds = self.seconds, 0.0
        return now


def main() -> None:
    """A row a size."""
    repeats = common.asked(__doc__, 10)
    clock = Clock()
    loop.watch = clock.of(numbers.watch)  # type: ignore[attr-defined]
    for name in ("finite", "norm", "unsound"):
        setattr(numbers, name, clock.of(getattr(numbers, name)))
    rows, figures = [], {}
    for size in SIZES:
        trainer = ours(size, recipe("grpo"), 8, 16, 64, torch.float32)
        trainer.step()
        shares = []
        for _ in range(repeats):
            clock.read()
            start = time.perf_counter()
            trainer.step()
            shares.append(clock.read() / (time.perf_counter() - start))
        figures[size.name] = shares
        share = f"{statistics.median(shares):.2%} ({min(shares):.2%} to {max(shares):.2%})"
        rows.append([size.name, share])
    text = "8 prompts of 24 tokens, 16 samples of 64 tokens each: the checks of rewards, columns, scores, losses, "
    text += "gradients and weights, the norm of the gradient included.\n\n"
    common.keep(
        "checks", "Looking for NaN", text + common.table(["parameters", "share of an iteration"], rows), figures
    )


if __name__ == "__main__":
    main()
