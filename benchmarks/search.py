"""Tree search that asks for what many problems need at once, next to one problem after another and to plain sampling.

`python benchmarks/search.py [--threads N] [--repeats N]`. A search waits for its samples, so its tokens come slower
than those of plain answers; how much slower depends on how full the batches are. The value model is untrained, which
changes what is found and not what is computed.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from functools import partial

import common

from sharpen.actor.language import LanguageActor
from sharpen.actor.value import ValueActor
from sharpen.cost import Cost
from sharpen.rollout.program import Program, answer, run_programs
from sharpen.search import MCTS
from sharpen.task.chain import Chain
from sharpen.types import Problem, Sampling

PROBLEMS, SIMS = 32, 8


def main() -> None:
    """Tokens a second of each way."""
    repeats = common.asked(__doc__, 3)
    task = Chain(low=4, high=4, harder_low=5, harder_high=5)
    actor = LanguageActor(common.NANO.model(), common.tokenizer(), rate=1e-5, max_context=512, max_tokens=48)
    actors = {"policy": actor, "value": ValueActor(actor)}
    problems = task.fixed("test", PROBLEMS)
    search = MCTS(sims=SIMS, expand=3, leaves=2)
    tokens: dict[str, int] = {}

    def play(name: str, program: Program, batches: Sequence[Sequence[Problem]]) -> float:
        cost, rng = Cost(), random.Random(0)
        start = time.perf_counter()
        for some in batches:
            run_programs(program, some, Sampling(), task=task, actors=actors, actor="policy", rng=rng, cost=cost)
        tokens[name] = cost.generated_tokens
        return time.perf_counter() - start

    one_by_one = [[p] for p in problems]
    ways: dict[str, tuple[Program, Sequence[Sequence[Problem]]]] = {
        "plain answers, all at once": (answer, [problems * 8]),
        "search, all at once": (search, [problems]),
        "search, one problem after another": (search, one_by_one),
    }
    sides: dict[str, Callable[[], float | None]] = {n: partial(play, n, *how) for n, how in ways.items()}
    times = common.turns(sides, repeats)
    batched = times["search, all at once"]
    rows = [
        [name, t.text(), f"{tokens[name]:,}", f"{tokens[name] / t.middle:,.0f}", common.ratio(t, batched)]
        for name, t in times.items()
    ]
    text = f"{PROBLEMS} problems, {SIMS} simulations of 3 steps each, two leaves at once, every step judged by a value "
    text += f"model; {common.NANO.name} parameters, float32.\n\n"
    text += common.table(["", "time", "tokens", "tokens a second", "over search at once"], rows)
    common.keep("search", "Search", text, {name: t.seconds for name, t in times.items()})


if __name__ == "__main__":
    main()
