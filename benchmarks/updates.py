"""A step of imitation, of DPO and of a reward model next to TRL's, on the same weights and the same texts.

`python benchmarks/updates.py [--threads N] [--repeats N]`. Each step is made on the same 32 rows: prompts of 24 tokens,
replies of 16 to 128 drawn once, loss on replies alone, reference log-probs scored in the step on both sides. Before
anything is timed, both sides make three steps from the same weights; if a loss of theirs differs by more than one in a
thousand, the work is not the same and the script ends with status 1.
"""

from __future__ import annotations

import copy
import random
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import common
import peers
import torch

from sharpen.actor.language import LanguageActor
from sharpen.loop import Trainer
from sharpen.overrides import override
from sharpen.recipe import Recipe
from sharpen.recipes.preference import dpo
from sharpen.recipes.reward import bt
from sharpen.recipes.selftrain import sft
from sharpen.source.problems import Pass
from sharpen.task.base import Preference, Task
from sharpen.types import Problem, Trace

ROWS, PROMPT, SHORTEST, LONGEST = 32, 24, 16, 128
STEPS = 3
MICRO = 2048
"""Tokens of a smaller pass than the usual one of 8192, which holds all rows: less padding."""
TOLERANCE = 1e-3
RATE = 1e-3
"""In the comparison of losses: so much that three steps tell."""


def letters(rng: random.Random, n: int) -> str:
    """Text of `n` tokens."""
    return "".join(rng.choices(common.LETTERS, k=n))


class Texts(Task):
    """Random prompts, each with a reply to imitate and another; a reply and its end are 16 to 128 tokens."""

    name = "texts"
    gives = frozenset({"solution", "pairs"})
    splits = ("train",)

    def __init__(self) -> None:
        rng = random.Random(0)
        self.table = [
            (letters(rng, PROMPT), *(letters(rng, rng.randint(SHORTEST, LONGEST) - 1) for _ in range(2)))
            for _ in range(ROWS)
        ]
        self.problems = [Problem(str(i), p, "", (a,)) for i, (p, a, _) in enumerate(self.table)]

    def draw(self, split: str, rng: random.Random) -> Problem:
        """Any row."""
        return rng.choice(self.problems)

    def fixed(self, split: str, n: int) -> list[Problem]:
        """The rows in order."""
        return self.problems[:n]

    def pairs(self, split: str) -> Sequence[Preference]:
        """As many as make the same number of rows."""
        return [Preference(self.problems[i], *self.table[i][1:]) for i in range(ROWS // 2)]

    def verify(self, problem: Problem, trace: Trace) -> Mapping[str, float]:
        """Nothing is judged."""
        return {"correct": 0.0}


@dataclass(frozen=True)
class Kind:
    """A method on both sides: our recipe, what TRL calls its trainer, and the rows as it wants them."""

    name: str
    recipe: Recipe
    theirs: str
    rows: Callable[[Texts], list[dict[str, str]]]
    more: tuple[tuple[str, dict[str, Any]], ...] = ()
    """Further sides of TRL, by name, with their options."""


def paired(task: Texts) -> list[dict[str, str]]:
    """Prompt, chosen and rejected."""
    return [{"prompt": p, "chosen": a, "rejected": b} for p, a, b in task.table[: ROWS // 2]]


def plain(recipe: Recipe, problems: int) -> Recipe:
    """The recipe with one step on all rows an iteration, at the model's own rate, without end."""
    whole = replace(recipe, updates=tuple(replace(u, minibatch=0) for u in recipe.updates))  # type: ignore[type-var]
    sizes = (f"Loop.problems={problems}", "Loop.iterations=100000")
    return override(whole, (*sizes, "AdamW.scale=1", "AdamW.warmup=0"))  # type: ignore[return-value]


KINDS = (
    Kind(
        "SFT",
        plain(replace(sft, source=Pass(ROWS)), ROWS),
        "SFT",
        lambda task: [{"prompt": p, "completion": a} for p, a, _ in task.table],
        (("padding-free, float32", {"padding_free": True, "max_length": None, **peers.WHOLE}),),
    ),
    Kind("DPO", plain(dpo, ROWS // 2), "DPO", paired),
    Kind("reward model", plain(bt, ROWS // 2), "Reward", paired),
)


def ours(kind: Kind, dtype: torch.dtype, rate: float = peers.RATE, micro_tokens: int = 8192) -> Trainer:
    """A run of ours on the texts."""
    actor = LanguageActor(common.NANO.model(), common.tokenizer(), rate=rate, max_context=512, compute=dtype)
    return Trainer(kind.recipe, Texts(), actor, micro_tokens=micro_tokens)


def model_of(kind: Kind) -> Any:
    """The weights that ours starts with as TRL wants them."""
    if kind.theirs != "Reward":
        return common.NANO.model()
    from transformers import Qwen3ForSequenceClassification

    scorer: Any = ours(kind, torch.float32).ctx.actors["rm"].module  # type: ignore[attr-defined]
    config = copy.deepcopy(scorer["model"].config)
    config.num_labels = 1
    made = Qwen3ForSequenceClassification(config)
    made.model.load_state_dict(scorer["model"].model.state_dict())
    made.score.weight.data.copy_(scorer["head"].weight.data)
    return made


def their_step(kind: Kind, model: Any, how: Mapping[str, Any]) -> float:
    """Seconds of a step of TRL's."""
    return peers.updates(kind.theirs, model, common.tokenizer(), kind.rows(Texts()), STEPS + 1, **how).step


def losses(kind: Kind, how: dict[str, Any]) -> tuple[list[float], list[float]]:
    """Of the first steps from the same weights, ours and TRL's."""
    trainer = ours(kind, torch.float32, RATE)
    label = trainer.learners[0].update.terms[0].label
    mine = [trainer.step().metrics[f"loss/{label}"] for _ in range(STEPS)]
    logged = {"logging_strategy": "steps", "logging_steps": 1, "rate": RATE}
    told = peers.updates(kind.theirs, model_of(kind), common.tokenizer(), kind.rows(Texts()), STEPS, **logged, **how)
    return mine, told.column("loss")


def compare(kind: Kind, repeats: int) -> tuple[str, dict[str, Any]]:
    """A section on one method, and its figures."""

    def step(trainer: Trainer) -> float:
        start = time.perf_counter()
        for _ in range(STEPS):
            trainer.step()
        return (time.perf_counter() - start) / STEPS

    said, checked = "", {}
    sides: dict[str, Callable[[], float | None]] = {
        f"sharpen, {name}": partial(step, ours(kind, getattr(torch, name))) for name in ("float32", "bfloat16")
    }
    sides[f"sharpen, float32, {MICRO} tokens a pass"] = partial(step, ours(kind, torch.float32, micro_tokens=MICRO))
    if peers.HERE:
        rows = ROWS if kind.theirs == "SFT" else ROWS // 2
        parts = {"per_device_train_batch_size": rows // 4, "gradient_accumulation_steps": 4, **peers.WHOLE}
        whole = [("float32", peers.WHOLE), ("float32, 4 passes", parts), *kind.more]
        for name, how in whole:
            checked[name] = mine, other = losses(kind, how)
            gap = max(abs(a - b) / abs(a) for a, b in zip(mine, other, strict=True))
            texts = [", ".join(f"{x:.5f}" for x in side) for side in (mine, other)]
            said += f"\nLosses of {STEPS} steps at a rate of {RATE}: {texts[0]}; TRL, {name}: {texts[1]} "
            said += f"(at most {gap:.1e} apart; {TOLERANCE} is allowed)."
            if gap > TOLERANCE:
                sys.exit(f"{kind.name}: the two sides do not do the same work.{said}")
        for name, how in (*whole, ("its defaults", peers.DEFAULTS)):
            # each its own model, for it stays as a trainer has set it up (recomputing activations)
            sides[f"TRL, {name}"] = partial(their_step, kind, model_of(kind), how)
    times = common.turns(sides, repeats)
    lines = [
        [name, t.text(), *(common.ratio(t, times[f"sharpen, {d}"]) for d in ("float32", "bfloat16"))]
        for name, t in times.items()
    ]
    head = [kind.name, "a step", "over our float32", "over our bfloat16"]
    figures = {"seconds": {n: t.seconds for n, t in times.items()}, "losses": checked}
    return common.table(head, lines) + f"\n{said}", figures


def main() -> None:
    """The three of them."""
    repeats = common.asked(__doc__, 4)
    if peers.HERE:
        peers.quiet()
    found = {kind.name: compare(kind, repeats) for kind in KINDS}
    text = f"{ROWS} rows a step: prompts of {PROMPT} tokens, replies of {SHORTEST} to {LONGEST}, {common.NANO.name} "
    text += f"parameters{', TRL ' + str(common.version('trl')) if peers.HERE else ''}.\n\n"
    text += "\n\n".join(section for section, _ in found.values())
    common.keep("updates", "A step of imitation, DPO and a reward model", text, {n: f for n, (_, f) in found.items()})


if __name__ == "__main__":
    main()
