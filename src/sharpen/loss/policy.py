"""Policy-gradient losses: one entry per atom, to be minimised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from sharpen.bounds import require
from sharpen.core import Part
from sharpen.errors import SharpenError
from sharpen.maths import kl_estimate, log_ratio
from sharpen.types import Batch, Scored, Unit


def ratio(new: Scored, batch: Batch, unit: Unit = "atom", how: Literal["atom", "sum", "mean"] = "atom") -> Tensor:
    """pi_new / pi_old on every atom, at the unit asked for.

    Atoms without a behaviour log-prob, or moved, are refused.
    """
    old = batch.cols["logp_old"]
    if bool(old.isnan().any()):
        raise SharpenError(
            "A probability ratio was asked of atoms whose behaviour log-prob is unknown (text that was given, or "
            "moved into "
            "another context). Restrict the term with `where`, use a loss that treats such atoms, or re-score them "
            "explicitly with Annotate('policy', into='logp_old')."
        )
    return log_ratio(new.logp, old, batch.ids(unit), how=how).exp()


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
