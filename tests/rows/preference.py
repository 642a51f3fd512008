"""Rows of the family preference."""

from dataclasses import replace

from benches import TASTE, followed, preferred
from row import Row, small, small_program
from rows.reward import FIT

ROWS = [
    Row(
        small("dpo", 20, problems=72, lr=3e-4),
        reach=0.6,
        state=(
            "rng",
            "states",
            "weights",
            "learners",
        ),  # the fourth iteration ends the epoch; one minibatch: no shuffling
        bench=TASTE,
        measure=preferred,
        broken=lambda r: replace(r, collect=()),
        because="Pair reads 'logp_ref'",
    ),
    Row(
        small("iterative-dpo", 8, problems=32, minibatch=8),
        reach=0.78,
        broken=lambda r: replace(r, collect=tuple(s for s in r.collect if type(s).__name__ != "Total")),
        because="Pairs reads 'reward'",
    ),
    Row(
        small("irpo", 8, problems=32, minibatch=8),
        reach=0.78,
        broken=lambda r: replace(r, actors=r.actors[:1]),
        because="Annotate asks the actor 'ref'",
    ),
    Row(
        small_program("online-dpo", FIT, {"iterations": 6, "problems": 32, "minibatch": 8, "lr": 3e-4}),
        reach=0.45,
        bench=TASTE,
        measure=followed,
        broken=lambda p: replace(p, recipes=(replace(p.recipes[1], actors=p.recipes[1].actors[:2]),)),
        because="Judge asks the actor 'rm'",
    ),
    Row(
        small("spin", 12, problems=64, minibatch=32),
        reach=0.82,
        broken=lambda r: replace(r, actors=r.actors[:1]),
        because="Sample asks the actor 'opponent'",
    ),
]
