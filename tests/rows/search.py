"""Rows of the family search."""

from dataclasses import replace

from row import Row, small
from sharpen.reward.verify import Verify
from sharpen.rollout.sample import Sample
from sharpen.search import MCTS

ROWS = [
    Row(
        small("rest-mcts", 12, minibatch=4),
        reach=0.8,
        broken=lambda r: replace(r, collect=(Sample(1, program=MCTS(value="critic")), *r.collect[1:])),
        because="MCTS asks the actor 'critic'",
    ),
    Row(
        small("alphamath", 6, minibatch=8),
        reach=0.6,
        state=("rng", "gen"),
        broken=lambda r: replace(r, collect=(r.collect[0], Verify())),
        because="ValueFit reads 'target'",
    ),
]
