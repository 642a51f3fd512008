"""What each optimisation saves, and that it leaves learning as it was: GRPO with it and with it undone.

`python benchmarks/curves.py [--threads N] [--repeats N]`. Two runs from the same base model and the same seed go
through the same iterations of Dr. GRPO on the chain task, 8 problems x 8 answers, step by step in turn; in one of them
the optimisation is undone by a patch that this file makes and takes back. Loss, norm of the gradient and reward must
agree within the tolerance, which stands here and was not fitted; the script ends with status 1 where they do not.
`--repeats` is the number of iterations.
"""

from __future__ import annotations

import contextlib
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

import common
import torch

from sharpen.actor import logprob, text
from sharpen.actor.engine.local import _Decoding
from sharpen.actor.language import LanguageActor
from sharpen.learner import Learner
from sharpen.loop import Trainer
from sharpen.overrides import override
from sharpen.recipe import Recipe
from sharpen.recipes.policy import dr_grpo
from sharpen.rollout.edit import Annotate
from sharpen.run.opening import open_policy, open_task
from sharpen.run.setup import Setup

PROBLEMS, SAMPLES = 8, 8
EXACT = 1e-4
"""What rounding in float32 may change: relative to the largest value of the run with the optimisation."""
BAND = 0.08
"""What rounding to bfloat16 may change in the share of solved answers, in the mean over all iterations."""
ALL = 10**9

RECIPE: Recipe = override(dr_grpo, (f"Loop.problems={PROBLEMS}", f"Sample.n={SAMPLES}"))
FIGURES = {"loss": "loss/ppoclip", "gradient norm": "grad_norm", "reward": "solved"}
Patch = contextlib.AbstractContextManager[Any]


@dataclass(frozen=True)
class Side:
    """A run, and the patch under which it steps."""

    recipe: Recipe = RECIPE
    micro_tokens: int = 8192
    dtype: str = "float32"
    patch: Callable[[], Patch] = contextlib.nullcontext

    def trainer(self, task: Any) -> Trainer:
        """One at its beginning."""
        actor = open_policy(Setup(), task)
        assert isinstance(actor, LanguageActor)
        same = LanguageActor(actor.module, actor.tokenizer, **actor.options() | {"compute": getattr(torch, self.dtype)})
        return Trainer(self.recipe, task, same, micro_tokens=self.micro_tokens)


def whole_prompts() -> Patch:
    """Every row comes with its prompt."""
    return mock.patch.object(text, "shared", return_value=None)


def every_row() -> Patch:
    """Rows without credit go forward and back, too."""
    return mock.patch.object(Learner, "_bundles", lambda self, rows, *_: [[i] for i in range(len(rows))])


def logits_in_chunks_of(elements: int) -> Callable[[], Patch]:
    """So many logits at once."""
    return lambda: mock.patch.object(logprob, "ELEMENTS", elements)


@contextlib.contextmanager
def kept_rows() -> Iterator[None]:
    """Rows that ended are computed on, unrecorded, until the last one ends. (All must have started together.)"""
    draw = _Decoding.draw

    def drawn(self: Any, start: int, logits: torch.Tensor) -> list[int]:
        gone: set[int] = self.__dict__.setdefault("gone", set())
        ended = draw(self, start, logits)
        if gone:
            left = torch.tensor([i for i in range(len(self.names)) if i not in gone])
            self.record[-1] = tuple(x[left] for x in self.record[-1])
        gone |= set(ended)
        return list(range(len(self.names))) if len(gone) == len(self.names) else []

    with mock.patch.object(_Decoding, "draw", drawn):
        yield


SCORED = replace(RECIPE, collect=(*RECIPE.collect, Annotate("policy", into="logp_old")))
"""The trainer scores what was drawn before it updates, instead of taking the rollout's word."""

FOURS = override(RECIPE, ("Loop.problems=16", "Sample.n=4"))
"""Groups so small that some of them are all right or all wrong."""

CHANGES: dict[str, tuple[Side, Side, float]] = {
    "shared prompts go through the model once": (Side(), Side(patch=whole_prompts), EXACT),
    "rows without credit are left out of the update (16 x 4)": (Side(FOURS), Side(FOURS, patch=every_row), EXACT),
    "log-probs of the rollout, not of a second forward pass": (Side(), Side(SCORED), EXACT),
    "rows that ended are dropped while sampling": (Side(), Side(patch=kept_rows), EXACT),
    "log-probs in chunks of 2^14 logits, not all at once": (
        Side(patch=logits_in_chunks_of(2**14)),
        Side(patch=logits_in_chunks_of(2**40)),
        EXACT,
    ),
    "micro-batches of 2048 tokens, not all rows at once": (Side(micro_tokens=2048), Side(micro_tokens=ALL), EXACT),
    "micro-batches of 8192 tokens (all rows, here), not of 2048": (Side(), Side(micro_tokens=2048), EXACT),
    "bfloat16": (Side(dtype="bfloat16"), Side(), BAND),
}


def step(side: Side, trainer: Trainer) -> tuple[float, dict[str, float]]:
    """Seconds and figures of an iteration."""
    with side.patch():
        start = time.perf_counter()
        told = trainer.step()
        took = time.perf_counter() - start
    return took, {name: told.metrics[key] for name, key in FIGURES.items()}


def apart(told: list[list[dict[str, float]]], name: str) -> float:
    """The largest difference of a figure, relative to the largest value it has."""
    mine, other = ([x[name] for x in side] for side in told)
    return max(abs(a - b) for a, b in zip(mine, other, strict=True)) / max(map(abs, mine))


def main() -> None:
    """A row an optimisation."""
    iterations = common.asked(__doc__, 10)
    task = open_task(Setup())
    Side().trainer(task).step()  # to warm up
    rows, figures, odd = [], {}, []
    for what, (with_it, without, tolerance) in CHANGES.items():
        sides = (with_it, without)
        trainers = [side.trainer(task) for side in sides]
        seconds: list[list[float]] = [[], []]
        told: list[list[dict[str, float]]] = [[], []]
        for i in range(iterations):
            for k in (0, 1) if i % 2 else (1, 0):
                took, found = step(sides[k], trainers[k])
                seconds[k].append(took)
                told[k].append(found)
        times = [common.Times(tuple(x)) for x in seconds]
        if tolerance == BAND:
            means = [statistics.mean(x["reward"] for x in side) for side in told]
            gaps = {"reward": abs(means[0] - means[1])}
            texts = ["", "", f"{means[0]:.3f} and {means[1]:.3f}"]
        else:
            gaps = {name: apart(told, name) for name in FIGURES}
            texts = [f"{x:.1e}" for x in gaps.values()]
        if max(gaps.values()) > tolerance:
            odd.append(what)
        rows.append([what, *(t.text() for t in times), common.ratio(times[1], times[0]), *texts, f"{tolerance:g}"])
        figures[what] = {"seconds": seconds, "told": told}
        print(" | ".join(rows[-1]), flush=True)
    head = ["", "an iteration with it", "without", "without over with", *FIGURES, "allowed"]
    text = f"Chain, {PROBLEMS} problems x {SAMPLES} answers, {iterations} iterations, the same seed. Loss, norm of the "
    text += "gradient and reward: the largest difference relative to the largest value; of bfloat16 the mean rewards."
    common.keep("curves", "What each optimisation saves", f"{text}\n\n{common.table(head, rows)}", figures)
    if odd:
        sys.exit(f"Beyond the tolerance: {'; '.join(odd)}.")


if __name__ == "__main__":
    main()
