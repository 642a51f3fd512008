"""What holds of a task that can be trusted: one function a property, each giving a `Check`."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sharpen.errors import SharpenError
from sharpen.task.base import Task
from sharpen.task.garbage import endless, garbage
from sharpen.task.lost import LostError
from sharpen.task.text import said
from sharpen.types import Problem

SECONDS = 2.0
"""The most a verifier may take for one very long text (LONG characters), on a busy machine."""

COINCIDENCE = 0.05
"""Where many answers are right: the largest share of other problems' answers that may be right as well."""


@dataclass(frozen=True)
class Check:
    """One property: whether it holds (None: does not apply), figures, what was tried, and a case that broke it."""

    name: str
    passed: bool | None
    about: str
    figures: Mapping[str, float] = field(default_factory=dict)
    example: str | None = None


def judge(name: str, about: str, tried: int, broken: Sequence[str], **figures: float) -> Check:
    """The check that nothing among what was tried is broken; it does not apply where nothing was tried."""
    known = {"tried": float(tried), "broken": float(len(broken)), **figures}
    return Check(name, None if not tried else not broken, about, known, broken[0] if broken else None)


def shown(problem: Problem, text: object, rewards: object = None) -> str:
    """A case in one line, long texts shortened."""
    told = repr(text)
    told = told if len(told) <= 160 else f"{told[:80]}...{told[-60:]}"
    return f"{problem.key[:120]}: {told}" + ("" if rewards is None else f" -> {rewards}")


def mean(values: Sequence[float]) -> float:
    """The mean; NaN of nothing."""
    return sum(values) / len(values) if values else math.nan


def at_top(task: Task, rewards: Mapping[str, float]) -> bool:
    """Whether every reward whose range has ends is at the good one."""
    ends = [r for r in task.rewards if math.isfinite(r.high) and math.isfinite(r.low)]
    return all(rewards[r.name] >= r.high - 1e-9 if r.best == "high" else rewards[r.name] <= r.low + 1e-9 for r in ends)


def in_range(task: Task, rewards: Mapping[str, float]) -> bool:
    """Whether the rewards are those the task names, each a finite number in its range."""
    return set(rewards) == {r.name for r in task.rewards} and all(
        math.isfinite(rewards[r.name]) and r.low - 1e-9 <= rewards[r.name] <= r.high + 1e-9 for r in task.rewards
    )


def lines_of(problem: Problem) -> tuple[str, ...]:
    """The lines of the worked solution, none where there is none."""
    return problem.solution or ()


def gold(task: Task, problems: Sequence[Problem], rng: random.Random) -> Check:
    """The worked solution earns the top of every reward, and its answer can be voted for."""
    broken, tried = [], [p for p in problems if p.solution]
    for p in tried:
        text = "\n".join(lines_of(p))
        rewards = task.verify(p, said(p, text))
        if not (at_top(task, rewards) and task.solved(rewards) and task.answer_of(text) is not None):
            broken.append(shown(p, text, dict(rewards)))
    return judge("gold", "the worked solution earns the top of every reward and has an answer", len(tried), broken)


def empty(task: Task, problems: Sequence[Problem], rng: random.Random) -> Check:
    """Saying nothing, or nothing but blanks, solves nothing."""
    broken, main = [], []
    for p in problems:
        for text in ("", "\n", " ", "\n\n \n"):
            rewards = task.verify(p, said(p, text))
            main.append(rewards[task.main])
            if task.solved(rewards):
                broken.append(shown(p, text, dict(rewards)))
    return judge("empty", "empty and blank texts solve nothing", len(main), broken, main=mean(main))


def shuffled_lines(task: Task, problems: Sequence[Problem], rng: random.Random) -> Check:
    """The worked solution with its lines in another order, the answer no longer last, solves nothing."""
    broken, main = [], []
    for p in problems if "steps" in task.gives else ():
        solution = lines_of(p)
        if len(solution) < 2:
            continue
        before = list(solution[:-1])
        rng.shuffle(before)
        before.insert(rng.randrange(len(before)), solution[-1])
        text = "\n".join(before)
        rewards = task.verify(p, said(p, text))
        main.append(rewards[task.main])
        if task.solved(rewards):
            broken.append(shown(p, text, dict(rewards)))
    return judge("shuffled lines", "an answer that is not last solves nothing", len(main), broken, main=mean(main))


def shuffled_steps(task: Task, problems: Sequence[Problem], rng: random.Random) -> Check:
    """Where steps in another order are wrong steps, some reward says so, though the answer is still last."""
    broken, main = [], []
    for p in problems if "steps" in task.gives else ():
        steps = list(lines_of(p)[:-1])
        rng.shuffle(steps)
        if all(task.check_steps(p, steps)):
            continue
        text = "\n".join([*steps, lines_of(p)[-1]])
        rewards = task.verify(p, said(p, text))
        main.append(rewards[task.main])
        if at_top(task, rewards):
            broken.append(shown(p, text, dict(rewards)))
    about = "steps in a wrong order, the answer still last, do not earn the top of every reward"
    return judge("shuffled steps", about, len(main), broken, main=mean(main))


def other_solution(task: Task, problems: Sequence[Problem], rng: random.Random) -> Check:
    """Another problem's solution with another answer solves nothing; where many answers are right, next to nothing."""
    broken, tried = [], 0
    solvable = [p for p in problems if p.solution]
    for p, other in zip(solvable, [*solvable[1:], *solvable[:1]], strict=True):
        text = "\n".join(lines_of(other))
        if task.answer_of(text) == task.answer_of("\n".join(lines_of(p))):
            continue
        tried += 1
        rewards = task.verify(p, said(p, text))
        if task.solved(rewards):
            broken.append(shown(p, text, dict(rewards)))
    allowed = 0.0 if getattr(task, "unique_answer", False) else COINCIDENCE
    found = judge("other solution", "another problem's solution, with another answer, solves nothing", tried, broken)
    if broken and len(broken) <= allowed * tried:
        return Check(found.name, True, found.about, found.figures)
    return found


def bare_answer(task: Task, problems: Sequence[Problem], rng: random.Random) -> Check:
    """What the answer without its steps earns: reported, and in range."""
    broken, earned = [], []
    for p in problems:
        if not p.solution:
            continue
        rewards = task.verify(p, said(p, p.solution[-1]))
        earned.append(rewards)
        if not in_range(task, rewards):
            broken.append(shown(p, p.solution[-1], dict(rewards)))
    figures = {r.name: mean([e[r.name] for e in earned]) for r in task.rewards} if earned else {}
    return judge("bare answer", "what the right answer without its steps earns", len(earned), broken, **figures)


def garbage_range(task: Task, problems: Sequence[Problem], rng: random.Random) -> Check:
    """Rewards stay in range, nothing raises, and votes are texts or None, whatever is written."""
    broken, main = [], []
    for p in problems:
        text = garbage(rng, lines_of(p))
        try:
            rewards, vote = task.verify(p, said(p, text)), task.answer_of(text)
            judged = task.check_steps(p, text.split("\n")) if "steps" in task.gives else [True]
        except LostError:
            raise
        except Exception as error:
            broken.append(shown(p, text, f"{type(error).__name__}: {error}"))
            continue
        main.append(rewards.get(task.main, math.nan))
        lengths = len(judged) == len(text.split("\n")) or "steps" not in task.gives
        if not (in_range(task, rewards) and (vote is None or isinstance(vote, str)) and lengths):
            broken.append(shown(p, text, dict(rewards)))
    about = "rewards of random texts stay in range and nothing raises"
    return judge("garbage", about, len(problems), broken, main=mean(main))


def long_texts(task: Task, problems: Sequence[Problem], rng: random.Random) -> Check:
    """Very long texts are judged in time."""
    broken, slowest, tried = [], 0.0, 0
    p = problems[0]
    for text in endless(rng, lines_of(p)):
        tried += 1
        began = time.perf_counter()
        try:
            rewards = task.verify(p, said(p, text))
            task.answer_of(text)
        except LostError:
            raise
        except Exception as error:
            broken.append(shown(p, text, f"{type(error).__name__}: {error}"))
            continue
        took = time.perf_counter() - began
        slowest = max(slowest, took)
        if took > SECONDS or not in_range(task, rewards):
            broken.append(shown(p, text, f"{took:.1f} s, {dict(rewards)}"))
    about = f"texts of 100000 characters are judged within {SECONDS:g} s each, in range"
    return judge("long texts", about, tried, broken, slowest_seconds=slowest)


def steps(task: Task, problems: Sequence[Problem], rng: random.Random) -> Check:
    """Every step of the worked solution is valid; nonsense in place of one is not, nor is a corrupted one."""
    broken, tried = [], 0
    for p in problems if "steps" in task.gives else ():
        solution = list(lines_of(p))
        if not solution:
            continue
        tried += 1
        if task.check_steps(p, solution) != [True] * len(solution):
            broken.append(shown(p, solution, task.check_steps(p, solution)))
        at = rng.randrange(len(solution))
        spoilt = [*solution[:at], "?", *solution[at + 1 :]]
        if task.check_steps(p, spoilt)[: at + 1] != [True] * at + [False]:
            broken.append(shown(p, spoilt, task.check_steps(p, spoilt)))
        corrupt = getattr(task, "corrupt", None)
        if corrupt is not None and (task.check_steps(p, corrupt(p, rng, 1.0))[0] or corrupt(p, rng, 0.0) != p.solution):
            broken.append(shown(p, "corrupt at rate 1 has a valid first step, or at rate 0 is not the solution"))
    return judge("steps", "worked steps are valid, a spoilt step is the first wrong one", tried, broken)


def lessons(task: Task, problems: Sequence[Problem], rng: random.Random) -> Check:
    """What a model made from scratch is taught is judged right now and then; does not apply without lessons."""
    solved, held = [], []
    try:
        taught = [task.lesson(rng) for _ in problems]
    except SharpenError:
        taught = []  # a task with nothing to teach says so where a model is to be taught
    for p, shown_lines in taught:
        text = "\n".join(shown_lines)
        solved.append(float(task.solved(task.verify(p, said(p, text)))))
        if len(text) + 1 > task.max_tokens:
            held.append(shown(p, text, f"more than the {task.max_tokens} tokens of max_tokens"))
    if taught and not any(solved):
        held.append(shown(taught[0][0], "\n".join(taught[0][1]), "no lesson solves its problem"))
    about = "lessons for a model made from scratch fit in max_tokens, and some solve their problem"
    return judge("lessons", about, len(taught), held, solved=mean(solved))


TEXT_CHECKS = (
    gold,
    empty,
    shuffled_lines,
    shuffled_steps,
    other_solution,
    bare_answer,
    garbage_range,
    long_texts,
    steps,
    lessons,
)
"""The checks of a task whose problems are answered by one text."""
