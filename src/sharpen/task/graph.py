"""Find a way through a small graph: `A-B A-C B-D,AD?`."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from sharpen.errors import SharpenError
from sharpen.task.procedural import share
from sharpen.task.text import MARK
from sharpen.task.worked import Worked
from sharpen.types import Problem

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
STEP = re.compile(r"([A-Z])([->])([A-Z])")
PATH = re.compile(r"[A-Z]{2,26}")


@dataclass(frozen=True)
class Graph(Worked):
    """Sizes are numbers of nodes. The answer is a way from one node to another that visits no node twice; any is right.

    Prompt `A-B A-C B-D,AD?` (edges, then from where to where), `>` in place of `-` where edges are `directed`; steps
    are edges in the direction they are walked, `A-B`, `B-D`; answer `#ABD`. There are `density` edges a node, every
    node can be reached, and the goal is at least two edges away. The worked solution is a shortest way.
    """

    low: int = 5
    high: int = 6
    harder_low: int = 7
    harder_high: int = 8
    density: float = 1.0
    directed: bool = False

    name = "graph"
    smallest: ClassVar[int] = 3
    largest: ClassVar[int | None] = 26
    unique_answer: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        share(self.name, "density (edges a node)", self.density, 0.5, self.densest(self.low))
        if not isinstance(self.directed, bool):
            raise SharpenError(f"Task 'graph': directed must be True or False, and it is {self.directed!r}.")
        self.room(5 * self.harder_high + 4)

    def densest(self, size: int) -> float:
        """The most edges a node at which some pair of nodes is without one."""
        return max(0.5, (size - 1 if self.directed else (size - 1) / 2) - 1 / size)

    @property
    def simplest(self) -> int:
        """The least number of nodes that bears the density."""
        return next(n for n in range(self.smallest, self.low + 1) if self.density <= self.densest(n))

    def make(self, size: int, rng: random.Random) -> Problem:
        """A random tree from the start, random edges besides, and a goal at a distance drawn first."""
        sign = ">" if self.directed else "-"
        while True:
            order = rng.sample(LETTERS, size)
            edges = {(rng.choice(order[:i]), order[i]) for i in range(1, size)}
            known = {frozenset(e) for e in edges}
            left = [
                (a, b)
                for a in order
                for b in order
                if a != b and (a, b) not in edges and (self.directed or (a < b and frozenset((a, b)) not in known))
            ]
            edges |= set(rng.sample(left, max(0, min(len(left), round(self.density * size) - len(edges)))))
            texts = tuple(sorted(f"{a}{sign}{b}" if self.directed or a < b else f"{b}{sign}{a}" for a, b in edges))
            ways = shortest(texts, order[0])
            far = sorted({len(w) for w in ways.values() if len(w) > 2})
            if far:
                break
        length = rng.choice(far)
        way = ways[rng.choice([n for n in sorted(ways) if len(ways[n]) == length])]
        start, goal = way[0], way[-1]
        solution = (*(f"{a}{sign}{b}" for a, b in pairwise(way)), f"{MARK}{way}")
        content = f"{' '.join(texts)},{start}{goal}"
        return self.problem(content, size, solution, way, edges=texts, start=start, goal=goal)

    def is_step(self, line: str) -> bool:
        """Whether a line is like `A-B` (`A>B` where edges are directed)."""
        found = STEP.fullmatch(line)
        return found is not None and found[2] == (">" if self.directed else "-")

    def normal(self, answer: str) -> str | None:
        """The letters of the way themselves; None if they are no two to 26 capital letters."""
        return answer if PATH.fullmatch(answer) else None

    def right(self, problem: Problem, answer: str) -> bool:
        """Whether the letters are a way along edges from the start to the goal that visits no node twice."""
        if not PATH.fullmatch(answer) or len(set(answer)) < len(answer):
            return False
        ends = (problem.info["start"], problem.info["goal"])
        ways = neighbours(problem.info["edges"])
        return (answer[0], answer[-1]) == ends and all(b in ways.get(a, "") for a, b in pairwise(answer))

    def check_steps(self, problem: Problem, steps: Sequence[str]) -> list[bool]:
        """A step is valid when it walks an edge from where the walk is to a node not visited yet, and the goal is
        ahead.

        After a step that walks no edge the walk is where that step claims. An answer is valid when it spells the walk
        and the walk ends at the goal.
        """
        ways = neighbours(problem.info["edges"])
        walk, goal = [problem.info["start"]], problem.info["goal"]
        seen = set(walk)
        done = False
        judged = []
        for step in steps:
            line = step.removesuffix("\n")
            ok = False
            if done:
                pass
            elif line.startswith(MARK):
                done, ok = True, walk[-1] == goal and line[1:] == "".join(walk)
            elif self.is_step(line):
                a, b = line[0], line[2]
                ok = a == walk[-1] != goal and b in ways.get(a, "") and b not in seen
                walk.append(b)
                seen.add(b)
            judged.append(ok)
        return judged

    def slip(self, problem: Problem, rng: random.Random, rate: float) -> tuple[str, ...]:
        """A wrong step jumps to a node that no edge leads to; the walk goes on from there by a shortest way, if any."""
        edges, goal = problem.info["edges"], problem.info["goal"]
        sign = ">" if self.directed else "-"
        ways = neighbours(edges)
        nodes = sorted({n for e in edges for n in (e[0], e[2])})
        walk, plan = problem.info["start"], str(problem.answer)[1:]
        while plan:
            wrong = [n for n in nodes if n not in walk and n not in ways.get(walk[-1], "")]
            if wrong and rng.random() < rate:
                walk += rng.choice(wrong)
                plan = shortest(edges, walk[-1], avoid=walk[:-1]).get(goal, "")[1:]
            else:
                walk, plan = walk + plan[0], plan[1:]
        steps = (f"{a}{sign}{b}" for a, b in pairwise(walk))
        return (*steps, f"{MARK}{walk}")


def neighbours(edges: Iterable[str]) -> dict[str, str]:
    """For each node, in alphabetical order those an edge leads to: `A-B` leads both ways, `A>B` one way."""
    out: dict[str, set[str]] = {}
    for edge in edges:
        a, sign, b = tuple(edge)
        out.setdefault(a, set()).add(b)
        if sign == "-":
            out.setdefault(b, set()).add(a)
    return {node: "".join(sorted(to)) for node, to in out.items()}


def shortest(edges: Iterable[str], start: str, avoid: str = "") -> dict[str, str]:
    """A shortest way from `start` to every node that can be reached without those to avoid, by breadth-first search."""
    ways = neighbours(edges)
    found, last = {start: start}, [start]
    while last:
        ahead = []
        for node in last:
            for to in ways.get(node, ""):
                if to not in found and to not in avoid:
                    found[to] = found[node] + to
                    ahead.append(to)
        last = ahead
    return found
