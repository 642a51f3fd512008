"""A step of GRPO next to TRL's, on the same model, prompts and numbers of samples and tokens.

`python benchmarks/grpo.py [--threads N] [--repeats N]`. Both sample 8 prompts 16 times, 64 tokens each, score them by
the same reward, and make one update with the clipped loss and AdamW, without a reference model. Nothing ends early. TRL
runs in float32 without recomputing activations, and with the precision and the recomputing it has by default. Without
TRL only our own times are shown.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import common
import peers
import torch

from sharpen.actor.language import LanguageActor
from sharpen.loop import Trainer
from sharpen.overrides import override
from sharpen.recipe import Recipe
from sharpen.recipes.policy import dr_grpo
from sharpen.task.base import Task
from sharpen.types import Problem, Trace

PROMPTS, SAMPLES, LENGTH = 8, 16, 64

PLAIN: Any = override(dr_grpo, ("GroupNorm.scale=std", "Term.mean_over=trace"))
"""GRPO without a reference."""


class Even(Task):
    """Prompts of 24 letters drawn at random; any text of `length` earns something, and no two quite the same."""

    name = "even"
    gives = frozenset({"answer"})
    splits = ("train",)

    def __init__(self, length: int = LENGTH) -> None:
        self.max_tokens = length

    def rewarded(self, text: str) -> float:
        """The share of characters of even code."""
        return sum(ord(c) % 2 == 0 for c in text) / self.max_tokens

    def draw(self, split: str, rng: random.Random) -> Problem:
        """Any prompt."""
        text = prompt(rng)
        return Problem(text, text, "")

    def fixed(self, split: str, n: int) -> list[Problem]:
        """The first prompts of a seed."""
        rng = random.Random(0)
        return [self.draw(split, rng) for _ in range(n)]

    def verify(self, problem: Problem, trace: Trace) -> Mapping[str, float]:
        """How even the answer is."""
        return {"correct": self.rewarded(trace.text)}


def prompt(rng: random.Random) -> str:
    """24 letters."""
    return "".join(rng.choices(common.LETTERS, k=24))


def ours(
    size: common.Size, recipe: Recipe, prompts: int, samples: int, length: int, dtype: torch.dtype, model: Any = None
) -> Trainer:
    """A run of a recipe whose answers never end early."""
    actor = LanguageActor(
        model or size.model(), common.tokenizer(), rate=1e-5, max_context=size.context, max_tokens=length, compute=dtype
    )
    actor.engine.end_tokens = frozenset()
    plain = override(recipe, (f"Loop.problems={prompts}", f"Sample.n={samples}", "Loop.iterations=100000"))
    return Trainer(plain, Even(length), actor)


def theirs(model: Any, prompts: int, samples: int, length: int, steps: int, **how: Any) -> peers.Trained:
    """TRL's for `steps` steps of the same kind; `how` goes to its options."""
    task, rng = Even(length), random.Random(0)
    return peers.grpo(
        model,
        common.tokenizer(),
        [{"prompt": prompt(rng)} for _ in range(prompts * steps)],
        lambda completions, **_: [task.rewarded(c) for c in completions],
        samples=samples,
        length=length,
        steps=steps,
        prompts=prompts,
        generation_kwargs={"min_new_tokens": length},
        **how,
    )


def their_step(model: Any, steps: int, how: Mapping[str, Any]) -> float:
    """Seconds of a step of TRL's."""
    return theirs(model, PROMPTS, SAMPLES, LENGTH, steps, **how).step


class Parts:
    """Where the time of our step goes: sampling, the update, and the rest."""

    def __init__(self, trainer: Trainer) -> None:
        self.spent = {"sampling": 0.0, "update": 0.0}
        self._watch(trainer.policy, "sample", "sampling")
        for learner in trainer.learners:
            self._watch(learner, "learn", "update")

    def _watch(self, owner: Any, method: str, name: str) -> None:
        was = getattr(owner, method)

        def timed(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            try:
                return was(*args, **kwargs)
            finally:
                self.spent[name] += time.perf_counter() - start

        setattr(owner, method, timed)


def products(model: Any, prompts: int, samples: int, length: int) -> dict[str, float]:
    """Floating-point operations of the matrix products with weights, which are most: 2 a weight and token forward.

    Prompts are read once each, in the update forward and twice backward.
    """
    tokens = prompts * (24 + samples * length)
    forward = 2 * common.parameters(model) * tokens
    return {"sampling": forward, "update": 3 * forward}


def main() -> None:
    """The comparison and the parts."""
    repeats = common.asked(__doc__, 5)
    size = common.NANO
    work = (PROMPTS, SAMPLES, LENGTH)
    steps = 2
    trainers = {f"sharpen, {name}": ours(size, PLAIN, *work, getattr(torch, name)) for name in ("float32", "bfloat16")}
    parts = {name: Parts(trainer) for name, trainer in trainers.items()}

    def step(trainer: Trainer) -> float:
        start = time.perf_counter()
        for _ in range(steps):
            trainer.step()
        return (time.perf_counter() - start) / steps

    sides: dict[str, Callable[[], float | None]] = {name: partial(step, t) for name, t in trainers.items()}
    if peers.HERE:
        peers.quiet()
        for name, how in (("float32", peers.WHOLE), ("its defaults", peers.DEFAULTS)):
            # each its own model, for it stays as a trainer has set it up (recomputing activations)
            sides[f"TRL, {name}"] = partial(their_step, size.model(), steps + 1, how)
    times = common.turns(sides, repeats)
    rows = [
        [name, t.text(), *(common.ratio(t, times[f"sharpen, {d}"]) for d in ("float32", "bfloat16"))]
        for name, t in times.items()
    ]
    text = f"{PROMPTS} prompts of 24 tokens, {SAMPLES} samples of {LENGTH} tokens each, {size.name} parameters"
    text += f"{', TRL ' + str(common.version('trl')) if peers.HERE else ''}.\n\n"
    text += common.table(["", "a step", "over our float32", "over our bfloat16"], rows)
    text += "\n\nWhere our steps go, next to the time of their matrix products at the rate of one large product:\n\n"
    rows = []
    for name, trainer in trainers.items():
        dtype = trainer.policy.compute  # type: ignore[attr-defined]
        rate = common.product_rate(dtype)
        least = products(trainer.policy.module, *work)
        for part, spent in parts[name].spent.items():
            each, ideal = spent / trainer.ctx.step, least[part] / rate
            rows.append([f"{name}: {part}", common.shown(each), common.shown(ideal), f"{ideal / each:.0%}"])
        rows.append([f"{name}: rate", f"{rate / 1e9:.0f} GFLOP/s", "", ""])
    text += common.table(["part", "seconds", "matrix products alone", "share"], rows)
    text += f"\n\nPeak memory of the process: {common.peak_memory():.0f} MiB."
    common.keep("grpo", "A step of GRPO", text, {name: t.seconds for name, t in times.items()})


if __name__ == "__main__":
    main()
