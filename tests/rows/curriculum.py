"""Rows of the family curriculum."""

from dataclasses import replace

from benches import GRADED
from row import Row, small
from sharpen.rollout.sample import Sample
from sharpen.source.bandit import Bandit

ROWS = [
    Row(
        replace(small("sec", 40, minibatch=128), source=Bandit(tau=0.05)),
        reach=0.9,
        bench=GRADED,
        state=("rng", "gen", "weights", "learners", "states"),
        broken=lambda r: replace(r, collect=r.collect[:-1], updates=()),
        because="Bandit reads 'adv'",
    ),
    Row(
        small("mopps", 40, problems=8, minibatch=64),
        reach=0.85,
        state=("rng", "gen", "weights", "learners", "states"),
        broken=lambda r: replace(r, collect=(Sample(4),), updates=()),
        because="Posterior reads 'solved'",
    ),
]
