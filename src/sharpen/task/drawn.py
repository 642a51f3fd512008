"""What holds of a task of latents that can be trusted: one function a property, each giving a `Check`."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import torch
from torch import Tensor

from sharpen.task.base import Task
from sharpen.task.checks import Check, at_top, in_range, judge, mean, shown
from sharpen.task.garbage import garbage
from sharpen.task.latent import Latent, latent_task
from sharpen.task.text import said
from sharpen.types import Problem, Segment, Trace

LUCK = 0.5
"""The largest share of problems that pure noise may solve."""


def drew(problem: Problem, latents: Tensor, text: str = "") -> Trace:
    """A trace whose denoising chain is `latents`, `float32[K, d]`."""
    prompt = Segment(torch.zeros(1, 1), text=str(problem.prompt))
    return Trace(problem, [prompt, Segment(latents, trainable=True, role="assistant", text=text)])


def _latent(task: Task) -> Latent:
    found = latent_task(task)
    assert found is not None  # these checks are chosen for tasks that give latents
    return found


def _drew(task: Task, problem: Problem, x: Tensor) -> Trace:
    return drew(problem, x[None], _latent(task).text(x))


def targets(task: Task, problems: Sequence[Problem], rng: random.Random) -> Check:
    """The best latent of a problem earns the top of every reward, and its text can be voted for."""
    broken = []
    for p in problems:
        trace = _drew(task, p, _latent(task).target(p))
        rewards = task.verify(p, trace)
        if not (at_top(task, rewards) and task.solved(rewards) and task.answer_of(trace.text) == p.answer):
            broken.append(shown(p, trace.text, dict(rewards)))
    about = "the best latent earns the top of every reward, and its text shows the answer"
    return judge("targets", about, len(problems), broken)


def other_targets(task: Task, problems: Sequence[Problem], rng: random.Random) -> Check:
    """The best latent of a problem with another answer solves nothing."""
    broken, tried = [], 0
    for p, other in zip(problems, [*problems[1:], *problems[:1]], strict=True):
        if p.answer == other.answer:
            continue
        tried += 1
        trace = _drew(task, p, _latent(task).target(other))
        rewards = task.verify(p, trace)
        if task.solved(rewards):
            broken.append(shown(p, trace.text, dict(rewards)))
    return judge("other targets", "the best latent of a problem with another answer solves nothing", tried, broken)


def words(task: Task, problems: Sequence[Problem], rng: random.Random) -> Check:
    """A text in the place of a latent solves nothing; rewards stay in range and votes are texts or None."""
    broken, main = [], []
    for p in problems:
        for text in ("", " ", garbage(rng, (str(p.prompt),)), str(p.answer)):
            rewards, vote = task.verify(p, said(p, text)), task.answer_of(text)
            main.append(rewards.get(task.main, math.nan))
            if task.solved(rewards) or not in_range(task, rewards) or not (vote is None or isinstance(vote, str)):
                broken.append(shown(p, text, dict(rewards)))
    return judge("words", "a text in the place of a latent solves nothing", len(main), broken, main=mean(main))


def odd_latents(task: Task, problems: Sequence[Problem], rng: random.Random) -> Check:
    """Rewards of numbers that are none, huge ones and wrong shapes stay in range, and nothing raises."""
    size, broken, tried = math.prod(_latent(task).shape), [], 0
    odd = [torch.full((2, size), x) for x in (math.nan, math.inf, -math.inf, 3e38, -3e38, 1e-38, 0.0)]
    odd += [torch.zeros(2, size + 1), torch.zeros(0, size), torch.zeros(size), torch.zeros(2, size, dtype=torch.int64)]
    for p in problems[:20]:
        for latents in odd:
            tried += 1
            rewards = task.verify(p, drew(p, latents))
            task.answer_of(_latent(task).text(latents.flatten()[:size]))
            if not in_range(task, rewards):
                broken.append(shown(p, latents.flatten()[:4].tolist(), dict(rewards)))
    return judge("odd latents", "rewards of odd latents stay in range and nothing raises", tried, broken)


def noise(task: Task, problems: Sequence[Problem], rng: random.Random) -> Check:
    """Standard normal noise, where every chain begins, seldom solves a problem."""
    gen = torch.Generator().manual_seed(rng.getrandbits(32))
    size = math.prod(_latent(task).shape)
    solved = []
    for p in problems:
        solved.append(float(task.solved(task.verify(p, _drew(task, p, torch.randn(size, generator=gen))))))
    lucky = [f"{mean(solved):.2f} of the problems were solved by noise"] if mean(solved) > LUCK else []
    return judge("noise", f"noise solves at most {LUCK:g} of the problems", len(solved), lucky, solved=mean(solved))


def examples(task: Task, problems: Sequence[Problem], rng: random.Random) -> Check:
    """What the base model is taught are finite latents of train problems; some show what was asked for."""
    latent = _latent(task)
    asked, x = latent.examples(max(100, len(problems)), torch.Generator().manual_seed(rng.getrandbits(32)))
    known = {p.key for p in latent.catalogue["train"]}
    broken = [f"{p.key} is not of the train split" for p in asked if p.key not in known]
    if x.shape != (len(asked), math.prod(latent.shape)) or not bool(x.isfinite().all()):
        broken.append(f"examples have shape {tuple(x.shape)} or numbers that are not finite")
        return judge("examples", "the base model is taught finite latents", len(asked), broken)
    solved = [float(task.solved(task.verify(p, _drew(task, p, row)))) for p, row in zip(asked, x, strict=True)]
    broken += [] if any(solved) else ["no example solves the problem it is shown for"]
    about = "the base model is taught finite latents, and some solve their problem"
    return judge("examples", about, len(asked), broken, solved=mean(solved))


LATENT_CHECKS = (targets, other_targets, words, odd_latents, noise, examples)
"""The checks of a task whose problems are answered by a latent."""
