"""A short text that somebody would like: gold says how much, preferences between texts show it dimly."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

from sharpen.errors import SharpenError
from sharpen.task.base import Preference, RewardSpec
from sharpen.task.procedural import Procedural, digest, share, whole
from sharpen.types import Problem, Trace

LETTERS = "abcdefghijklmnopqrstuvwxyz"
LONGEST = 32
"""Characters an answer may have and still be counted as a vote."""


@dataclass(frozen=True)
class Taste(Procedural):
    """Sizes are numbers of letters. Prompt `bdgk?`; a perfect reply has each of these letters once, in any order.

    `gold` = letters the reply shares with the wish / letters that either has, both counted with repetition: 1 for a
    perfect reply, less for a letter that lacks, less again for one too many. So longer is better up to a point, and
    what has been learnt from short replies misleads beyond it.

    Gold is for measuring. What a run may learn from are the preferences of `pairs`: about `judged` problems of each
    split, two replies of the careless teacher to each, labelled by a Bradley-Terry model of gold,
    P(a over b) = sigmoid(`keen` (gold_a - gold_b)), and then turned round at the rate `noise` (2310.02743, section 5,
    turns a quarter round).

    The teacher leaves a letter out at the rate `sloppy`, and writes a needless one after a letter at the rate `stray`.
    Letters are the first `alphabet` of the Latin ones.
    """

    low: int = 3
    high: int = 5
    harder_low: int = 6
    harder_high: int = 8
    alphabet: int = 16
    judged: int = 256
    noise: float = 0.25
    keen: float = 10.0
    stray: float = 0.1
    sloppy: float = field(default=0.35, kw_only=True)

    name = "taste"
    gives = frozenset({"answer", "solution", "pairs"})
    rewards = (
        RewardSpec("correct", about="1 for each letter once and nothing else"),
        RewardSpec("gold", about="letters shared with the wish, over the letters that either has"),
    )
    largest: ClassVar[int | None] = len(LETTERS)
    unique_answer: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        whole(self.name, "alphabet", self.alphabet, self.harder_high + 1, len(LETTERS))
        whole(self.name, "judged", self.judged, 1)
        share(self.name, "noise", self.noise)
        share(self.name, "stray", self.stray)
        if not 0 < self.keen < math.inf:
            raise SharpenError(f"Task 'taste': keen is {self.keen!r}, and must be a number above 0, such as 10.")
        self.room(2 * self.harder_high + 8)

    def make(self, size: int, rng: random.Random) -> Problem:
        """Letters drawn without repetition, in alphabetical order."""
        wish = "".join(sorted(rng.sample(LETTERS[: self.alphabet], size)))
        return self.problem(wish, size, (wish,), wish, wish=wish)

    def gold(self, problem: Problem, text: str) -> float:
        """How much a reply is liked, in [0, 1]; white space at its ends does not count."""
        wish, said = Counter(str(problem.info["wish"])), Counter(text.strip())
        return (wish & said).total() / (wish | said).total()

    def verify(self, problem: Problem, trace: Trace) -> Mapping[str, float]:
        """`gold`, and whether it is 1."""
        gold = self.gold(problem, trace.text)
        return {"correct": float(gold == 1.0), "gold": gold}

    def answer_of(self, text: str) -> str | None:
        """The letters in alphabetical order; None for none, and for a text too long to be an answer."""
        said = text.strip()
        return "".join(sorted(said)) if 0 < len(said) <= LONGEST else None

    def lesson(self, rng: random.Random) -> tuple[Problem, tuple[str, ...]]:
        """A problem of any size, none held out, and what a careless teacher replies."""
        problem = self.studied(rng)
        return problem, (self.careless(problem, rng),)

    def careless(self, problem: Problem, rng: random.Random) -> str:
        """The wanted letters in a random order, some left out, some followed by any letter; one at least is said."""
        wish = list(str(problem.info["wish"]))
        rng.shuffle(wish)
        said = ""
        for letter in wish:
            said += letter if rng.random() >= self.sloppy else ""
            said += rng.choice(LETTERS[: self.alphabet]) if rng.random() < self.stray else ""
        return said or wish[0]

    def identity(self) -> dict[str, Any]:
        """What tells it from another: not the preferences, which no lesson depends on."""
        return {k: v for k, v in super().identity().items() if k not in ("judged", "noise", "keen")}

    def pairs(self, split: str) -> Sequence[Preference]:
        """Preferences about the first `judged` problems of a split; each depends on its problem alone."""
        if split not in self._pairs:
            self._pairs[split] = [self._pair(p) for p in self.fixed(split, self.judged)]
        return self._pairs[split]

    @cached_property
    def _pairs(self) -> dict[str, list[Preference]]:
        return {}

    def _pair(self, problem: Problem) -> Preference:
        rng = random.Random(digest(f"pairs/{problem.key}"))
        one = two = self.careless(problem, rng)
        while sorted(one) == sorted(two):
            two = self.careless(problem, rng)
        gap = self.gold(problem, one) - self.gold(problem, two)
        first = rng.random() < (1 + math.tanh(self.keen * gap / 2)) / 2  # the sigmoid, which cannot overflow so
        if rng.random() < self.noise:
            first = not first
        return Preference(problem, one, two) if first else Preference(problem, two, one)
