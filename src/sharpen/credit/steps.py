"""Credit of steps: what a process reward model says of each, made into rewards, baselines, progress and returns.

Rewards of steps stay one number a step, on every atom of it, until `Return` makes credit of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

from sharpen.bounds import require
from sharpen.core import Part
from sharpen.maths import discounted_returns_by, is_first, loo_per_length, mean_by, softmax_by, sum_by
from sharpen.types import Group
from sharpen.units import Table

if TYPE_CHECKING:
    from sharpen.ctx import Ctx


@dataclass(frozen=True)
class StepReward(Part):
    """The reward of each step of an answer, from the score that a process reward model gave it.

    r_i = 2 sigmoid(score_i) - 1, in [-1, 1]: how much likelier a good step is than a bad one. `sum`: r_i itself, so
    that an answer earns the sum over its steps, and more steps earn more. `min`: w_i r_i with
    w_i = exp(-r_i / T) / sum_j exp(-r_j / T) over all steps of the answer, T the `temperature`: an answer earns about
    its worst step, and that step is charged with it (PURE, 2504.15275, and its released code). The limit of high T is
    the mean.
    """

    of: str = "prm"
    form: Literal["min", "sum"] = "min"
    temperature: float = 0.1
    into: str = "process"

    def __post_init__(self) -> None:
        require(self, "temperature", self.temperature > 0, "above 0 (the lower, the nearer to the minimum)")

    @property
    def reads(self) -> tuple[str, ...]:  # type: ignore[override]
        """Scores of steps."""
        return ("traces", "steps", self.of)

    @property
    def writes(self) -> tuple[str, ...]:  # type: ignore[override]
        """Rewards of steps."""
        return (self.into,)

    def __call__(self, groups: list[Group], ctx: Ctx) -> list[Group]:
        """Write the rewards; the mean over answers of their sum is logged, and how many steps these have."""
        table = Table(groups, "segment")
        if not len(table):
            return groups
        ids = table.ids("trace")
        r = 2 * table.get(self.of).sigmoid() - 1
        if self.form == "min":
            r = r * softmax_by(-r / self.temperature, ids)
        table.spread(self.into, r)
        earned = sum_by(r, ids)
        ctx.log(f"{self.into}/reward", float(earned.mean()), len(earned))
        ctx.log("steps", len(table) / len(earned), len(earned))
        return groups


@dataclass(frozen=True)
class StepLOO(Part):
    """Rewards of steps above what the other answers to the problem earn on as many tokens.

    r_ki - n_i (sum over other answers of R) / (sum over other answers of L) for step i of answer k, of n_i tokens, R
    the reward and L the tokens of a whole answer (PURE, 2504.15275, and its released code: the baseline by tokens). So
    a step earns nothing by being there. An answer alone in its group gets 0.
    """

    of: str = "process"
    into: str = "surplus"

    @property
    def reads(self) -> tuple[str, ...]:  # type: ignore[override]
        """Rewards of steps."""
        return ("traces", "steps", self.of)

    @property
    def writes(self) -> tuple[str, ...]:  # type: ignore[override]
        """The same above the baseline."""
        return (self.into,)

    def __call__(self, groups: list[Group], ctx: Ctx) -> list[Group]:
        """Write the differences."""
        table = Table(groups, "segment")
        length = torch.tensor([sum(map(len, e.segments)) for e in table.entries])
        trace, group = table.ids("trace"), table.ids("group")
        table.spread(self.into, loo_per_length(table.get(self.of), length, trace, group))
        return groups


@dataclass(frozen=True)
class Progress(Part):
    """How much likelier the prover is to succeed after a step than before it: A = Q(after) - Q(before), in [-1, 1].

    Q = sigmoid of the score that a verifier trained on the prover's roll-outs gave to the prefix that ends with the
    step. The prover is the best of `best_of` attempts of the policy that rolled out, in closed form
    Q_K = 1 - (1 - Q)^K (PAV, 2410.08146, eq. 2 and appendix D; 1 is that policy itself). Before the first step stands
    the mean over the group's first steps: what is common to all answers is a baseline, and changes no expected
    gradient.
    """

    of: str = "q"
    best_of: int = 4
    into: str = "progress"

    def __post_init__(self) -> None:
        require(self, "best_of", self.best_of >= 1, "1 (the prover itself) or more")

    @property
    def reads(self) -> tuple[str, ...]:  # type: ignore[override]
        """Scores of steps."""
        return ("traces", "steps", self.of)

    @property
    def writes(self) -> tuple[str, ...]:  # type: ignore[override]
        """Progress of steps."""
        return (self.into,)

    def __call__(self, groups: list[Group], ctx: Ctx) -> list[Group]:
        """Write it; its mean size is logged."""
        table = Table(groups, "segment")
        if not len(table):
            return groups
        trace, group = table.ids("trace"), table.ids("group")
        q = 1 - (1 - table.get(self.of).sigmoid()) ** self.best_of
        first = is_first(trace)
        start = mean_by(q[first], group[first])[group]
        progress = q - torch.where(first, start, q.roll(1))  # steps of an answer follow each other in a table
        table.spread(self.into, progress)
        ctx.log(f"{self.into}/size", float(progress.abs().mean()), len(progress))
        return groups


@dataclass(frozen=True)
class Return(Part):
    """Credit of a step, on each of its atoms: `weight` x (its own number + gamma x the next step's + gamma^2 ...).

    `gamma` 1 is the sum to the end of the answer, 0 the step's own number alone. `mode="add"` adds it to the credit
    that is there (an outcome's). With `ends` False the last atom of every step, that which ends it, gets no credit at
    all, whatever it had (PURE's released code): a step of one atom, a bare separator, is then neither learnt nor
    unlearnt.
    """

    of: str = "surplus"
    gamma: float = 1.0
    weight: float = 1.0
    into: str = "adv"
    mode: Literal["set", "add"] = "set"
    ends: bool = True

    def __post_init__(self) -> None:
        require(self, "gamma", 0 <= self.gamma <= 1, "from 0 to 1")
        require(self, "weight", math.isfinite(self.weight), "a finite number")

    @property
    def reads(self) -> tuple[str, ...]:  # type: ignore[override]
        """Numbers of steps, and the credit that is added to."""
        return ("traces", "steps", self.of) if self.mode == "set" else ("traces", "steps", self.of, self.into)

    @property
    def writes(self) -> tuple[str, ...]:  # type: ignore[override]
        """The credit column."""
        return (self.into,)

    def __call__(self, groups: list[Group], ctx: Ctx) -> list[Group]:
        """Write the credit."""
        table = Table(groups, "segment")
        credit = discounted_returns_by(table.get(self.of), table.ids("trace"), self.gamma)
        table.spread(self.into, self.weight * credit, self.mode)
        if not self.ends:
            for s in (s for e in table.entries for s in e.segments):
                s.cols[self.into][-1:] = 0.0
        return groups
