"""Does a letter follow from facts and rules: `ab;ab>c,cd>e;e?`."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from sharpen.errors import SharpenError
from sharpen.task.base import RewardSpec
from sharpen.task.procedural import whole
from sharpen.task.text import MARK, final, steps_of
from sharpen.task.worked import COMMON, Worked
from sharpen.types import Problem, Trace

LETTERS = "abcdefghijklmnopqrstuvwxyz"
STEP = re.compile(r"([a-z]{1,2})>([a-z])")
PROOF = RewardSpec("proof", about="1 when the answer is right and every step and the answer follow: a yes is derived")


@dataclass(frozen=True)
class Deduce(Worked):
    """Sizes are depths: how many rules in a row the question hangs on.

    Prompt `facts;rules;question?`; a rule `ab>c` says that c holds where a and b do. Steps are rules that fire;
    answer `#yes` after the letter asked for was derived, `#no` after everything was that can be. The reward `correct`
    is for the answer alone, `proof` for the answer with its proof; the latter is the main one, since half of all
    guesses are right.

    `letters` is how many letters of the alphabet are used (None: as few as suffice for the deepest problem).

    Nothing but the proof tells yes from no. The rules are two copies of one random structure over different letters:
    a row of rules, as many as the depth, each with the conclusion of the one before among its premises, and `side`
    rules that lead nowhere. In one copy both letters the row starts from are facts, in the other only one of them, and
    no other rule depends on those letters but through the whole row. The question is the end of one row or the other,
    with equal chances, and both questions to the same rules are in the same split.
    """

    low: int = 1
    high: int = 2
    harder_low: int = 3
    harder_high: int = 3
    side: int = 0
    letters: int | None = None

    name = "deduce"
    smallest: ClassVar[int] = 1
    falloff: ClassVar[float] = 0.5
    largest: ClassVar[int | None] = 10

    rewards = (*COMMON, PROOF)
    main = "proof"

    def __post_init__(self) -> None:
        super().__post_init__()
        whole(self.name, "side", self.side, 0)
        need = 2 * (self.harder_high + self.side) + 5
        if need > len(LETTERS):
            raise SharpenError(
                f"Task 'deduce': depth {self.harder_high} with {self.side} side rules needs more than 26 letters. "
                "Keep harder_high + side at 10 or less."
            )
        whole(self.name, "letters", need if self.letters is None else self.letters, need, len(LETTERS))
        self.room(5 * (self.harder_high + self.side) + 8)

    @property
    def alphabet(self) -> str:
        """The letters that are used."""
        return LETTERS[: self.letters or 2 * (self.harder_high + self.side) + 5]

    def make(self, size: int, rng: random.Random) -> Problem:
        """Two copies of one structure over random letters, and the end of one of the two rows."""
        # letters of a copy: 0 and 1 start the row, 2 .. size + 1 are its conclusions, then come those of the side
        # rules; last is a fact that both copies share, which may stand beside the premise of any rule but the first
        count = size + 2 + self.side
        shape: list[tuple[tuple[int, ...], int]] = [((0, 1), 2)]
        for new in range(3, count):
            before = new - 1 if new < size + 2 else rng.randrange(2, size + 2)
            shape.append(((before, count) if rng.random() < 0.5 else (before,), new))
        names = rng.sample(self.alphabet, 2 * count + 1)
        shared = names.pop()
        copies = [*names[:count], shared], [*names[count:], shared]
        rules = tuple(
            sorted("".join(sorted(c[i] for i in body)) + ">" + c[head] for c in copies for body, head in shape)
        )
        facts = "".join(sorted([shared, *copies[0][:2], copies[1][rng.randrange(2)]]))
        yes = rng.random() < 0.5
        asked = copies[0 if yes else 1][size + 1]
        fired = closure(facts, rules)
        used = needed(fired, asked) if yes else fired
        answer = "yes" if yes else "no"
        content = f"{facts};{','.join(rules)};{asked}"
        return self.problem(content, size, (*used, MARK + answer), answer, facts=facts, rules=rules, asked=asked)

    def content(self, problem: Problem) -> str:
        """Facts and rules without the question, so that a problem and its opposite are in one split."""
        return f"{self.name}:{problem.info['facts']};{','.join(problem.info['rules'])}"

    def is_step(self, line: str) -> bool:
        """Whether a line is like `ab>c`."""
        return STEP.fullmatch(line) is not None

    def normal(self, answer: str) -> str | None:
        """`yes` or `no` themselves; nothing else is an answer."""
        return answer if answer in ("yes", "no") else None

    def right(self, problem: Problem, answer: str) -> bool:
        """Whether the question is answered rightly."""
        info = problem.info
        derived = {rule[-1] for rule in closure(info["facts"], info["rules"])}
        return answer == ("yes" if info["asked"] in derived or info["asked"] in info["facts"] else "no")

    def check_steps(self, problem: Problem, steps: Sequence[str]) -> list[bool]:
        """A step is valid when it is a rule as the prompt spells it, its premises are known, and its conclusion is new.

        What a step of the right form concludes counts as known afterwards. `#yes` is valid once the letter asked for is
        known, `#no` when it is not and no rule would conclude anything new.
        """
        rules, asked = problem.info["rules"], problem.info["asked"]
        known = set(problem.info["facts"])
        done = False
        judged = []
        for step in steps:
            line = step.removesuffix("\n")
            ok = False
            if done:
                pass
            elif line.startswith(MARK):
                open_rules = any(fires(rule, known) for rule in rules)
                ok = line[1:] == "yes" if asked in known else line[1:] == "no" and not open_rules
                done = True
            elif self.is_step(line):
                ok = line in rules and fires(line, known)
                known.add(line[-1])
            judged.append(ok)
        return judged

    def verify(self, problem: Problem, trace: Trace) -> Mapping[str, float]:
        """`correct`, `format`, `steps` and `proof` of the text the model wrote."""
        common = super().verify(problem, trace)
        text = trace.text
        whole_text = [*steps_of(text), f"{MARK}{final(text)}"]
        proved = common["correct"] == 1.0 and all(self.check_steps(problem, whole_text))
        return {**common, "proof": float(proved)}

    def slip(self, problem: Problem, rng: random.Random, rate: float) -> tuple[str, ...]:
        """A wrong step concludes another letter than its rule; steps that then lack a premise are left out."""
        rules, known = problem.info["rules"], set(problem.info["facts"])
        steps = []
        for rule in (problem.solution or ())[:-1]:
            body, head = rule[:-2], rule[-1]
            if not set(body) <= known:
                continue
            if rng.random() < rate:
                head = rng.choice([c for c in self.alphabet if c not in body and f"{body}>{c}" not in rules])
            steps.append(f"{body}>{head}")
            known.add(head)
        return (*steps, MARK + ("yes" if problem.info["asked"] in known else "no"))


def fires(rule: str, known: set[str]) -> bool:
    """Whether a rule's premises are known and its conclusion is not."""
    return rule[-1] not in known and set(rule[:-2]) <= known


def closure(facts: str, rules: Sequence[str]) -> list[str]:
    """Every rule that adds something, in an order in which they can fire: always the first in the list that can."""
    known = set(facts)
    fired: list[str] = []
    while True:
        rule = next((r for r in rules if fires(r, known)), None)
        if rule is None:
            return fired
        fired.append(rule)
        known.add(rule[-1])


def needed(fired: Sequence[str], asked: str) -> list[str]:
    """Those of the rules that fired which the letter asked for rests on, in their order."""
    wanted, kept = {asked}, []
    for rule in reversed(fired):
        if rule[-1] in wanted:
            wanted |= set(rule[:-2])
            kept.append(rule)
    return kept[::-1]
