"""A source that predicts how often each problem will be solved, and takes those it expects to teach most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from sharpen.bounds import require
from sharpen.core import Part
from sharpen.errors import SharpenError
from sharpen.types import Group, Problem

if TYPE_CHECKING:
    from sharpen.ctx import Ctx


@dataclass(frozen=True)
class Posterior(Part):
    """Of `pool` x n problems, the n whose solve rate, drawn from its posterior, lies nearest to `target`.

    The first `size` problems of a split are the data set. Each has a Beta(a, b) belief about its solve rate, at first
    the `prior`. After k answers of which a share r is right, a <- lam a + (1 - lam) a0 + k r, and b likewise with
    k (1 - r): `lam` < 1 forgets what an older policy did. Drawing the rate, rather than taking its mean, keeps looking
    at problems nothing is known of (Thompson sampling). Source: MoPPS, 2507.04632, and its released code; there the
    candidates come from a shuffled pass over the data, here they are drawn anew each time.

    The expected rate of what was drawn is logged as `posterior/expected`, its distance from the rate that came out as
    `posterior/error`.
    """

    size: int = 1024
    pool: int = 8
    target: float = 0.5
    lam: float = 1.0
    prior: tuple[float, float] = (1.0, 1.0)
    split: str = "train"
    observes: ClassVar[tuple[str, ...]] = ("solved",)

    def __post_init__(self) -> None:
        require(self, "size", self.size >= 1, "1 or more")
        require(self, "pool", self.pool >= 1, "1 (take what comes) or more")
        require(self, "target", 0 <= self.target <= 1, "from 0 to 1")
        require(self, "lam", 0 <= self.lam <= 1, "from 0 (forget at once) to 1")
        require(self, "prior", all(x > 0 for x in self.prior), "two numbers above 0")

    def init(self) -> dict[str, dict[str, tuple[float, float]]]:
        """The beliefs, by the problem's key."""
        return {"beliefs": {}}

    def draw(self, n: int, ctx: Ctx) -> list[Problem]:
        """`n` different problems, the nearest to the target first."""
        problems = ctx.task.fixed(self.split, self.size)
        if len(problems) < n:
            raise SharpenError(
                f"An iteration takes {n} different problems, and the split {self.split!r} of task {ctx.task.name!r} "
                f"gives {len(problems)} of the {self.size} asked for. Lower `--set Loop.problems=...` or raise "
                "`--set Posterior.size=...`."
            )
        beliefs = ctx.state(self)["beliefs"]
        chances = []
        for i in ctx.rng.sample(range(len(problems)), min(len(problems), self.pool * n)):
            a, b = beliefs.get(problems[i].key, self.prior)
            chances.append(((ctx.rng.betavariate(a, b) - self.target) ** 2, i, a / (a + b)))
        chosen = sorted(chances)[:n]
        for _, _, expected in chosen:
            ctx.log("posterior/expected", expected)
        return [problems[i] for _, i, _ in chosen]

    def observe(self, groups: list[Group], ctx: Ctx) -> None:
        """Learn from each group how often its problem is solved."""
        beliefs = ctx.state(self)["beliefs"]
        for group in (g for g in groups if g.traces):
            a, b = beliefs.get(group.problem.key, self.prior)
            k, right = len(group.traces), sum(bool(t.solved) for t in group.traces)
            ctx.log("posterior/error", abs(a / (a + b) - right / k))
            kept = [self.lam * x + (1 - self.lam) * x0 for x, x0 in zip((a, b), self.prior, strict=True)]
            beliefs[group.problem.key] = (kept[0] + right, kept[1] + k - right)
