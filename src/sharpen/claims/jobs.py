"""Jobs of a claim: one arm at one seed, and the base that all start from, each in a process of its own."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from sharpen import processes
from sharpen.claims.base import Claim
from sharpen.claims.stage import Stage
from sharpen.claims.store import Result, environment, fingerprint
from sharpen.errors import SharpenError
from sharpen.processes import Failed, can_be_handed, told

DIGITS = 4
"""Significant digits of the numbers of a curve."""


def work(claim: Claim, arm: str, seed: int) -> Result:
    """One job, in this process: what the arm measured, or what it failed with."""
    began = time.process_time()
    stage = Stage(claim, seed)
    numbers: Mapping[str, float] = {}
    error = ""
    try:
        numbers = measured(stage.play(claim.arm(arm)), claim, arm)
    except Exception as failure:  # whatever it was, the other jobs go on
        error = told(failure)
    return Result(
        arm,
        seed,
        fingerprint(claim, claim.arm(arm)),
        numbers,
        spent=round(stage.spent, 3),
        cost=stage.cost.as_dict(),
        seconds=round(time.process_time() - began, 2),
        curve=columns(stage.curve),
        made=environment(),
        error=error,
    )


def measured(numbers: Mapping[str, float], claim: Claim, arm: str) -> dict[str, float]:
    """The numbers of an arm as floats. SharpenError for one that is not finite, or lacks what the claim compares."""
    out = {name: float(x) for name, x in numbers.items()}
    odd = [name for name, x in out.items() if not math.isfinite(x)]
    if odd:
        raise SharpenError(f"Arm {arm!r} measured {odd[0]} = {out[odd[0]]}; give a finite number for every metric.")
    for c in claim.compared:
        if arm in (c.better, c.worse) and c.metric not in out:
            raise SharpenError(
                f"The claim compares {c.metric!r}, and arm {arm!r} measured {', '.join(out) or 'nothing'}. Measure it, "
                "or compare another metric."
            )
    return out


def columns(curve: Sequence[Mapping[str, float]]) -> dict[str, list[float | None]]:
    """One list a metric, of one entry an iteration."""
    names = dict.fromkeys(name for record in curve for name in record)
    return {name: [_rounded(record.get(name)) for record in curve] for name in names}


def _rounded(x: float | None) -> float | None:
    if x is None or not math.isfinite(x):
        return None
    return int(x) if isinstance(x, int) else float(f"{x:.{DIGITS}g}")


# ------------------------------------------------------------------ processes


class Pool:
    """Processes that do jobs of a claim, `size` at a time. `close` ends those that are left."""

    def __init__(self, claim: Claim, size: int) -> None:
        self.claim = claim
        self.pool: processes.Pool[tuple[str, int]] = processes.Pool(size)
        can_be_handed(claim, f"Claim {claim.name!r}")

    def teach(self, watch: Callable[[int, float], None] | None = None) -> None:
        """Make the base where the cache lacks it; `watch(step, loss)` sees it learn."""
        made = self.pool.alone(partial(_teach, self.claim), (lambda said: watch(*said)) if watch else None)
        if isinstance(made, Failed):
            killed = made.text.startswith("its process")
            raise SharpenError(f"The base could not be made: {made.text}." if killed else made.text)

    def results(self, todo: Sequence[tuple[str, int]]) -> Iterator[Result]:
        """The result of each job, in the order in which they end."""
        for (arm, seed), result in self.pool.results(partial(_work, self.claim), todo):
            if isinstance(result, Failed):
                name = fingerprint(self.claim, self.claim.arm(arm))
                result = Result(arm, seed, name, made=environment(), error=result.text)
            yield result

    def close(self) -> None:
        """End what is running."""
        self.pool.close()


def _work(claim: Claim, job: tuple[str, int]) -> Result:
    return work(claim, *job)


def _teach(claim: Claim, say: Callable[[Any], None]) -> None:
    claim.base.actor(claim.open_task(), lambda step, loss: say((step, loss)))
