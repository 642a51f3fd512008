"""What holds of a task with an environment that can be trusted: one function a property, each giving a `Check`."""

from __future__ import annotations

import random
from collections.abc import Sequence

from sharpen.task.base import Environment, Task
from sharpen.task.checks import Check, at_top, in_range, judge, lines_of, mean, shown
from sharpen.task.garbage import endless, garbage
from sharpen.task.lost import LostError
from sharpen.task.text import said
from sharpen.types import Problem, Trace

TURNS = 60
"""The most turns of an episode of random texts."""


def played(problem: Problem, world: Environment, turns: Sequence[str]) -> Trace:
    """The trace of an episode in which the model said these texts, until the world ended it (no tokens)."""
    world.reset()
    rewards: list[float] = []
    states = []
    done = False
    for text in turns:
        if done:
            break
        states.append(world.state)
        _, reward, done = world.step(text)
        rewards.append(reward)
    trace = said(problem, *turns[: len(rewards)])
    for segment, reward, state in zip(trace.actions, rewards, states, strict=True):
        segment.reward, segment.state = reward, state
    trace.info["success"] = sum(rewards) > 0
    return trace


def oracle(task: Task, problems: Sequence[Problem], rng: random.Random) -> Check:
    """The worked solution, one action a turn, earns the top of every reward."""
    broken, tried = [], [p for p in problems if p.solution]
    for p in tried:
        rewards = task.verify(p, played(p, task.environment(p), lines_of(p)))
        if not (at_top(task, rewards) and task.solved(rewards)):
            broken.append(shown(p, p.solution, dict(rewards)))
    return judge("oracle", "the worked solution earns the top of every reward", len(tried), broken)


def idle(task: Task, problems: Sequence[Problem], rng: random.Random) -> Check:
    """No turn at all, and turns in which nothing is said, solve nothing."""
    broken, main = [], []
    for p in problems:
        for turns in ((), ("",) * TURNS):
            rewards = task.verify(p, played(p, task.environment(p), turns))
            main.append(rewards[task.main])
            if task.solved(rewards) or not in_range(task, rewards):
                broken.append(shown(p, turns, dict(rewards)))
    return judge("idle", "no turns and empty turns solve nothing", len(main), broken, main=mean(main))


def wild(task: Task, problems: Sequence[Problem], rng: random.Random) -> Check:
    """Random texts never raise, and leave rewards in range."""
    broken, main = [], []
    for p in problems:
        turns = [
            garbage(rng, lines_of(p)) if rng.random() < 0.5 else rng.choice(lines_of(p) or ("",)) for _ in range(TURNS)
        ]
        try:
            rewards = task.verify(p, played(p, task.environment(p), turns))
        except LostError:
            raise
        except Exception as error:
            broken.append(shown(p, turns, f"{type(error).__name__}: {error}"))
            continue
        main.append(rewards[task.main])
        if not in_range(task, rewards):
            broken.append(shown(p, turns, dict(rewards)))
    return judge(
        "garbage", "random texts never raise and rewards stay in range", len(problems), broken, main=mean(main)
    )


def endless_turns(task: Task, problems: Sequence[Problem], rng: random.Random) -> Check:
    """Very long texts never raise."""
    p, broken = problems[0], []
    texts = endless(rng, lines_of(p))
    for text in texts:
        try:
            rewards = task.verify(p, played(p, task.environment(p), [text]))
        except LostError:
            raise
        except Exception as error:
            broken.append(shown(p, text, f"{type(error).__name__}: {error}"))
            continue
        if not in_range(task, rewards) or task.solved(rewards):
            broken.append(shown(p, text, dict(rewards)))
    return judge("long texts", "texts of 100000 characters never raise and solve nothing", len(texts), broken)


def copies(task: Task, problems: Sequence[Problem], rng: random.Random) -> Check:
    """A copy is in the same state, goes its own way, and has the same future; starting over gives the same start."""
    broken = []
    for p in problems:
        world = task.environment(p)
        first, start = world.reset(), world.state
        turns = list(lines_of(p)) or ["", "?"]
        for text in turns[: rng.randrange(len(turns))]:
            world.step(text)
        before = world.state
        other = world.copy()
        same = other.state == before and hash(other.state) == hash(before)
        world.step(turns[-1])
        alone = other.state == before
        one, two = other.copy(), other.copy()
        ahead = [rng.choice([*turns, garbage(rng)]) for _ in range(10)]
        future = all(one.step(text) == two.step(text) and one.state == two.state for text in ahead)
        again = world.reset() == first and world.state == start
        if not (same and alone and future and again):
            broken.append(shown(p, {"same": same, "independent": alone, "same future": future, "same start": again}))
    return judge("copies", "copies are equal and independent, equal states have equal futures", len(problems), broken)


WORLD_CHECKS = (oracle, idle, wild, endless_turns, copies)
"""The checks of a task whose problems are played in turns."""
