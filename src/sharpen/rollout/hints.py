"""Parts of worked solutions for problems that are too hard: hints, prefixes, demonstrations kept for later."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch

from sharpen.bounds import require
from sharpen.core import Part
from sharpen.credit.value import spread_atoms
from sharpen.rollout.combinators import all_failed
from sharpen.rollout.edit import demonstration, worked
from sharpen.rollout.program import Play
from sharpen.rollout.sample import Sample
from sharpen.types import Group, Problem, Segment, Trace, opening

if TYPE_CHECKING:
    from sharpen.ctx import Ctx


@dataclass(frozen=True)
class Hint(Part):
    """Empty each group and begin the answer to its problem with the first `share` of the worked solution's characters.

    The next rollouts go on from there. The hint is context: it is judged as part of the answer and never trained. The
    problem keeps its key and becomes its own parent; a longer hint takes the place of a shorter one. GHPO's released
    trainer (2507.10628) shows the hint inside the question, with a sentence that tells the model to refer to it; here
    the model goes on with it, which asks for no instruction to be understood. A hint is rounded down, where the release
    rounds to the nearest, so that some of the solution is always left.
    """

    share: float
    needs: ClassVar[tuple[str, ...]] = ("solution",)
    writes: ClassVar[tuple[str, ...]] = ("traces",)

    def __post_init__(self) -> None:
        require(self, "share", 0 <= self.share < 1, "from 0 to below 1")

    def __call__(self, groups: list[Group], ctx: Ctx) -> list[Group]:
        """The same groups, without traces; how many there were is logged."""
        ctx.log(f"hints/{self.share:g}", len(groups))
        for group in groups:
            group.problem, group.traces = hinted(group.problem, self.share), []
        return groups


def hinted(problem: Problem, share: float) -> Problem:
    """The problem with the first `floor(share x characters)` of its worked solution as the beginning of the answer."""
    asked, _ = opening(problem.prompt)
    messages = ({"role": "user", "content": asked},) if isinstance(asked, str) else tuple(asked)
    text = worked(problem)
    begun = {"role": "assistant", "content": text[: int(share * len(text))]}
    return dataclasses.replace(problem, prompt=(*messages, begun), parent=problem.key)


@dataclass(frozen=True)
class Prefix(Part):
    """`n` more traces for every group: the first L tokens of the worked solution, from which the policy goes on.

    L = floor(l |y*|), l ~ U(low, high), |y*| counts the solution's tokens and the one that ends it (2507.01679, section
    3 and A.2). The prefix is trained; nobody drew it, so a loss that takes ratios needs it annotated. It is cut where
    the model's context would not hold one more token.
    """

    low: float = 0.95
    high: float = 0.95
    n: int = 1
    temperature: float = 1.0
    needs: ClassVar[tuple[str, ...]] = ("solution",)
    writes: ClassVar[tuple[str, ...]] = ("traces",)
    keeps: ClassVar[tuple[str, ...]] = ("logp_old",)  # the prefix has none, which a loss that takes a ratio refuses

    def __post_init__(self) -> None:
        require(self, "high", 0 <= self.high < 1, "from 0 to below 1")
        require(self, "low", 0 <= self.low <= self.high, "from 0 to `high`")

    def __call__(self, groups: list[Group], ctx: Ctx) -> list[Group]:
        """Hybrid traces join their group."""
        program = functools.partial(hybrid, low=self.low, high=self.high)
        return Sample(self.n, self.temperature, program=program)(groups, ctx)


async def hybrid(play: Play, low: float, high: float) -> Trace:
    """One answer that begins as the worked solution does."""
    actor, context = play.actors[play.actor], play.prompt()
    whole = actor.given(worked(play.problem)).atoms
    n = int(play.rng.uniform(low, high) * len(whole))
    if actor.max_context:
        n = max(0, min(n, actor.max_context - 1 - sum(map(len, context))))
    begun = Segment(whole[:n], trainable=True, role="assistant", text=actor.decode(whole[:n].tolist()))
    context = [*context, begun] if n else context
    drawn = await play.sample(context)
    return Trace(play.problem, [*context, drawn], end="length" if drawn.info.get("end") == "length" else "stop")


@dataclass(frozen=True)
class TopEntropy(Part):
    """The column `into`: 1 on atoms that were drawn, and on the `share` of the given ones where the policy is least
    sure; 0 on the others.

    Of the N given trainable atoms of an iteration the floor((1 - share) N) of lowest entropy get 0, the earlier ones
    first among equals (2507.01679, section 3, as in the released code).
    """

    share: float = 0.2
    of: str = "entropy"
    into: str = "learn"

    def __post_init__(self) -> None:
        require(self, "share", 0 <= self.share <= 1, "from 0 to 1")

    @property
    def reads(self) -> tuple[str, ...]:  # type: ignore[override]
        """The entropies, which given atoms must have too."""
        return ("traces", self.of)

    @property
    def writes(self) -> tuple[str, ...]:  # type: ignore[override]
        """The 0/1 column."""
        return (self.into,)

    def __call__(self, groups: list[Group], ctx: Ctx) -> list[Group]:
        """Write it."""
        segments = [s for g in groups for t in g.traces for s in t.actions]
        given = [s for s in segments if s.logp is None and len(s)]
        for s in segments:
            s.put(self.into, 1.0)
        if not given:
            return groups
        order = torch.cat([s.cols[self.of] for s in given]).argsort(stable=True)
        learn = torch.ones(len(order))
        learn[order[: int((1 - self.share) * len(order))]] = 0.0
        spread_atoms(given, self.into, learn)
        ctx.log("prefix/learnt", float(learn.mean()), len(learn))
        return groups


@dataclass(frozen=True)
class Remember(Part):
    """Put the demonstration of each problem whose group satisfies `where` at the end of a store (see `Take`)."""

    store: str = "hard"
    where: Callable[[Group], bool] = all_failed
    actor: str = "policy"
    reads: ClassVar[tuple[str, ...]] = ("traces",)
    needs: ClassVar[tuple[str, ...]] = ("solution",)

    @property
    def writes(self) -> tuple[str, ...]:  # type: ignore[override]
        """The store."""
        return (f"store:{self.store}",)

    def __call__(self, groups: list[Group], ctx: Ctx) -> list[Group]:
        """The groups as they are; the store's length is logged."""
        store = ctx.stores[self.store]
        store += [demonstration(g.problem, ctx.actors[self.actor]) for g in groups if self.where(g)]
        ctx.log(f"store/{self.store}", len(store))
        return groups
