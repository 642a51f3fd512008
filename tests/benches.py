"""Benches: a task, a base policy for it, and how well a policy does, small enough for every recipe to be tried on."""

from __future__ import annotations

import fcntl
import os
import random
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from sharpen.actor.base import Actor
from sharpen.actor.nano import Nano, character_tokenizer, upbringing
from sharpen.core import reads
from sharpen.evaluate import evaluate
from sharpen.judging import judge_report, totals
from sharpen.loop import Trainer
from sharpen.maths import sum_by
from sharpen.recipes import recipe
from sharpen.rollout.edit import demonstration
from sharpen.task.base import Task
from sharpen.task.confident import Confident
from sharpen.task.taste import Taste
from sharpen.task.text import leading, said
from sharpen.types import Problem, Segment, Trace
from toy import Copy, nano_actor


@dataclass(frozen=True)
class Bench:
    """`base` makes the weights once, `actor` an actor with any weights to put them in."""

    name: str
    task: Callable[[], Task]
    base: Callable[[], dict[str, torch.Tensor]]
    actor: Callable[[], Any]
    measure: Callable[[Trainer], float]

    def trainer(self, method: Any, seed: int = 0) -> Trainer:
        """A run of a method from the base."""
        actor = self.actor()
        actor.load_weights(_once(self))
        return Trainer(method, self.task(), actor, seed=seed)


def shared(runner: int) -> Path:
    """The folder where the processes started by a test runner hand each other what they made."""
    return Path(tempfile.gettempdir()) / f"sharpen-benches-{runner}"


@cache
def _once(bench: Bench) -> dict[str, torch.Tensor]:
    """The base, made by one of the processes that test together and read by the others."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return bench.base()
    folder = shared(os.getppid())
    folder.mkdir(exist_ok=True)
    file = folder / f"{bench.name}.safetensors"
    with open(folder / f"{bench.name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not file.exists():
            save_file({k: v.contiguous() for k, v in bench.base().items()}, file)
    return load_file(file)


class Noisy(Copy):
    """Copy, taught by somebody who says a random digit six times in ten."""

    def lesson(self, rng: random.Random):
        problem = self.draw("train", rng)
        return problem, (str(rng.randrange(10)) if rng.random() < 0.6 else str(problem.answer),)


def _copy_base() -> dict[str, torch.Tensor]:
    """Weights of a nano model brought up on the noisy task: right 46 times in a hundred."""
    return _brought_up(Noisy())


def _brought_up(task: Task, **how: Any) -> dict[str, torch.Tensor]:
    """Weights of a nano model brought up on a task."""
    usual = {"steps": 150, "batch": 64, "warmup": 10}
    nano = Nano(width=32, layers=2, heads=2, context=64, **{**usual, **how})
    model = upbringing(task, nano, character_tokenizer())
    return {n: p.detach() for n, p in model.named_parameters()}


def _copy_actor() -> Actor:
    return nano_actor(width=32, layers=2, max_tokens=3)


def copied(trainer: Trainer) -> float:
    """The exact probability of the right digit followed by the end, averaged over the ten problems."""
    actor, task, total = trainer.ctx.actors["policy"], Copy(), 0.0
    for p in task.fixed("test", 10):
        context, said = actor.prompt(p)[0].atoms, actor.given(p.answer).atoms
        with torch.no_grad():
            logs = actor.module(input_ids=torch.cat([context, said])[None]).logits[0, :-1].log_softmax(-1)
        total += float(logs[-2:].gather(-1, said[:, None]).sum().exp())
    return total / 10


def _taste() -> Taste:
    """Wishes for two to four of ten letters, and preferences without noise."""
    return Taste(2, 4, 5, 6, alphabet=10, judged=240, noise=0.0, keen=1e3, stray=0.15, sloppy=0.25)


def _taste_base() -> dict[str, torch.Tensor]:
    """Weights of a nano model brought up on the careless teacher's replies."""
    return _brought_up(_taste(), steps=200)


def _taste_actor() -> Actor:
    return nano_actor(width=32, layers=2, max_tokens=8)


def liked(trainer: Trainer) -> float:
    """The mean gold of 8 replies to each problem that is held out."""
    replies = _replies(trainer.policy)
    return sum(t.rewards["gold"] for t in replies) / len(replies)


def _replies(actor: Actor) -> list[Trace]:
    """Eight replies to each of thirty held-out problems."""
    _, traces = evaluate(actor, _taste(), "test", problems=30, samples=8, ks=(1,))
    return [t for some in traces for t in some[1:]]


COPY = Bench("copy", Copy, _copy_base, _copy_actor, copied)
"""Say the digit that was asked for; the base is right 46 times in a hundred."""


# ------------------------------------------------------------------ digits of two kinds


class Graded(Copy):
    """Copy in two categories: the digits below five, and the others."""

    def draw(self, split: str, rng: random.Random):
        return _graded(super().draw(split, rng))

    def fixed(self, split: str, n: int):
        return [_graded(p) for p in super().fixed(split, n)]


def _graded(p: Problem) -> Problem:
    return replace(p, info={**p.info, "category": p.info["digit"] // 5})


GRADED = Bench("graded", Graded, lambda: _once(COPY), _copy_actor, copied)
"""Copy with categories."""


# ------------------------------------------------------------------ answers that may be longer than they need be


class Padded(Copy):
    """Copy whose answers may be followed by dots; the teacher says a wrong digit one time in ten and adds dots."""

    def verify(self, problem: Problem, trace: Trace) -> dict[str, float]:
        return super().verify(problem, replace(trace, segments=said(problem, trace.text.rstrip(".")).segments))

    def lesson(self, rng: random.Random):
        problem = self.draw("train", rng)
        digit = str(rng.randrange(10)) if rng.random() < 0.1 else str(problem.answer)
        return problem, (digit + "." * rng.randrange(4),)


PADDED = Bench(
    "padded", Padded, lambda: _brought_up(Padded()), lambda: nano_actor(width=32, layers=2, max_tokens=6), copied
)
"""Say the digit that was asked for, and nothing else: the base does so one time in four."""


# ------------------------------------------------------------------ some answers nobody can know


class Doubtful(Copy):
    """Two prompts: to `0?` the answer is 0, to `5?` it is 5 or 6 by the toss of a coin that nobody sees."""

    def draw(self, split: str, rng: random.Random):
        return self.fixed(split, 4)[rng.randrange(4)]

    def fixed(self, split: str, n: int):
        answers = (("0", 0), ("0", 1), ("5", 0), ("6", 1))
        made = [Problem(f"copy:{a}:{toss}", "0?" if a == "0" else "5?", a, (a,)) for a, toss in answers]
        return made[:n]

    def lesson(self, rng: random.Random):
        problem = self.draw("train", rng)
        return problem, (str(rng.randrange(10)) if rng.random() < 0.2 else str(problem.answer),)


def calibrated(trainer: Trainer) -> float:
    """How much of what there is to gain over being always right, as far as one can, and always sure: exact, at most 1.

    The expected reward of RLCR, 0.5 (2 + c - (q - c)^2), is then 1.5 for the first prompt and 1 for the second, where
    1.123 can be had by stating 4 or 5.
    """
    actor, task, earned = trainer.ctx.actors["policy"], Confident(Doubtful()), 0.0
    for p in task.fixed("test", 4):
        context = actor.prompt(p)[0].atoms
        texts = [(str(a), q, actor.given(f"{a}\n?{q}").atoms) for a in range(10) for q in range(10)]
        said = torch.stack([atoms for _, _, atoms in texts])
        with torch.no_grad():
            logits = actor.module(input_ids=torch.cat([context.expand(len(said), -1), said], 1)).logits
        logs = logits[:, :-1].log_softmax(-1)[:, -said.shape[1] :]
        for (a, q, _), x in zip(texts, logs.gather(-1, said[:, :, None]).sum((1, 2)).exp().tolist(), strict=True):
            c = float(a == p.answer)
            earned += x * 0.5 * (2 + c - (q / 9 - c) ** 2) / 4
    sure = (1.5 + 1.0) / 2
    best = (1.5 + 0.5 * (2.5 - 0.5 * ((4 / 9) ** 2 + (5 / 9) ** 2))) / 2
    return (earned - sure) / (best - sure)


DOUBTFUL = Bench(
    "doubtful",
    lambda: Confident(Doubtful()),
    lambda: _brought_up(Confident(Doubtful())),
    lambda: nano_actor(width=32, layers=2, max_tokens=6),
    calibrated,
)
"""Say the digit that was asked for and how sure it is; one of two digits is worth a coin's toss."""
AGAIN = "?"


@reads("solved")
def terse(trace: Trace, task: Task) -> str:
    """`mistake` in few characters."""
    return "ok" if trace.solved else f"bad {leading(task.check_steps(trace.problem, trace.text.split(chr(10))))}"


class Spell(Task):
    """Say the three digits that were asked for, one a line: answers whose beginning can be given away.

    The teacher says each digit at random six times in ten. Asked again, after a draft of such digits and what `terse`
    says of it, that happens one time in ten.
    """

    name = "spell"
    gives = frozenset({"answer", "solution", "steps"})
    splits = ("train", "test")

    def draw(self, split: str, rng: random.Random) -> Problem:
        a, b = rng.randrange(10), rng.randrange(10)
        over = rng.randrange(1, 10) if split == "train" else 0  # those whose digits sum to tens are held out
        digits = f"{a}{b}{(over - a - b) % 10}"
        return Problem(f"spell:{digits}", f"{digits}?", digits, tuple(digits))

    def fixed(self, split: str, n: int) -> list[Problem]:
        rng = random.Random(split)
        return list({p.key: p for p in (self.draw(split, rng) for _ in range(2 * n))}.values())[:n]

    def verify(self, problem: Problem, trace: Trace) -> dict[str, float]:
        return {"correct": float(trace.text == "\n".join(problem.answer))}

    def check_steps(self, problem: Problem, steps: Sequence[str]) -> list[bool]:
        return [step == right for step, right in zip_longest(steps, problem.answer)][: len(steps)]

    def lesson(self, rng: random.Random) -> tuple[Problem, tuple[str, ...]]:
        def spoken(noise: float) -> tuple[str, ...]:
            return tuple(str(rng.randrange(10)) if rng.random() < noise else d for d in problem.answer)

        problem = self.draw("train", rng)
        if rng.random() < 0.6:
            return problem, spoken(0.6)
        draft = Trace(problem, [Segment(torch.zeros(0), True, text="\n".join(spoken(0.6)))])
        draft.solved = self.solved(self.verify(problem, draft))
        turns = (
            ("user", problem.prompt),
            ("assistant", draft.text),
            ("user", f"{terse(draft, self)} {AGAIN}"),
        )
        return replace(problem, prompt=tuple({"role": r, "content": c} for r, c in turns)), spoken(0.1)


def _spell_base() -> dict[str, torch.Tensor]:
    """Weights of a nano model brought up on it."""
    return _brought_up(Spell(), steps=200)


def _spell_actor() -> Actor:
    return nano_actor(width=32, layers=2, max_tokens=8)


def spelt(trainer: Trainer) -> float:
    """The exact probability of the right answer to the bare question, averaged over forty problems held out."""
    actor, task = trainer.ctx.actors["policy"], Spell()
    problems = task.fixed("test", 40)
    traces = [demonstration(p, actor) for p in problems]
    with torch.no_grad():
        batch = actor.collate(traces, torch.arange(len(traces)), ())
        return float(sum_by(actor.score(batch).logp, batch.trace, len(traces)).exp().mean())


SPELL = Bench("spell", Spell, _spell_base, _spell_actor, spelt)
"""Say three digits; the base does so one time in ten, and eight times in ten after a critique."""
TASTE = Bench("taste", _taste, _taste_base, _taste_actor, liked)
"""Write a text somebody would like, with a learning set of preferences."""


class Count(Task):
    """Count on by three, a number a line: `3?` is answered by `4`, `5`, `#6` (after 9 comes 0).

    Only this is right. The teacher loses the thread in one of four lines before the last: it writes `x` there, and
    does not count on.
    """

    name = "count"
    gives = frozenset({"answer", "solution", "steps"})

    def _problem(self, d: int) -> Problem:
        lines = (f"{(d + 1) % 10}", f"{(d + 2) % 10}", f"#{(d + 3) % 10}")
        return Problem(f"count:{d}", f"{d}?", lines[-1][1:], lines, {"start": d})

    def draw(self, split: str, rng: random.Random) -> Problem:
        return self._problem(rng.randrange(10))

    def fixed(self, split: str, n: int) -> list[Problem]:
        return [self._problem(d) for d in range(min(n, 10))]

    def verify(self, problem: Problem, trace: Trace) -> dict[str, float]:
        return {"correct": float(trace.text == "\n".join(problem.solution or ()))}

    def check_steps(self, problem: Problem, steps: Sequence[str]) -> list[bool]:
        value, judged = problem.info["start"], []
        for step in steps:
            said = step.removesuffix("\n").removeprefix("#")
            judged.append(said == str((value + 1) % 10))
            value = int(said) if len(said) == 1 and said.isdigit() else value
        return judged

    def lesson(self, rng: random.Random):
        problem = self.draw("train", rng)
        value, lines = problem.info["start"], []
        for mark in ("", "", "#"):
            lost = not mark and rng.random() < 0.25
            value = value if lost else (value + 1) % 10
            lines.append("x" if lost else f"{mark}{value}")
        return problem, tuple(lines)


def _count_base() -> dict[str, torch.Tensor]:
    """Weights of a nano model brought up on the careless counting: right about half of the time."""
    return _brought_up(Count(), steps=120, batch=48, lr=5e-3)


def _count_actor() -> Actor:
    return nano_actor(width=32, layers=2, max_tokens=12)


def counted(trainer: Trainer) -> float:
    """The exact probability of the worked solution, averaged over the ten problems."""
    actor = trainer.ctx.actors["policy"]
    traces = [Trace(p, [*actor.prompt(p), actor.given("\n".join(p.solution or ()))]) for p in Count().fixed("test", 10)]
    with torch.no_grad():
        batch = actor.collate(traces, torch.arange(len(traces)), ())
        logp = actor.score(batch).logp
    return float(torch.zeros(len(traces)).index_add(0, batch.trace, logp).exp().mean())


COUNT = Bench("count", Count, _count_base, _count_actor, counted)
"""Count on by three, a step a line; the base is right about half of the time."""


def ranked(trainer: Trainer) -> float:
    """How often a reward model scores the chosen one of two held-out replies higher."""
    report = judge_report(trainer.ctx.actors["rm"], trainer.policy, _taste(), problems=2, samples=2)
    return float(report["pairs"]["accuracy"][1])


def preferred(trainer: Trainer) -> float:
    """How often the chosen one of two held-out replies has become likelier, against the reference, than the other."""
    report = judge_report(trainer.policy, trainer.ctx.actors["ref"], _taste(), kind="implicit", problems=2, samples=2)
    return float(report["pairs"]["accuracy"][1])


def followed(trainer: Trainer) -> float:
    """How much more the policy's replies to held-out problems please the reward model than the base's do.

    In standard deviations of what it says of the base's; of several models the one that is pleased least. The base
    itself has 0. Gold is not in it: it falls when a model is followed too far.
    """
    replies = [_replies(actor) for actor in (trainer.policy, TASTE.trainer(recipe("dpo")).policy)]
    models = [actor for name, actor in trainer.trained().items() if name.startswith("rm")]
    said = [[torch.tensor(totals(model, traces)) for traces in replies] for model in models]
    return min(float((new.mean() - old.mean()) / old.std()) for new, old in said)
