"""How well a model judges: reward models, process models and critics against preferences, verdicts and steps."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch

from sharpen.actor.base import Actor
from sharpen.actor.scoring import scores
from sharpen.errors import SharpenError
from sharpen.evaluate import judged
from sharpen.evaluation import Interval
from sharpen.maths import auroc, best_of_k, bootstrap_mean, brier
from sharpen.numbers import diverged, finite, sample, told
from sharpen.rollout.edit import cut
from sharpen.rollout.program import Program, natural, run_programs
from sharpen.task.base import Task
from sharpen.types import Sampling, Segment, Trace

Kind = Literal["reward", "implicit", "process", "value"]
"""What a model was trained to say: how good a whole answer is (by a score, or as a policy by how much likelier it has
become), whether each step is right, what will be earned."""

PLACES = {"first": 0.0, "middle": 0.5, "last": 1.0}
"""Where in an answer a critic is asked, as a share of its atoms."""


# ------------------------------------------------------------------ what a model says


def said_of(actor: Actor, traces: Sequence[Trace], want: str = "score") -> list[torch.Tensor]:
    """The scores of every trace (`scores`). NotFinite, with the sample, where one is NaN or infinite."""
    found = scores(actor, traces, want)
    for trace, x in zip(traces, found, strict=True):
        if not finite(x):
            value = told(float(x[~x.isfinite()][0]))
            raise diverged(f"The {want} by the model that is judged is {value}", sample(trace))
    return found


def totals(actor: Actor, traces: Sequence[Trace], reference: Actor | None = None) -> list[float]:
    """How good each trace is: the score at its last atom (0 without one), which `Judge` takes for a reward.

    With a `reference` the sum over atoms of log pi - log pi_ref, the implicit reward of DPO over beta (2305.18290,
    section 4).
    """
    if reference is None:
        return [float(x[-1]) if len(x) else 0.0 for x in said_of(actor, traces)]
    both = zip(said_of(actor, traces, "logp"), said_of(reference, traces, "logp"), strict=True)
    return [float((a - b).sum()) for a, b in both]


# ------------------------------------------------------------------ figures


def accuracy_of_pairs(chosen: Sequence[float], rejected: Sequence[float]) -> list[float]:
    """1 for each pair whose chosen reply scores higher, 1/2 where both score the same, else 0."""
    return [float(a > b) + 0.5 * (a == b) for a, b in zip(chosen, rejected, strict=True)]


def concordance(said: Sequence[float], values: Sequence[float]) -> float | None:
    """Share of the pairs of unequal value that scores rank alike, equal scores counting half; None without such a pair.

    (The area under the ROC curve where values are 0 and 1.)
    """
    pairs = [
        float((a - b) * (x - y) > 0) + 0.5 * (a == b)
        for (a, x), (b, y) in itertools.combinations(list(zip(said, values, strict=True)), 2)
        if x != y
    ]
    return sum(pairs) / len(pairs) if pairs else None


def best_of(
    said: Sequence[Sequence[float]], values: Sequence[Sequence[float]], ns: Sequence[int]
) -> dict[int, list[float]]:
    """For each n, every problem's expected value of the answer that scores highest among n of its pool."""
    return {n: [best_of_k(s, v, n) for s, v in zip(said, values, strict=True)] for n in ns}


def kl_of_best(n: int) -> float:
    """log n - (n - 1) / n: how far the best of n lies from the policy, at most, in nats (2112.09332, section 3.5)."""
    return math.log(n) - (n - 1) / n


def first_wrong(valid: Sequence[bool]) -> int:
    """Index of the first step that is not valid; -1 if all are."""
    return next((i for i, ok in enumerate(valid) if not ok), -1)


def step_f1(found: Sequence[int], true: Sequence[int]) -> dict[str, float | None]:
    """How often the first wrong step is found (ProcessBench, 2412.06559, section 4.1).

    `wrong` is the share of solutions with an error whose first one is named exactly, `right` that of solutions without
    one that are passed (-1 for both), `f1` their harmonic mean. A share of nothing is None.
    """
    hits: dict[bool, list[bool]] = {True: [], False: []}
    for a, b in zip(found, true, strict=True):
        hits[b >= 0].append(a == b)
    wrong, right = (sum(x) / len(x) if x else None for x in (hits[True], hits[False]))
    known = wrong is not None and right is not None
    return {"wrong": wrong, "right": right, "f1": harmonic(wrong or 0.0, right or 0.0) if known else None}


def harmonic(a: float, b: float) -> float:
    """2 a b / (a + b), 0 where both are."""
    return 2 * a * b / (a + b) if a + b else 0.0


def correlation(x: Sequence[float], y: Sequence[float]) -> float | None:
    """Pearson's correlation; None where either does not vary."""
    a, b = (torch.tensor(z, dtype=torch.float64) - math.fsum(z) / len(z) for z in (x, y))
    spread = float(a.norm() * b.norm())
    return float(a @ b) / spread if spread > 0 else None


# ------------------------------------------------------------------ the report


def judge_report(
    actor: Actor,
    policy: Actor,
    task: Task,
    *,
    kind: Kind = "reward",
    split: str = "test",
    problems: int = 64,
    samples: int = 16,
    ns: Sequence[int] = (1, 2, 4, 8, 16),
    temperature: float = 1.0,
    program: Program | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """What a model's judgement is worth, as plain data, from `samples` answers of `policy` to each of `problems`.

    Every kind of model: nothing but `kind`, `split`, `problems` and `samples`.

        reward   `pairs`: held-out preferences ranked as they are labelled, where the task has some, and `n` of them;
                 `ranking`: for every reward the task computes, pairs of answers to a problem that score and reward
                 rank alike; `best_of`: for every such reward and for the score itself, its mean for the best of n by
                 the score, n as in `ns`; `kl`: how far that is from the policy
        implicit the same for a policy that was trained from `policy`, scored by its log-ratio to that
        process  `steps`: see `step_f1`, a step counting as wrong where sigmoid(score) at its last atom is below 1/2,
                 and the number of solutions `with_error` among all
        value    `first`, `middle`, `last`: at these atoms, `brier` (the value cut to [0, 1]), `auroc` and `correlation`
                 of the value with whether the answer solves the problem

    Shares and means are `[low, mean, high]`, 95 % bootstraps over problems (over pairs for `pairs`).
    """
    ns = sorted({n for n in ns if 1 <= n <= samples})
    chosen = task.fixed(split, problems)
    if not chosen or not ns:
        raise SharpenError(
            f"There is nothing to judge: task {task.name!r} has {len(chosen)} problems in its split {split!r}, and "
            f"{samples} samples of each are drawn. Ask for at least one of both."
        )
    rng, gen = random.Random(seed), torch.Generator().manual_seed(seed)
    drawn = run_programs(
        program or natural(task),
        [p for p in chosen for _ in range(samples)],
        Sampling(temperature),
        task=task,
        actors={"policy": policy},
        actor="policy",
        rng=rng,
    )
    traces = [some[-1] for some in drawn]
    judged(task, traces)
    out: dict[str, Any] = {"kind": kind, "split": split, "problems": len(chosen), "samples": samples}
    if kind == "process":
        return out | {"steps": _steps(actor, policy, task, traces)}
    if kind == "value":
        return out | _critic(actor, traces)
    reference = policy if kind == "implicit" else None
    if "pairs" in task.gives:
        out["pairs"] = _held_out(actor, policy, reference, task, split, gen)
    said = totals(actor, traces, reference)

    def rows(x: Sequence[float]) -> list[Sequence[float]]:
        return [x[i : i + samples] for i in range(0, len(x), samples)]

    values = {r.name: [t.rewards[r.name] for t in traces] for r in task.rewards}
    ranked = {name: [concordance(s, v) for s, v in zip(rows(said), rows(x), strict=True)] for name, x in values.items()}
    known = {name: [c for c in found if c is not None] for name, found in ranked.items()}
    curves = {name: best_of(rows(said), rows(x), ns) for name, x in (values | {"score": said}).items()}
    return out | {
        "ranking": {name: _interval(found, gen) for name, found in known.items() if found},
        "best_of": {name: {n: _interval(x, gen) for n, x in curve.items()} for name, curve in curves.items()},
        "kl": {n: kl_of_best(n) for n in ns},
    }


def _interval(values: Sequence[float], gen: torch.Generator) -> list[float]:
    return list(Interval(*bootstrap_mean(torch.tensor(values, dtype=torch.float64), gen)))


def _held_out(
    actor: Actor, policy: Actor, reference: Actor | None, task: Task, split: str, gen: torch.Generator
) -> Mapping[str, Any]:
    pairs = task.pairs(split)
    if not pairs:
        return {"n": 0}

    def given(text: str, i: int) -> Trace:
        return Trace(pairs[i].problem, [*policy.prompt(pairs[i].problem), policy.given(text)])

    better = totals(actor, [given(p.chosen, i) for i, p in enumerate(pairs)], reference)
    worse = totals(actor, [given(p.rejected, i) for i, p in enumerate(pairs)], reference)
    return {"n": len(pairs), "accuracy": _interval(accuracy_of_pairs(better, worse), gen)}


def _steps(actor: Actor, policy: Actor, task: Task, traces: Sequence[Trace]) -> Mapping[str, float | None]:
    if "steps" not in task.gives:
        raise SharpenError(
            f"Task {task.name!r} cannot check steps, so a process model cannot be measured on it. Choose a task that "
            "gives `steps` (`sharpen tasks`)."
        )
    found, true = [], []
    for trace, said in zip(traces, said_of(actor, traces), strict=True):
        pieces: list[Segment] = [x for s in trace.actions for x in cut(s, policy.decode, "\n")]
        ends = torch.tensor([len(x) for x in pieces], dtype=torch.long).cumsum(0) - 1
        found.append(first_wrong((said[ends] >= 0).tolist()))  # sigmoid(0) is 1/2
        true.append(first_wrong(task.check_steps(trace.problem, [x.text or "" for x in pieces])))
    return step_f1(found, true) | {"with_error": sum(i >= 0 for i in true), "solutions": len(true)}


def _critic(actor: Actor, traces: Sequence[Trace]) -> dict[str, Any]:
    solved = torch.tensor([bool(t.solved) for t in traces])
    said = said_of(actor, traces, "value")
    out: dict[str, Any] = {}
    for name, share in PLACES.items():
        at = torch.stack([x[round(share * (len(x) - 1))] for x in said])
        both = bool(solved.any()) and not bool(solved.all())
        out[name] = {
            "brier": brier(at.clamp(0, 1), solved),
            "auroc": auroc(at, solved) if both else None,
            "correlation": correlation(at.tolist(), solved.float().tolist()),
        }
    return out
