"""How well a policy solves held-out problems, by sampling and greedily, with intervals over problems."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence

import torch

from sharpen.actor.base import Actor
from sharpen.cost import Cost
from sharpen.evaluation import Evaluation, Interval
from sharpen.maths import bootstrap_mean, majority, pass_at_k
from sharpen.outcomes import Outcomes, told
from sharpen.parallel.world import ALONE, World
from sharpen.rollout.program import Program, natural, run_programs
from sharpen.task.base import Task
from sharpen.task.confident import confidence
from sharpen.types import Problem, Sampling, Trace


def judged(task: Task, traces: Sequence[Trace], world: World = ALONE) -> None:
    """Ask the task for rewards and verdicts of traces."""
    for trace, rewards in zip(traces, world.verify(task, [(t.problem, t) for t in traces]), strict=True):
        trace.rewards = dict(rewards)
        trace.solved = task.solved(rewards)


def evaluate(
    actor: Actor,
    task: Task,
    split: str,
    *,
    problems: int = 128,
    samples: int = 16,
    ks: Sequence[int] = (1, 4, 16),
    temperature: float = 1.0,
    program: Program | None = None,
    actors: Mapping[str, Actor] | None = None,
    greedy: bool = True,
    seed: int = 0,
) -> tuple[Evaluation, list[list[Trace]]]:
    """Accuracy and pass@k over `samples` samples of the same `problems` problems each time; the traces, greedy one
    first.

    `program` answers instead of the task's own rollout, with the help of `actors` (a search with a value model); its
    last trace is the answer, and `tokens` counts all that was generated for it. Without `greedy` no answer is drawn at
    temperature 0. The intervals are 95 % percentile bootstraps over problems, so they speak of other problems of the
    kind.
    """
    chosen = task.fixed(split, problems)
    cost = Cost()
    everybody: Mapping[str, Actor] = {**(actors or {}), "policy": actor}
    run = program or natural(task)

    def rollouts(todo: list[Problem], sampling: Sampling, salt: int) -> list[Trace]:
        rng = random.Random(seed * 1_000_003 + salt)
        return [
            traces[-1]
            for traces in run_programs(
                run, todo, sampling, task=task, actors=everybody, actor="policy", rng=rng, cost=cost
            )
        ]

    best = rollouts(chosen, Sampling(temperature=0.0), 1) if greedy else []
    before = cost.generated_tokens
    drawn = rollouts([p for p in chosen for _ in range(samples)], Sampling(temperature=temperature), 2)
    tokens = (cost.generated_tokens - before) / max(1, len(drawn))
    judged(task, best, actor.world)
    judged(task, drawn, actor.world)
    gen = torch.Generator().manual_seed(seed)

    def interval(values: Sequence[float]) -> Interval:
        return Interval(*bootstrap_mean(torch.tensor(values, dtype=torch.float64), gen))

    by_problem = [drawn[i * samples : (i + 1) * samples] for i in range(len(chosen))]
    right = [sum(bool(t.solved) for t in traces) for traces in by_problem]
    votes = [vote(task, traces) for traces in by_problem]
    verdicts = [[bool(t.solved) for t in traces] for traces in by_problem]
    sure = "confidence" in task.gives
    result = Evaluation(
        problems=len(chosen),
        samples=samples,
        accuracy=interval([c / samples for c in right]),
        greedy=interval([float(bool(t.solved)) for t in best]) if greedy else None,
        pass_at={k: interval([pass_at_k(samples, c, k) for c in right]) for k in ks if k <= samples},
        maj_at={samples: interval([float(good) for _, good in votes])},
        length=sum(t.length for t in drawn) / max(1, len(drawn)),
        tokens=tokens if program else None,
        rewards={
            r.name: sum(t.rewards[r.name] for t in drawn) / max(1, len(drawn))
            for r in task.rewards
            if r.name != task.main or r.high == math.inf
        },
        outcomes=Outcomes(
            right=tuple(right),
            greedy=tuple(bool(t.solved) for t in best),
            votes=tuple(n for n, _ in votes),
            majority=tuple(good for _, good in votes),
            **(told([[confidence(t) for t in traces] for traces in by_problem], verdicts) if sure else {}),
        ),
    )
    firsts = [[g] for g in best] if greedy else [[] for _ in chosen]
    return result, [[*g, *ts] for g, ts in zip(firsts, by_problem, strict=True)]


def vote(task: Task, traces: Sequence[Trace]) -> tuple[int, bool]:
    """How many of the answers to a problem are the most frequent one, and whether that one is right.

    An answer counts as right if any trace with it was accepted; the one seen first wins a tie. (0, False) where there
    is no answer at all.
    """
    answers = [task.answer_of(t.text) or ("(accepted)" if t.solved else None) for t in traces]
    winner = majority(answers)
    right = {a for a, t in zip(answers, traces, strict=True) if t.solved}
    return (0, False) if winner is None else (answers.count(winner), winner in right)
