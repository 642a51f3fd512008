"""Rows of the family length."""

from dataclasses import replace

from benches import PADDED
from row import Row, small_program
from sharpen.rollout.sample import Sample

ROWS = [
    Row(
        small_program("concise", {"iterations": 1, "minibatch": 128}, {"iterations": 20, "minibatch": 128}),
        reach=0.85,
        bench=PADDED,
        broken=lambda p: replace(
            p, recipes=(p.recipes[0], replace(p.recipes[1], collect=(Sample(4), *p.recipes[1].collect[1:])))
        ),
        because="Brevity reads 'solved'",
    ),
]
