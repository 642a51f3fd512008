"""What searches share: a tree of steps drawn from a policy, judged by a value model, paid for in generated tokens."""

from __future__ import annotations

import asyncio
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from sharpen.bounds import require
from sharpen.core import Part
from sharpen.errors import SharpenError
from sharpen.rollout.program import Play
from sharpen.types import End, Segment, Trace

Squash = Literal["sigmoid", "tanh", "none"]


@dataclass(eq=False)
class Node:
    """A prefix of an answer. `value` is what was thought of it when it was made, `q` what the search knows by now.

    `said` are the segments the policy drew on the way here. A node is `done` when its answer is complete (`closed` by
    the model itself, or cut at a limit).
    """

    said: tuple[Segment, ...] = ()
    parent: Node | None = None
    closed: bool = False
    end: End = "cut"
    value: float = 0.0
    prior: float = 0.0
    visits: int = 0
    pending: int = 0
    q: float = 0.0
    children: list[Node] = field(default_factory=list)

    @property
    def done(self) -> bool:
        """Whether nothing can follow."""
        return self.end != "cut"

    @property
    def logp(self) -> float:
        """Log-probability of everything said on the way here, under the distribution it was drawn from."""
        return sum(float(s.logp.sum()) for s in self.said if s.logp is not None)

    def path(self) -> list[Node]:
        """From the root to here."""
        out: list[Node] = [self]
        while out[-1].parent is not None:
            out.append(out[-1].parent)
        return out[::-1]


@dataclass(frozen=True)
class Search(Part, ABC):
    """A program that spends up to `budget` generated tokens on a problem and gives its traces, the answer last.

    A step ends with `separator`; an answer has at most `depth` of them. `value` names the actor that judges prefixes
    by its score at their last atom, through `squash`. With `oracle` a complete answer is worth what the task says of
    it instead (1, or 0; -1 under tanh): only for training, where answers are known. Drawing stops once `budget` tokens
    are spent (0: the search's own counts are the only limit), so a search overshoots by at most its last round.
    """

    value: str = "value"
    separator: str = "\n"
    depth: int = 32
    budget: int = 0
    squash: Squash = "sigmoid"
    oracle: bool = False

    def __post_init__(self) -> None:
        require(self, "depth", self.depth >= 1, "1 or more")
        require(self, "budget", self.budget >= 0, "0 (no limit) or more")
        require(self, "separator", self.separator != "", "at least one character")

    @property
    def judges(self) -> bool:
        """Whether it asks a value model."""
        return True

    @property
    def asks(self) -> tuple[str, ...]:
        """The value model, if it needs one."""
        return (self.value,) if self.judges else ()

    @abstractmethod
    async def __call__(self, play: Play) -> list[Trace]:
        """Search for an answer to the play's problem."""


class Tree:
    """The prefixes of one problem, and what they have cost. Raises SharpenError for a task of latents."""

    def __init__(self, search: Search, play: Play) -> None:
        if "latent" in play.task.gives:
            raise SharpenError(
                f"{type(search).__name__} searches among texts, and task {play.task.name!r} is answered by latents, "
                "which a flow policy draws in one chain. Measure or sample without a search."
            )
        self.search = search
        self.play = play
        self.prompt = play.prompt()
        self.root = Node()
        self.spent = 0

    @property
    def broke(self) -> bool:
        """Whether the budget is spent."""
        return 0 < self.search.budget <= self.spent

    async def grow(self, node: Node, n: int, whole: bool = False) -> list[Node]:
        """`n` draws of what follows a prefix, a step each (to the end if `whole`); equal texts become one child."""
        context = [*self.prompt, *node.said]
        stop = () if whole else (self.search.separator,)
        drawn = await asyncio.gather(*(self.play.sample(context, stop=stop) for _ in range(n)))
        made: dict[tuple[int, ...], Node] = {}
        for s in drawn:
            self.spent += len(s)
            key = tuple(s.atoms.tolist())
            if key not in made:
                made[key] = self._child(node, s)
        return list(made.values())

    def _child(self, node: Node, s: Segment) -> Node:
        said = (*node.said, s)
        closed = bool(s.info.get("closed"))
        cut = s.info.get("end") == "length" or len(said) >= self.search.depth or self._full(said)
        return Node(said, node, closed, "stop" if closed else "length" if cut else "cut")

    def _full(self, said: Sequence[Segment]) -> bool:
        actor = self.play.actors[self.play.actor]
        most = self.play.sampling.max_tokens or actor.longest
        n = sum(map(len, said))
        return n >= most or 0 < actor.max_context <= n + sum(map(len, self.prompt)) + 1

    async def judge(self, nodes: Sequence[Node]) -> None:
        """Set the value of prefixes: the model's, or the task's for complete answers where there is an oracle."""
        asked = [n for n in nodes if not (self.search.oracle and n.done)]
        said = await asyncio.gather(*(self.play.judge([*self.prompt, *n.said], self.search.value) for n in asked))
        for node, x in zip(asked, said, strict=True):
            node.value = squash(x, self.search.squash)
        for node in nodes:
            if self.search.oracle and node.done:
                node.value = self.verdict(node)
            node.q = node.value
            node.said[-1].info["value"] = node.value  # kept with the rollouts

    def verdict(self, node: Node) -> float:
        """What the task says of a complete answer: 1, or the least value there is."""
        trace = self.trace(node)
        right = node.closed and self.play.task.solved(self.play.task.verify(trace.problem, trace))
        return 1.0 if right else -1.0 if self.search.squash == "tanh" else 0.0

    def trace(self, node: Node) -> Trace:
        """The path to a node; its segments are shared with the other paths through them."""
        info = {"value": node.value, "visits": node.visits, "spent": self.spent}
        return Trace(self.play.problem, [*self.prompt, *node.said], end=node.end, info=info)


def squash(x: float, how: Squash) -> float:
    """A score as a value."""
    if how == "sigmoid":
        return 1 / (1 + math.exp(-x)) if x > -700 else 0.0
    return math.tanh(x) if how == "tanh" else x


def chosen_last(traces: list[Trace], chosen: Trace) -> list[Trace]:
    """The traces in order, the chosen one at the end."""
    return [*(t for t in traces if t is not chosen), chosen]


def vote(traces: Sequence[Trace], weights: Sequence[float], play: Play) -> Trace:
    """The heaviest trace of the answer with the largest sum of weights; without any answer the heaviest trace."""
    total: dict[str, float] = {}
    answers = [play.task.answer_of(t.text) for t in traces]
    for a, w in zip(answers, weights, strict=True):
        if a is not None:
            total[a] = total.get(a, 0.0) + w
    winner = max(total, key=lambda a: total[a]) if total else None
    mine = [i for i, a in enumerate(answers) if a == winner] if total else range(len(traces))
    return traces[max(mine, key=lambda i: weights[i])]
