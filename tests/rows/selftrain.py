"""Rows of the family selftrain."""

from dataclasses import replace

from row import Row, small
from sharpen.overrides import override
from sharpen.reward.verify import Total
from sharpen.rollout.sample import Sample

ROWS = [
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
        override(small("b-star", 30, minibatch=4), ["Sample.n=8", "Balance.temperatures=0.5,1", "Balance.problems=8"]),
        reach=0.85,
        broken=lambda r: replace(r, collect=(replace(r.collect[0], stages=r.collect[0].stages[:1]), *r.collect[1:])),
        because="Balance reads 'solved'",
    ),
]
