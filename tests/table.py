"""One row a recipe; each row buys every generic test in test_table.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from sharpen.credit.peers import GroupNorm
from sharpen.recipe import Recipe
from sharpen.recipes import recipe
from sharpen.reward.verify import Total, Verify
from sharpen.rollout.sample import Sample


@dataclass(frozen=True)
class Row:
    """A recipe made small, what it must reach on the toy, and a twin that must be refused for a stated reason.

    The toy base answers 46 % of the problems right; `reach` is the accuracy after `iterations`, for every seed.
    """

    recipe: Recipe
    reach: float
    broken: Callable[[Recipe], Recipe]
    because: str
    state: tuple[str, ...] = ("rng", "gen", "weights", "learners")
    """What the recipe depends on from one iteration to the next."""

    @property
    def name(self) -> str:
        return self.recipe.name


def small(name: str, iterations: int, problems: int = 16, minibatch: int = 0) -> Recipe:
    """A built-in recipe with a budget and a rate for a toy; everything else as it is."""
    r = recipe(name)
    updates = tuple(
        replace(u, optimiser=replace(u.optimiser, lr=3e-3, scale=1.0, warmup=0), minibatch=minibatch or u.minibatch)
        for u in r.updates
    )
    return replace(r, loop=replace(r.loop, iterations=iterations, problems=problems), updates=updates)


TABLE = [
    Row(
        small("sft", 40, minibatch=8),
        reach=0.97,
        broken=lambda r: replace(r, updates=(replace(r.updates[0], actor="teacher"),)),
        because="trains the actor 'teacher'",
    ),
    Row(
        small("expert-iteration", 40, minibatch=4),
        reach=0.9,
        broken=lambda r: replace(r, collect=(Sample(4), Total())),
        because="Total reads 'reward:*'",
    ),
    Row(
        small("rest-em", 12, minibatch=4),
        reach=0.65,  # twenty steps from the base, however often it has begun anew
        state=("rng", "gen"),  # each iteration imitates from the base, with a fresh optimiser
        broken=lambda r: replace(r, collect=(Sample(4), Total())),
        because="Total reads 'reward:*'",
    ),
    Row(
        small("grpo", 40, minibatch=128),
        reach=0.9,
        broken=lambda r: replace(r, collect=(Sample(8), Verify(), Total(), GroupNorm())),
        because="KL reads 'logp_ref'",
    ),
    *(
        Row(
            small(name, 40, minibatch=32 if name in ("psr", "nsr") else 128),
            reach=reach,
            broken=lambda r: replace(r, collect=(Sample(8), Verify(), Total())),
            because="reads 'adv'",
        )
        for name, reach in {
            "dr-grpo": 0.9,
            "rloo": 0.9,
            "gspo": 0.9,
            "cispo": 0.9,
            "bnpo": 0.9,
            "psr": 0.9,
            "nsr": 0.55,
            "w-reinforce": 0.55,
            "topr": 0.9,
            "opmd": 0.85,
            "dapo": 0.9,
        }.items()
    ),
]
