"""A source that chooses what kind of problem to train on by how much is learnt from it."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sharpen.bounds import require
from sharpen.core import Part, Wiring, reads
from sharpen.errors import SharpenError
from sharpen.types import Group, Problem

if TYPE_CHECKING:
    from sharpen.ctx import Ctx
    from sharpen.task.base import Task

TRIES = 10_000
"""Draws from the task after which a kind of problem counts as gone."""


@reads("adv")
def mean_credit(group: Group) -> float:
    """How much a group teaches: the mean of |A| over its answers, of each over its tokens (SEC, 2505.14970).

    Of a group with the solve rate p and two verdicts this is about 2 sqrt(p (1 - p)) where credit is divided by the
    group's standard deviation (GRPO): highest at one half, but flat, 0.6 still at 0.1. Without the division (Dr. GRPO)
    it is 2 p (1 - p). A group that was refused before credit was given counts 0: such groups are refused because all
    their answers are alike.
    """
    each = [[float(s.cols["adv"].abs().sum()) for s in t.actions if "adv" in s.cols] for t in group.traces]
    return sum(sum(a) / max(1, t.length) for a, t in zip(each, group.traces, strict=True)) / max(1, len(each))


@dataclass(frozen=True)
class Bandit(Part):
    """Problems of one split, their kind drawn by softmax(Q / tau): Q is how much was learnt from the kind lately.

    Kinds (arms) are the values of `by` in the info of the first `size` fixed problems of the split; a problem of a
    kind is one that the task draws, drawn again until it is of the kind. After each iteration
    Q_c <- (1 - rate) Q_c + rate x mean of `signal` over the groups of c, weighed by their answers (SEC, 2505.14970,
    a bandit whose arms change); Q begins at 0. A kind without groups in an iteration keeps its Q, or moves towards 0
    with `absent="decay"`, as in copies of the released code. Every share is logged as `arm/KIND`.
    """

    by: str = "category"
    rate: float = 0.5
    tau: float = 1.0
    absent: Literal["keep", "decay"] = "decay"
    signal: Callable[[Group], float] = mean_credit
    size: int = 512
    split: str = "train"

    def __post_init__(self) -> None:
        require(self, "rate", 0 < self.rate <= 1, "above 0 and at most 1")
        require(self, "tau", 0 < self.tau < math.inf, "a number above 0")
        require(self, "size", self.size >= 1, "1 or more")

    @property
    def observes(self) -> tuple[str, ...]:  # type: ignore[override]
        """What the signal looks at."""
        return getattr(self.signal, "reads", ())

    def wire(self, wiring: Wiring) -> None:
        """Nothing is read before it draws; what it observes is checked once everything has been written."""

    def init(self) -> dict[str, Any]:
        """Q of each arm, and what was seen of each since it was last moved, in which iteration."""
        return {"value": {}, "seen": {}, "step": 0}

    def draw(self, n: int, ctx: Ctx) -> list[Problem]:
        """`n` problems, the kind of each drawn on its own."""
        memory = ctx.state(self)
        value = memory["value"]
        if not value:
            value.update(dict.fromkeys(self.arms(ctx.task), 0.0))
        if ctx.step > memory["step"]:
            self._move(memory)
            memory["step"] = ctx.step
        top = max(value.values())
        weights = [math.exp((q - top) / self.tau) for q in value.values()]
        for arm, weight in zip(value, weights, strict=True):
            ctx.log(f"arm/{arm}", weight / sum(weights))
        return [self._problem(arm, ctx) for arm in ctx.rng.choices(list(value), weights, k=n)]

    def observe(self, groups: list[Group], ctx: Ctx) -> None:
        """Remember what each kind taught; problems that are of no kind known do not count."""
        memory = ctx.state(self)
        for group in groups:
            kind = group.problem.info.get(self.by)
            if kind in memory["value"] and group.traces:
                total, weight = memory["seen"].get(kind, (0.0, 0))
                n = len(group.traces)
                memory["seen"][kind] = (total + n * self.signal(group), weight + n)

    def _move(self, memory: dict[str, Any]) -> None:
        """Move every Q by what was seen."""
        for arm, q in memory["value"].items():
            if arm in memory["seen"] or self.absent == "decay":
                total, weight = memory["seen"].get(arm, (0.0, 1))
                memory["value"][arm] = (1 - self.rate) * q + self.rate * total / weight
        memory["seen"].clear()

    def arms(self, task: Task) -> list[Hashable]:
        """The kinds of problems the split has, in the order they appear in."""
        problems = task.fixed(self.split, self.size)
        lacking = next((p for p in problems if self.by not in p.info), None)
        if lacking is not None or not problems:
            known = ", ".join(lacking.info) if lacking is not None else ""
            raise SharpenError(
                f"The recipe chooses among kinds of problems by {self.by!r}, and a problem of task {task.name!r} has "
                f"no such fact; it has {known or 'none'}. Name one of those (`--set Bandit.by=...`), or choose a task "
                "whose problems have a `category`."
            )
        return list(dict.fromkeys(p.info[self.by] for p in problems))

    def _problem(self, arm: Hashable, ctx: Ctx) -> Problem:
        for _ in range(TRIES):
            problem = ctx.task.draw(self.split, ctx.rng)
            if problem.info.get(self.by) == arm:
                return problem
        raise SharpenError(
            f"None of {TRIES} problems drawn from task {ctx.task.name!r} has {self.by}={arm!r}, though it has such "
            "problems. Raise the share of that kind in the task, or group problems more coarsely "
            "(`--set Bandit.by=...`)."
        )
