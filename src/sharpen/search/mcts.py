"""Monte-Carlo tree search over steps."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import Literal

from sharpen.bounds import require
from sharpen.rollout.program import Play
from sharpen.search.base import Node, Search, Tree, chosen_last, vote
from sharpen.types import Trace


@dataclass(frozen=True)
class MCTS(Search):
    """`sims` times: select a leaf, draw `expand` next steps (equal ones are one), judge them, back values up.

    `select="uct"`: the child with the largest q + c sqrt(2 ln N / n), where a child that was never visited has its
    value and `unvisited` instead (ReST-MCTS*, 2406.03816, algorithm 2, and its released code). `puct`: q + c p
    sqrt(N) / (1 + n) with p the mean probability of the step's tokens and q the value of a child never visited
    (AlphaMath, 2405.03553, eq. 5). A complete answer is never selected again.

    `backup="child_mean"`: the best of the new children counts as visited, and the q of an inner node is the
    visit-weighted mean of its children's (ReST-MCTS*). `mean`: q is the mean of what was backed up through a node,
    which is the value of each node when it is expanded and that of each complete answer when it is found (AlphaMath,
    section 3.2).

    `ahead` > 0 carries the best new child on for so many steps, one draw each; its q is half its own value, half the
    largest met on that walk (ReST-MCTS*, released code).

    `leaves` are selected at once, each taken for visited until its value is there, so that one batch serves several.
    Where every way is complete and the budget is not spent, more is drawn below the best prefixes. The search stops
    early when a complete answer is worth at least `enough`. `pick`: the complete answer of the largest
    value, that of the most visited path, or a vote weighted by value.
    """

    sims: int = 16
    expand: int = 4
    c: float = 0.7
    select: Literal["uct", "puct"] = "uct"
    backup: Literal["child_mean", "mean"] = "child_mean"
    ahead: int = 0
    unvisited: float = 1.0
    leaves: int = 1
    enough: float = math.inf
    pick: Literal["value", "visits", "weighted"] = "weighted"

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "sims", self.sims >= 1, "1 or more")
        require(self, "expand", self.expand >= 1, "1 or more")
        require(self, "c", self.c >= 0, "0 or more")
        require(self, "unvisited", self.unvisited >= 0, "0 or more (inf: before all others)")
        require(self, "ahead", self.ahead >= 0, "0 or more")
        require(self, "leaves", self.leaves >= 1, "1 or more")

    async def __call__(self, play: Play) -> list[Trace]:
        """Every leaf of the tree as a trace (those not carried to an end are cut), the answer last."""
        tree = Tree(self, play)
        done: list[Node] = []
        sims = 0
        while sims < self.sims and not tree.broke and not any(n.value >= self.enough for n in done):
            chosen = self._leaves(tree.root, min(self.leaves, self.sims - sims))
            sims += max(1, len(chosen))
            if chosen:
                grown = await asyncio.gather(*(self._expand(tree, leaf) for leaf in chosen))
                for leaf in chosen:
                    for node in leaf.path():
                        node.pending -= 1
            elif self.budget:
                chosen, grown = await self._widen(tree)
            if not chosen:
                break
            for leaf, children in zip(chosen, grown, strict=True):
                leaf.children += children
                self._back_up(leaf, children)
                done += [n for n in children if n.done]
        if not done:
            done = await self._finish(tree)
        return self._told(tree, done, play)

    # ------------------------------------------------------------------ selection

    def _leaves(self, root: Node, n: int) -> list[Node]:
        found: list[Node] = []
        for _ in range(n):
            leaf = self._descend(root, found)
            if leaf is None:
                break
            found.append(leaf)
            for node in leaf.path():
                node.pending += 1
        return found

    def _descend(self, node: Node, taken: list[Node]) -> Node | None:
        """The leaf that selection leads to; None where every way is complete or being expanded."""
        if not node.children:
            return None if node.done or node in taken else node
        total = node.visits + node.pending
        for child in sorted(node.children, key=lambda n: self._worth(n, total), reverse=True):
            leaf = self._descend(child, taken)
            if leaf is not None:
                return leaf
        return None

    def _worth(self, node: Node, total: int) -> float:
        n = node.visits + node.pending
        if self.select == "puct":
            return node.q + self.c * node.prior * math.sqrt(total) / (1 + n)
        if n == 0:
            return node.q + self.unvisited
        return node.q + self.c * math.sqrt(2 * math.log(max(total, 1)) / n)

    # ------------------------------------------------------------------ expansion and backup

    async def _expand(self, tree: Tree, leaf: Node) -> list[Node]:
        children = await tree.grow(leaf, self.expand)
        await tree.judge(children)
        for child in children:
            last = child.said[-1]
            child.prior = math.exp(float(last.logp.mean())) if last.logp is not None and len(last) else 0.0
        if self.ahead:
            best = max(children, key=lambda n: n.value)
            best.q = (best.value + await self._look_ahead(tree, best)) / 2
        return children

    async def _widen(self, tree: Tree) -> tuple[list[Node], list[list[Node]]]:
        """Every way is complete and tokens are left: draw again below the prefix of the highest q that shows anew."""
        inner, todo = [], [tree.root]
        while todo:
            node = todo.pop()
            todo += node.children
            inner += [node] if node.children else []
        for node in sorted(inner, key=lambda n: -n.q):
            if tree.broke:
                break
            known = {tuple(c.said[-1].atoms.tolist()) for c in node.children}
            fresh = [c for c in await self._expand(tree, node) if tuple(c.said[-1].atoms.tolist()) not in known]
            if fresh:
                return [node], [fresh]
        return [], []

    async def _look_ahead(self, tree: Tree, node: Node) -> float:
        """The largest value met on a walk from a node, its own where it cannot walk."""
        met: list[float] = []
        at = node
        while len(met) < self.ahead and not at.done and not tree.broke:
            [at] = await tree.grow(at, 1)
            await tree.judge([at])
            met.append(at.value)
        return max(met, default=node.value)

    def _back_up(self, leaf: Node, children: list[Node]) -> None:
        path = leaf.path()
        if self.backup == "mean":
            for child in children:
                child.visits = int(child.done)
            known = [leaf.value] if leaf.parent is not None else []
            for value in [*known, *(c.value for c in children if c.done)]:
                for node in path:
                    node.visits += 1
                    node.q += (value - node.q) / node.visits
            return
        max(children, key=lambda n: n.value).visits += 1
        for node in reversed(path):
            node.visits += 1
            weight = sum(c.visits for c in node.children)
            node.q = sum(c.visits * c.q for c in node.children) / weight

    # ------------------------------------------------------------------ the answer

    async def _finish(self, tree: Tree) -> list[Node]:
        """The budget ran out before any answer was complete: the best prefix is carried to its end."""
        node = tree.root
        while node.children:
            node = max(node.children, key=lambda n: (n.q, n.visits))
        ends = await tree.grow(node, 1, whole=True)
        await tree.judge(ends)
        for end in ends:
            end.visits = 1
        node.children = ends
        return ends

    def _told(self, tree: Tree, done: list[Node], play: Play) -> list[Trace]:
        leaves, todo = [], [tree.root]
        while todo:
            node = todo.pop()
            todo += reversed(node.children)
            if node.parent is not None:
                node.said[-1].info |= {"visits": node.visits, "q": node.q}
                if not node.children:
                    leaves.append(node)
        traces = {id(n): tree.trace(n) for n in leaves}
        best = self._best(tree, done, [traces[id(n)] for n in done], play)
        return chosen_last(list(traces.values()), best)

    def _best(self, tree: Tree, done: list[Node], traces: list[Trace], play: Play) -> Trace:
        if self.pick == "weighted":
            low = min(0.0, *(n.value for n in done))
            return vote(traces, [n.value - low for n in done], play)
        if self.pick == "visits":
            node = tree.root
            while node.children:
                node = max(node.children, key=lambda n: (n.visits, n.q))
            if node.done:
                return traces[done.index(node)]
        return traces[max(range(len(done)), key=lambda i: done[i].value)]
