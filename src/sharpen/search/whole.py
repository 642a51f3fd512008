"""Whole answers, one of which is picked."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Literal

from sharpen.bounds import require
from sharpen.rollout.program import Play
from sharpen.search.base import Node, Search, Tree, chosen_last, vote
from sharpen.types import Trace


@dataclass(frozen=True)
class BestOfN(Search):
    """`n` independent answers; the one a model thinks most of, the most frequent, or the most frequent by weight.

    `pick="value"`: best-of-n (2009.01325). `majority`: self-consistency (2203.11171). `weighted`: each answer counts
    with its value (2206.02336). With a budget, answers are drawn `wave` at a time until it is spent or there are `n`
    (0: no limit).
    """

    n: int = 16
    pick: Literal["value", "majority", "weighted"] = "value"
    wave: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "n", self.n >= 1 or (self.n == 0 and self.budget > 0), "1 or more (0 needs a budget)")
        require(self, "wave", self.wave >= 1, "1 or more")

    @property
    def judges(self) -> bool:
        """Unless it counts heads."""
        return self.pick != "majority"

    async def __call__(self, play: Play) -> list[Trace]:
        """Every answer, the picked one last."""
        tree = Tree(self, play)
        while not tree.broke and (not self.n or len(tree.root.children) < self.n):
            left = self.n - len(tree.root.children) if self.n else self.wave
            drawn = await self._draw(tree, min(left, self.wave) if self.budget else left)
            tree.root.children += drawn
        nodes = tree.root.children
        if self.judges:
            await tree.judge(nodes)
        traces = [tree.trace(node) for node in nodes]
        if self.pick == "value":
            return chosen_last(traces, max(traces, key=lambda t: t.info["value"]))
        weights = [n.value if self.pick == "weighted" else 1.0 for n in nodes]
        return chosen_last(traces, vote(traces, weights, play))

    async def _draw(self, tree: Tree, n: int) -> list[Node]:
        """Equal answers stay apart: they are votes."""
        drawn = await asyncio.gather(*(tree.grow(tree.root, 1, whole=True) for _ in range(n)))
        return [node for made in drawn for node in made]
