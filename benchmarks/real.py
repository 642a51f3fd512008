"""A run of GRPO as it is: answers that end when they end, groups that teach nothing, and a task that is learnt.

`python benchmarks/real.py [--threads N] [--repeats N]`. Ours and TRL's train the base model that `sharpen train` starts
from on the chain task, from the same weights, on the same problems in the same order, judged by the same verifier: 8
problems, 16 answers each, 12 steps, the loss and credit of `grpo` without a reference. Runs of the two take turns, each
turn with a seed of its own; a second is a second of a whole step. What they draw differs, so what they learn does.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import Any

import common
import grpo
import peers
import torch

from sharpen.actor.language import LanguageActor
from sharpen.evaluate import evaluate
from sharpen.loop import Trainer
from sharpen.overrides import override
from sharpen.run.opening import open_policy, open_task
from sharpen.run.setup import Setup
from sharpen.types import Problem, Segment, Trace

PROBLEMS, SAMPLES, STEPS = 8, 16, 12
EDGE = 3
"""Steps at the start and at the end whose mean reward is shown."""


@dataclass(frozen=True)
class Told:
    """What a run was like, a number for each step but for `held`: the share of held-out problems solved after it."""

    seconds: tuple[float, ...]
    reward: list[float]
    length: list[float]
    silent: list[float]
    held: float


def solved(actor: Any, task: Any) -> float:
    """Share of held-out answers that are right."""
    return float(evaluate(actor, task, "test", problems=128, samples=4, ks=(1,), greedy=False)[0].accuracy.mean)


def ours(task: Any, seed: int) -> tuple[Told, list[Problem]]:
    """A run of ours, and the problems it drew."""
    actor = open_policy(Setup(), task)
    assert isinstance(actor, LanguageActor)
    sizes = (f"Loop.problems={PROBLEMS}", f"Sample.n={SAMPLES}", f"Loop.iterations={STEPS}")
    trainer = Trainer(override(grpo.PLAIN, sizes), task, actor, seed=seed)
    seconds, problems, done = [], [], []
    for _ in range(STEPS):
        start = time.perf_counter()
        one = trainer.step()
        seconds.append(time.perf_counter() - start)
        done.append(one.metrics)
        problems += [g.problem for g in one.groups]
    columns = [[m[name] for m in done] for name in ("solved", "length", "groups/signal")]
    reward, length, signal = columns
    return Told(tuple(seconds[1:]), reward, length, [1 - s for s in signal], solved(actor, task)), problems


def theirs(task: Any, problems: list[Problem]) -> Told:
    """A run of TRL's on the same problems."""
    actor = open_policy(Setup(), task)
    assert isinstance(actor, LanguageActor)

    def reward(completions: list[Any], row: list[int], **_: Any) -> list[float]:
        traces = [
            Trace(problems[i], [Segment(torch.zeros(0), trainable=True, text=c[0]["content"])])
            for c, i in zip(completions, row, strict=True)
        ]
        return [task.verify(t.problem, t)["correct"] for t in traces]

    told = peers.grpo(
        actor.module,
        actor.tokenizer,
        [{"prompt": [{"role": "user", "content": p.prompt}], "row": i} for i, p in enumerate(problems)],
        reward,
        samples=SAMPLES,
        length=task.max_tokens,
        steps=STEPS,
        prompts=PROBLEMS,
        rate=actor.rate,
        logging_strategy="steps",
        logging_steps=1,
        mask_truncated_completions=False,
        scale_rewards="group",
        epsilon=0.2,
        **peers.WHOLE,
    )
    columns = [told.column(n) for n in ("reward", "completions/mean_length", "frac_reward_zero_std")]
    return Told(told.seconds, *columns, held=solved(actor, task))


def main() -> None:
    """The two in turn, and what became of them."""
    seeds = range(common.asked(__doc__, 3))
    task = open_task(Setup())
    base = solved(open_policy(Setup(), task), task)
    runs: dict[str, list[Told]] = {"sharpen": []}
    if peers.HERE:
        peers.quiet()
        runs["TRL"] = []
    ours(task, len(seeds))  # to warm up
    for seed in seeds:
        mine, problems = ours(task, seed)
        runs["sharpen"].append(mine)
        if peers.HERE:
            runs["TRL"].append(theirs(task, problems))
    rows = []
    times = {side: common.Times(tuple(statistics.mean(r.seconds) for r in told)) for side, told in runs.items()}
    for side, told in runs.items():
        tokens = statistics.mean(PROBLEMS * SAMPLES * x for r in told for x in r.length)
        silent = statistics.mean(x for r in told for x in r.silent)
        first = statistics.mean(x for r in told for x in r.reward[:EDGE])
        last = statistics.mean(x for r in told for x in r.reward[-EDGE:])
        held = ", ".join(f"{r.held:.3f}" for r in told)
        over = common.ratio(times[side], times["sharpen"])
        row = [side, times[side].text(), over, f"{tokens:,.0f}", f"{silent:.0%}", f"{first:.3f}", f"{last:.3f}", held]
        rows.append(row)
    text = f"Chain, {PROBLEMS} problems x {SAMPLES} answers, {STEPS} steps at the rate of `sharpen train`, "
    text += f"{len(seeds)} seeds, float32, without a reference"
    text += f"{', TRL ' + str(common.version('trl')) if peers.HERE else ''}. "
    text += f"The base solves {base:.3f} of held-out answers. The first step of a run is not timed.\n\n"
    edges = [f"reward, {end} {EDGE} steps" for end in ("first", "last")]
    head = ["", "a step", "over ours", "tokens a step", "groups without signal", *edges, "held out, each seed"]
    text += common.table(head, rows)
    text += "\n\nGroups whose answers all earn the same teach nothing: ours makes no pass over them in the update."
    figures = {side: [vars(r) for r in told] for side, told in runs.items()}
    common.keep("real", "A run of GRPO on a task", text, figures)


if __name__ == "__main__":
    main()
