"""Policy-gradient losses: one entry per atom, to be minimised."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from sharpen.bounds import require
from sharpen.core import Part
from sharpen.errors import SharpenError
from sharpen.maths import kl_estimate, log_ratio, mean_by, sum_by
from sharpen.types import Batch, Scored, Unit


def known(batch: Batch, new: Scored, unit: Unit = "atom", how: Literal["atom", "sum", "mean"] = "atom") -> Tensor:
    """log pi_new / pi_old on every atom, at the unit asked for. Atoms whose behaviour is unknown are refused."""
    old = batch.cols["logp_old"]
    if bool(old.isnan().any()):
        raise SharpenError(
            "A probability ratio was asked of atoms whose behaviour log-prob is unknown (text that was given, or moved "
            "into another context). Restrict the term with `where`, use a loss that treats such atoms, or re-score "
            "them explicitly with Annotate('policy', into='logp_old')."
        )
    return log_ratio(new.logp, old, batch.ids(unit), how=how)


def ratio(new: Scored, batch: Batch, unit: Unit = "atom", how: Literal["atom", "sum", "mean"] = "atom") -> Tensor:
    """pi_new / pi_old on every atom, at the unit asked for. Atoms whose behaviour is unknown are refused."""
    return known(batch, new, unit, how).exp()


@dataclass(frozen=True)
class PPOClip(Part):
    """-min(r A, clip(r, 1 - low, 1 + high) A), with r = pi_new / pi_old (1707.06347, eq. 7).

    No gradient reaches an atom with A > 0 and r > 1 + high, or A < 0 and r < 1 - low. `unit="trace", how="mean"` makes
    the ratio that of the whole trace, length-normalised (GSPO, 2507.18071, eq. 7). `high` > `low` is clip-higher (DAPO,
    2503.14476).
    """

    low: float = 0.2
    high: float = 0.2
    ratio_unit: Literal["atom", "segment", "trace"] = "atom"
    ratio_how: Literal["atom", "sum", "mean"] = "atom"
    adv: str = "adv"
    unit: ClassVar[Literal["atom"]] = "atom"
    wants: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        require(self, "low", self.low >= 0, "0 or more")
        require(self, "high", self.high >= 0, "0 or more")

    @property
    def reads(self) -> tuple[str, ...]:  # type: ignore[override]
        """Credit and behaviour log-probs."""
        return (self.adv, "logp_old")

    @property
    def silent_where(self) -> str:
        """Atoms without credit get no gradient."""
        return self.adv

    def __call__(self, new: Scored, batch: Batch) -> Tensor:
        """`float[N]`."""
        r, a = ratio(new, batch, self.ratio_unit, self.ratio_how), batch.cols[self.adv]
        return -torch.minimum(r * a, r.clamp(1 - self.low, 1 + self.high) * a)

    def watch(self, new: Scored, batch: Batch) -> dict[str, Tensor]:
        """The ratio, and where the clip took the gradient away."""
        r, a = ratio(new, batch, self.ratio_unit, self.ratio_how), batch.cols[self.adv]
        lost = ((r > 1 + self.high) & (a > 0)) | ((r < 1 - self.low) & (a < 0))
        return {"ratio": r, "clipped": lost.float()}


@dataclass(frozen=True)
class Reinforce(Part):
    """-sg(w) A log pi: the score-function gradient, each atom weighed by a clipped importance ratio that no gradient
    enters.

    w = clip(r, *positive) where A > 0, clip(r, *negative) where A <= 0, and 1 without bounds (plain REINFORCE). A
    clipped atom keeps its gradient, unlike PPO's. Equal bounds [1 - low, 1 + high] at the atom are CISPO (2506.13585,
    eq. 4, 5); (1, 1) and (0, 1) with the ratio of the whole trace are TOPR (2503.14286, eq. 7).
    """

    positive: tuple[float, float] | None = None
    negative: tuple[float, float] | None = None
    ratio_unit: Literal["atom", "segment", "trace"] = "atom"
    ratio_how: Literal["atom", "sum", "mean"] = "atom"
    adv: str = "adv"
    unit: ClassVar[Literal["atom"]] = "atom"
    wants: ClassVar[tuple[str, ...]] = ()

    @property
    def reads(self) -> tuple[str, ...]:  # type: ignore[override]
        """Credit, and behaviour log-probs where a ratio is taken."""
        return (self.adv, "logp_old") if self.positive or self.negative else (self.adv,)

    @property
    def silent_where(self) -> str:
        """Atoms without credit get no gradient."""
        return self.adv

    def __call__(self, new: Scored, batch: Batch) -> Tensor:
        """`float[N]`."""
        a = batch.cols[self.adv]
        return -self.weight(new, batch) * a * new.logp

    def weight(self, new: Scored, batch: Batch) -> Tensor:
        """w, `float[N]`, without gradient."""
        a = batch.cols[self.adv]
        w = torch.ones_like(a)
        if not (self.positive or self.negative):
            return w
        r = ratio(new, batch, self.ratio_unit, self.ratio_how).detach()
        for bounds, here in ((self.positive, a > 0), (self.negative, a <= 0)):
            if bounds:
                w = torch.where(here, r.clamp(*bounds), w)
        return w

    def watch(self, new: Scored, batch: Batch) -> dict[str, Tensor]:
        """The weights in use."""
        return {"weight": self.weight(new, batch)}


@dataclass(frozen=True)
class MirrorDescent(Part):
    """(A - tau log(pi(y) / pi_old(y)))^2 / (2 tau) per trace y: its gradient is -(A - tau log(pi/pi_old)) grad log
    pi(y).

    Online policy mirror descent as in Kimi k1.5 (2501.12599, section 2.3.2): the policy is regressed onto the one that
    maximises reward less tau x KL to the policy that drew the data. A is the trace's credit (the mean over its atoms).
    """

    tau: float = 0.1
    adv: str = "adv"
    unit: ClassVar[Literal["trace"]] = "trace"
    wants: ClassVar[tuple[str, ...]] = ()
    silent_where: ClassVar[str | None] = None

    def __post_init__(self) -> None:
        require(self, "tau", 0 < self.tau < math.inf, "a number above 0")

    @property
    def reads(self) -> tuple[str, ...]:  # type: ignore[override]
        """Credit and behaviour log-probs."""
        return (self.adv, "logp_old")

    def __call__(self, new: Scored, batch: Batch) -> Tensor:
        """`float[B]`."""
        n = len(batch.traces)
        gap = sum_by(known(batch, new), batch.trace, n)
        return (mean_by(batch.cols[self.adv], batch.trace, n) - self.tau * gap) ** 2 / (2 * self.tau)


@dataclass(frozen=True)
class KL(Part):
    """An estimate of KL(pi_new || pi_ref) at each atom drawn from pi_new (see `sharpen.maths.kl_estimate`).

    `k3`, exp(d) - d - 1 with d = log pi_ref - log pi_new, is GRPO's (2402.03300, eq. 4): never negative, unbiased as a
    value; as a loss its expected gradient is that of KL(pi_ref || pi_new). `k2` as a loss has that of KL(pi_new ||
    pi_ref).
    """

    estimator: Literal["k2", "k3"] = "k3"
    ref: str = "logp_ref"
    unit: ClassVar[Literal["atom"]] = "atom"
    wants: ClassVar[tuple[str, ...]] = ()
    silent_where: ClassVar[str | None] = None

    @property
    def reads(self) -> tuple[str, ...]:  # type: ignore[override]
        """The reference's log-probs."""
        return (self.ref,)

    def __call__(self, new: Scored, batch: Batch) -> Tensor:
        """`float[N]`."""
        return kl_estimate(new.logp, batch.cols[self.ref], self.estimator)

    def watch(self, new: Scored, batch: Batch) -> dict[str, Tensor]:
        """The estimate itself."""
        return {"kl": self(new, batch)}


@dataclass(frozen=True)
class NLL(Part):
    """-log pi(atom): imitation of the rows, whoever wrote them."""

    unit: ClassVar[Literal["atom"]] = "atom"
    reads: ClassVar[tuple[str, ...]] = ()
    wants: ClassVar[tuple[str, ...]] = ()
    silent_where: ClassVar[str | None] = None

    def __call__(self, new: Scored, batch: Batch) -> Tensor:
        """`float[N]`."""
        return -new.logp


@dataclass(frozen=True)
class Entropy(Part):
    """-H(pi) at each atom, so that a positive weight rewards a policy that stays undecided (1602.01783, section 4).

    H is the entropy of the distribution the atom was drawn from, at its temperature.
    """

    unit: ClassVar[Literal["atom"]] = "atom"
    reads: ClassVar[tuple[str, ...]] = ()
    wants: ClassVar[tuple[str, ...]] = ("entropy",)
    silent_where: ClassVar[str | None] = None

    def __call__(self, new: Scored, batch: Batch) -> Tensor:
        """`float[N]`."""
        return -new.extra["entropy"]
