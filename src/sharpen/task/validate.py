"""Does a task deserve trust: `validate(task, rng=random.Random(0))` tries to break it and reports."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from sharpen.errors import SharpenError
from sharpen.task.base import Task
from sharpen.task.checks import TEXT_CHECKS, Check, judge, lines_of, shown, steps
from sharpen.task.drawn import LATENT_CHECKS
from sharpen.task.lost import LostError
from sharpen.task.worlds import WORLD_CHECKS
from sharpen.types import Problem

Drawn = Mapping[str, Sequence[Problem]]


@dataclass(frozen=True)
class Report:
    """What was checked of a task, in order."""

    task: str
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether no check failed; those that do not apply do not count."""
        return all(check.passed is not False for check in self.checks)

    def text(self) -> str:
        """One line a check, and the case that broke it below."""
        out = [f"task {self.task}: {'passed' if self.passed else 'FAILED'}"]
        for check in self.checks:
            mark = {True: "ok  ", False: "FAIL", None: "n/a "}[check.passed]
            figures = ", ".join(f"{k} {v:g}" for k, v in check.figures.items())
            out.append(f"{mark} {check.name}: {check.about}" + (f" ({figures})" if figures else ""))
            out += [f"     e.g. {check.example}"] if check.example else []
        return "\n".join(out)


def splits(task: Task, drawn: Drawn, rng: random.Random) -> Check:
    """No problem is in two splits, by draws and by fixed sets; problems have one key if and only if they are alike."""
    broken: list[str] = []
    found = {s: [*some, *task.fixed(s, len(some))] for s, some in drawn.items()}
    keys = {s: {p.key for p in some} for s, some in found.items()}
    for one, two in combinations(found, 2):
        broken += [f"{key} is in {one} and in {two}" for key in sorted(keys[one] & keys[two])]
    by_key: dict[str, str] = {}
    by_prompt: dict[str, str] = {}
    for p in (p for some in found.values() for p in some):
        if by_key.setdefault(p.key, repr(p.prompt)) != repr(p.prompt):
            broken.append(f"{p.key} names {by_key[p.key]} and {p.prompt!r}")
        if by_prompt.setdefault(repr(p.prompt), p.key) != p.key:
            broken.append(f"{p.prompt!r} has the keys {by_prompt[repr(p.prompt)]} and {p.key}")
    figures = {f"different_{s}": float(len(k)) for s, k in keys.items()}
    return judge(
        "splits",
        "no problem is in two splits, and keys tell problems apart",
        sum(map(len, keys.values())),
        broken,
        **figures,
    )


def repeats(task: Task, drawn: Drawn, rng: random.Random) -> Check:
    """Equal generators draw equal problems; fixed sets are the same each time and hold no problem twice."""
    broken, tried = [], 0
    for split, some in drawn.items():
        seed, n = rng.getrandbits(32), min(20, len(some))
        one, two = random.Random(seed), random.Random(seed)
        for _ in range(n):
            tried += 1
            a, b = task.draw(split, one), task.draw(split, two)
            if repr(a) != repr(b):
                broken.append(f"seed {seed} of {split} gave {shown(a, a.prompt)} and then {shown(b, b.prompt)}")
        a_set, b_set = task.fixed(split, n), task.fixed(split, n)
        if repr(a_set) != repr(b_set) or len({p.key for p in a_set}) != len(a_set) or len(a_set) > n:
            broken.append(f"fixed({split!r}, {n}) changed, holds a problem twice, or holds more than {n}")
    return judge("repeats", "the same seed gives the same problems, fixed sets stay the same", tried, broken)


def room(task: Task, drawn: Drawn, rng: random.Random) -> Check:
    """Worked solutions (single turns, in an environment) fit in `max_tokens` at a token a character."""
    turns = "environment" in task.gives
    broken, longest, tried = [], 0, 0
    for p in (p for some in drawn.values() for p in some if p.solution):
        tried += 1
        size = 1 + (max(map(len, lines_of(p))) if turns else len("\n".join(lines_of(p))))
        longest = max(longest, size)
        if size > task.max_tokens:
            broken.append(shown(p, p.solution, f"{size} tokens, and max_tokens is {task.max_tokens}"))
    about = "worked solutions fit in max_tokens, a token a character and one for the end"
    return judge("room", about, tried, broken, longest=float(longest))


def validate(task: Task, n: int = 200, *, rng: random.Random) -> Report:
    """Try to break a task with `n` problems of each split.

    A check that does not apply (no solutions, no steps, one split) has `passed` None. A check that raises has failed,
    and its example is the error; `LostError` alone is raised. Tasks with an environment are judged by episodes, tasks
    of latents by latents, all others by texts.
    """
    if n < 2:
        raise SharpenError(f"A task is validated on at least 2 problems of each split, and n is {n}. Ask for more.")
    try:
        drawn = {split: [task.draw(split, rng) for _ in range(n)] for split in task.splits}
    except Exception as error:
        failed = Check("draw", False, "problems can be drawn", example=f"{type(error).__name__}: {error}")
        return Report(task.name, (failed,))
    mixed = [p for some in zip(*drawn.values(), strict=True) for p in some]
    of_problems: tuple[Callable[..., Check], ...] = TEXT_CHECKS
    if "environment" in task.gives:
        of_problems = (*WORLD_CHECKS, steps)
    elif "latent" in task.gives:
        of_problems = LATENT_CHECKS
    checks = []
    for check in (splits, repeats, room, *of_problems):
        looked_at: Any = drawn if check in (splits, repeats, room) else mixed
        try:
            checks.append(check(task, looked_at, rng))
        except LostError:
            raise  # each further text might take all the time it has as well
        except Exception as error:
            name = check.__name__.replace("_", " ")
            about = (check.__doc__ or "").strip().rstrip(".")
            checks.append(Check(name, False, about, example=f"{type(error).__name__}: {error}"))
    return Report(task.name, tuple(checks))
