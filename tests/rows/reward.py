"""Rows of the family reward."""

from dataclasses import replace

from benches import TASTE, followed, ranked
from row import Row, small, small_program

FIT = {"iterations": 1, "problems": 480, "minibatch": 24, "lr": 1e-3}
FOLLOW = {"iterations": 8, "problems": 64, "minibatch": 32, "lr": 1e-3}

ROWS = [
    Row(
        small("bt", 4, problems=240, minibatch=24, lr=1e-3),
        reach=0.7,
        bench=TASTE,
        actor="rm",
        measure=ranked,
        broken=lambda r: replace(r, actors=r.actors[:1]),
        because="trains the actor 'rm'",
    ),
    *(
        Row(
            small_program(name, FIT, FOLLOW),
            reach=reach,
            state=("rng", "gen", "weights", "states", "learners"),
            bench=TASTE,
            measure=followed,
            broken=lambda p: replace(p, recipes=(replace(p.recipes[1], actors=p.recipes[1].actors[:3]),)),
            because=f"Judge asks the actor {model!r}",
        )
        for name, model, reach in (("rm-ppo", "rm", 0.45), ("wco", "rm0", 0.35), ("uwo", "rm0", 0.35))
    ),
]
