"""Beam search over steps."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Literal

from sharpen.bounds import require
from sharpen.rollout.program import Play
from sharpen.search.base import Node, Search, Tree, chosen_last
from sharpen.types import Trace


@dataclass(frozen=True)
class Beam(Search):
    """Keep the `width` best prefixes, `expand` each by a step, keep the best again, until the best are complete.

    `by="value"` is step-level beam search (AlphaMath, 2405.03553, section 3.4: SBS(B1, B2) is width B1, expand B2);
    `by="logp"` ranks by the log-probability of what was said, without any model. Complete answers stay in the beam
    and are not drawn again.
    """

    width: int = 3
    expand: int = 4
    by: Literal["value", "logp"] = "value"

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "width", self.width >= 1, "1 or more")
        require(self, "expand", self.expand >= 1, "1 or more")

    @property
    def judges(self) -> bool:
        """Unless it goes by log-probability."""
        return self.by == "value"

    async def __call__(self, play: Play) -> list[Trace]:
        """The beam at the end, the best last."""
        tree = Tree(self, play)
        # the first step is drawn once for each place in the beam
        beam = await self._next(tree, [tree.root], self.expand * self.width)
        while not tree.broke and not all(n.done for n in beam):
            beam = await self._next(tree, beam, self.expand)
        unfinished = [n for n in beam if not n.done]
        if unfinished and not any(n.done for n in beam):
            # the budget ran out before any answer was complete: the best prefix is carried to its end
            best = max(unfinished, key=self._rank)
            ends = await tree.grow(best, 1, whole=True)
            if self.judges:
                await tree.judge(ends)
            beam = ends
        traces = {id(n): tree.trace(n) for n in beam}
        best = max((n for n in beam if n.done), key=self._rank)
        return chosen_last(list(traces.values()), traces[id(best)])

    async def _next(self, tree: Tree, beam: list[Node], n: int) -> list[Node]:
        alive = [node for node in beam if not node.done]
        grown = await asyncio.gather(*(tree.grow(node, n) for node in alive))
        fresh = [child for children in grown for child in children]
        if self.judges:
            await tree.judge(fresh)
        return sorted([*(node for node in beam if node.done), *fresh], key=self._rank, reverse=True)[: self.width]

    def _rank(self, node: Node) -> float:
        return node.value if self.by == "value" else node.logp
