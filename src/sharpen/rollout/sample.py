"""The plain rollout: n runs of a program for each group."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from sharpen.bounds import require
from sharpen.core import Part
from sharpen.rollout.program import Program, natural
from sharpen.types import Group, Sampling, Trace

if TYPE_CHECKING:
    from sharpen.ctx import Ctx


@dataclass(frozen=True)
class Sample(Part):
    """`n` more traces for every group.

    Without a `program` the task decides: an episode in its environment if it has one, else one answer. `max_tokens` 0
    leaves the limit of one segment to the run. `method` says how a flow policy adds noise: by Flow-GRPO's SDE or by its
    learnt head (`sharpen.actor.flow`); its `max_tokens` are denoising steps, and `temperature` multiplies the noise.
    """

    n: int = 16
    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int = 0
    actor: str = "policy"
    program: Program | None = None
    method: Literal["sample", "sde", "learnt-noise"] = "sample"
    writes: ClassVar[tuple[str, ...]] = ("traces", "logp_old")
    draws: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require(self, "n", self.n >= 1, "1 or more: a group needs a trace")
        require(self, "temperature", 0 <= self.temperature < math.inf, "0 (greedy) or more, and finite")
        require(self, "top_p", 0 < self.top_p <= 1, "above 0 and at most 1")
        require(self, "max_tokens", self.max_tokens >= 0, "0 (the run's limit) or more")

    @property
    def needs(self) -> tuple[str, ...]:  # type: ignore[override]
        """Latents, where the noise of a flow policy is named."""
        return () if self.method == "sample" else ("latent",)

    @property
    def traces(self) -> int:
        """How many traces a group gets: `n` runs of a program, each of as many as it declares."""
        return self.n * int(getattr(self.program, "traces", 1))

    def __call__(self, groups: list[Group], ctx: Ctx) -> list[Group]:
        """Traces join their group in order."""
        runs = ctx.play(
            self.program or natural(ctx.task),
            [g.problem for g in groups for _ in range(self.n)],
            Sampling(self.temperature, self.top_p, max_tokens=self.max_tokens, method=self.method),
            self.actor,
        )
        for i, group in enumerate(groups):
            for traces in runs[i * self.n : (i + 1) * self.n]:
                for trace in traces:
                    _log(ctx, trace)
                group.traces += traces
        return groups


def _log(ctx: Ctx, trace: Trace) -> None:
    ctx.cost.traces += 1
    ctx.log("length", trace.length)
    ctx.log("truncated", float(trace.end == "length"))
    for s in trace.actions:
        if "entropy" in s.cols and len(s):
            ctx.log("entropy", float(s.cols["entropy"].mean()), len(s))
