"""Rows of the family critic."""

from dataclasses import replace

from row import Row, small, small_program

ROWS = [
    Row(
        small("ppo", 30, problems=128, minibatch=64),
        reach=0.85,
        broken=lambda r: replace(r, collect=tuple(s for s in r.collect if type(s).__name__ != "GAE")),
        because="Whiten reads 'adv'",
    ),
    Row(
        small_program("reft", {"iterations": 1, "problems": 16}, {"iterations": 30, "problems": 128, "minibatch": 64}),
        reach=0.85,
        state=("rng", "gen", "weights"),  # a run that has just begun has the optimisers of the first recipe
        broken=lambda p: replace(p, recipes=(p.recipes[0], replace(p.recipes[1], actors=p.recipes[1].actors[:2]))),
        because="asks the actor 'value'",
    ),
]
