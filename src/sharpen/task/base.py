"""A task: problems, how a trace is judged, and what else it can give."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

from sharpen.types import Problem, Trace


@dataclass(frozen=True)
class RewardSpec:
    """A named reward, its valid range, and what it measures. `best` is the end of the range a perfect trace has."""

    name: str
    low: float = 0.0
    high: float = 1.0
    about: str = ""
    best: Literal["low", "high"] = "high"


class Preference(NamedTuple):
    """Two replies to a problem, the one that was preferred first."""

    problem: Problem
    chosen: str
    rejected: str


class Environment(ABC):
    """A world that answers in text. It is copied to branch an episode, so all it knows is plain data."""

    @abstractmethod
    def reset(self) -> str:
        """Start over; the first observation, which becomes the prompt."""

    @abstractmethod
    def step(self, text: str) -> tuple[str, float, bool]:
        """Act: the next observation, the reward of this turn, and whether the episode is over.

        Never raises for bad text.
        """

    @property
    @abstractmethod
    def state(self) -> Hashable:
        """The state as one hashable value: equal states have equal futures."""

    @abstractmethod
    def copy(self) -> Environment:
        """An independent copy in the same state."""


class Task(ABC):
    """What a run asks of a kind of problem.

    `gives` may hold `answer`, `solution` (worked, in steps), `steps` (a checker of single steps), `environment`,
    `pairs` (preferences between replies), and `latent`: its answers are latents, drawn by a flow policy
    (`sharpen.task.latent`).
    `main` names the reward that decides whether a trace solved its problem: it did when that reward is at the top of
    its range. Splits never overlap: `train`, `test` (same difficulty), `harder` (beyond what was trained on), where
    there are such.
    """

    name: str
    gives: frozenset[str] = frozenset()
    rewards: tuple[RewardSpec, ...] = (RewardSpec("correct"),)
    main: str = "correct"
    splits: tuple[str, ...] = ("train", "test", "harder")
    max_tokens: int = 256
    """Enough tokens for a worked solution by a character tokenizer (a run may set another limit)."""

    @abstractmethod
    def draw(self, split: str, rng: random.Random) -> Problem:
        """One problem of a split, at random."""

    @abstractmethod
    def fixed(self, split: str, n: int) -> list[Problem]:
        """The same `n` different problems of a split each time (fewer where it has fewer), for evaluation."""

    @abstractmethod
    def verify(self, problem: Problem, trace: Trace) -> Mapping[str, float]:
        """Every named reward of a trace, in its range. Pure; never raises whatever the model wrote."""

    def verify_many(self, pairs: Sequence[tuple[Problem, Trace]]) -> Sequence[Mapping[str, float]]:
        """`verify` of many; tasks that can do better than one at a time (worker processes) replace it.

        Order is kept.
        """
        return [self.verify(problem, trace) for problem, trace in pairs]

    def check_steps(self, problem: Problem, steps: Sequence[str]) -> list[bool]:
        """For each step in order, whether it is valid given the steps before it. For tasks that give `steps`."""
        raise NotImplementedError(f"task {self.name!r} does not check steps")

    def environment(self, problem: Problem) -> Environment:
        """A fresh world for a problem. For tasks that give `environment`."""
        raise NotImplementedError(f"task {self.name!r} has no environment")

    def pairs(self, split: str) -> Sequence[Preference]:
        """Every preference between two replies that is known of a split, the same each time and in the same order.

        For tasks that give `pairs`.
        """
        raise NotImplementedError(f"task {self.name!r} has no preferences")

    def solved(self, rewards: Mapping[str, float]) -> bool:
        """Whether these rewards are those of a solution."""
        high = next(r.high for r in self.rewards if r.name == self.main)
        return rewards[self.main] >= high - 1e-9

    def lesson(self, rng: random.Random) -> tuple[Problem, tuple[str, ...]]:
        """A problem and how a careless teacher works it out, line by line: what a model made from scratch is brought
        up on.

        Here: the worked solution (or the bare answer) of a training problem, one time in four that of another problem.
        """
        problem = self.draw("train", rng)
        shown = self.draw("train", rng) if rng.random() < 0.25 else problem
        return problem, shown.solution or (f"#{shown.answer}",)

    @property
    def label(self) -> str:
        """The name as it may stand in a file name."""
        return "".join(c if c.isalnum() else "-" for c in self.name)[:40]

    def identity(self) -> dict[str, Any]:
        """What tells this task from another of its name: its fields, as plain data.

        What was computed and kept (`cached_property`) is left out: the identity is the same before and after.
        """
        if is_dataclass(self):
            own = [f.name for f in fields(self)]
        else:
            kept = [k for k in vars(self) if isinstance(getattr(type(self), k, None), cached_property)]
            own = [k for k in vars(self) if k[0] != "_" and k not in kept]
        return {"name": self.name, **{k: repr(getattr(self, k)) for k in sorted(own)}}

    def answer_of(self, text: str) -> str | None:
        """The final answer in a text, normalised, for majority votes; None when there is none."""
        return text.strip() or None
