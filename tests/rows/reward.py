"""Rows of the family reward."""

from dataclasses import replace

from benches import TASTE, ranked
from row import Row, small, small_program

FIT = {"iterations": 1, "problems": 720, "minibatch": 24, "lr": 1e-3}
FOLLOW = {"iterations": 12, "problems": 64, "minibatch": 32, "lr": 1e-3}

ROWS = [
    Row(
        small("bt", 4, problems=240, minibatch=24, lr=1e-3),
        reach=0.99,
        bench=TASTE,
        actor="rm",
        measure=ranked,
        broken=lambda r: replace(r, actors=r.actors[:1]),
        because="trains the actor 'rm'",
    ),
    *(
        Row(
            small_program(name, FIT, FOLLOW),
            reach=0.99,
            state=("rng", "gen", "weights", "states"),
            bench=TASTE,
            broken=lambda p: replace(p, recipes=(replace(p.recipes[1], actors=p.recipes[1].actors[:3]),)),
            because=f"Judge asks the actor {model!r}",
        )
        for name, model in (("rm-ppo", "rm"), ("wco", "rm0"), ("uwo", "rm0"))
    ),
]
