"""What a run may spend: tokens, optimiser steps, iterations or seconds, counted in one place for everybody."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from sharpen.core import walk
from sharpen.cost import Cost
from sharpen.errors import SharpenError
from sharpen.recipe import Recipe, updates_of

Kind = Literal["generated_tokens", "updates", "iterations", "seconds"]
"""What a budget counts: tokens drawn by any actor, optimiser steps, iterations of the loop, seconds of CPU."""

UNITS: dict[str, Kind] = {
    "-tokens": "generated_tokens",
    "-steps": "updates",
    "-iterations": "iterations",
    "s": "seconds",
}
"""How a budget is written: a number, `k` or `M` for thousands or millions, and one of these."""

TIMES = {"": 1.0, "k": 1e3, "M": 1e6}

IDLE = 100
"""So many iterations in a row that spend nothing of a budget show that it would never be spent."""

_TEXT = re.compile(r"(\d+(?:\.\d+)?)([kM]?)(-tokens|-steps|-iterations|s)")


@dataclass(frozen=True)
class Budget:
    """What may be spent. An iteration that begins within it is finished, so a little more may be spent in the end."""

    kind: Kind
    amount: float

    def __post_init__(self) -> None:
        if not 0 < self.amount < math.inf:
            raise SharpenError(
                f"A budget of {self.amount} {self.kind} buys nothing or has no end; give a number above 0."
            )

    def text(self, amount: float | None = None) -> str:
        """An amount (the whole one) with its unit: `60,000 generated tokens`."""
        x = self.amount if amount is None else amount
        unit = {"seconds": "seconds of CPU", "updates": "optimiser updates"}.get(self.kind, self.kind.replace("_", " "))
        return f"{x:,.0f} {unit}" if x == int(x) or x >= 100 else f"{x:,.1f} {unit}"

    def spent(self, cost: Cost, iterations: int, seconds: float) -> float:
        """How much that is in the budget's unit."""
        if self.kind == "seconds":
            return seconds
        return float(iterations if self.kind == "iterations" else getattr(cost, self.kind))


def budget(text: str) -> Budget:
    """The budget that a text means: `2M-tokens`, `60k-tokens`, `200-steps`, `50-iterations`, `300s`.

    Raises SharpenError for any other text.
    """
    found = _TEXT.fullmatch(text.strip())
    if not found or float(found[1]) == 0:
        raise SharpenError(
            f"{text!r} is no budget. Write a number above 0 and what it counts, like `2M-tokens` (generated tokens), "
            "`200-steps` (optimiser steps), `50-iterations` or `300s` (seconds of CPU)."
        )
    return Budget(UNITS[found[3]], float(f"{float(found[1]) * TIMES[found[2]]:.15g}"))


class Meter:
    """How much of its budget a run has spent: `seconds` of CPU so far, `began` what was spent when its last recipe
    began (schedules are those of the share of what was left then), `idle` how many iterations in a row spent nothing.
    """

    def __init__(self, budget: Budget, recipe: Recipe) -> None:
        self.budget = budget
        self.seconds = 0.0
        self.began = 0.0
        self.idle = 0
        _spends(budget, recipe)

    def spent(self, cost: Cost, iterations: int) -> float:
        """How much is gone, in the budget's unit."""
        return self.budget.spent(cost, iterations, self.seconds)

    def share(self, spent: float) -> float:
        """How much is gone of what was left when the last recipe began, 0 to 1."""
        return min(1.0, (spent - self.began) / max(1e-9, self.budget.amount - self.began))

    def watch(self, before: float, after: float, recipe: str) -> None:
        """Raise SharpenError where nothing has been spent for too long."""
        self.idle = self.idle + 1 if after <= before else 0
        if self.idle >= IDLE:
            raise SharpenError(
                f"The last {IDLE} iterations of {recipe!r} spent nothing of the budget of {self.budget.text()}, so "
                "the run would not end. Give a budget of something that they spend: `50-iterations`, `300s`."
            )

    def state(self) -> dict[str, float]:
        """What must be kept to go on."""
        return {"seconds": self.seconds, "began": self.began}

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `state` gave once."""
        self.seconds, self.began = state["seconds"], state["began"]


def _spends(budget: Budget, recipe: Recipe) -> None:
    """SharpenError for a recipe that spends nothing of the budget, as far as its parts tell."""
    ends: dict[str, tuple[Callable[[], bool], str]] = {
        "generated_tokens": (lambda: any(p.draws for p in walk(recipe)), "generates no tokens"),
        "updates": (lambda: bool(updates_of(recipe)), "makes no optimiser steps"),
    }
    if budget.kind in ends and not ends[budget.kind][0]():
        raise SharpenError(
            f"Recipe {recipe.name!r} {ends[budget.kind][1]}, so a budget of {budget.text()} would never be spent. Give "
            "one of something that it spends: `200-steps`, `50-iterations`, `300s`."
        )
