"""Rows of the family policy."""

from dataclasses import replace

from row import Row, small
from sharpen.credit.peers import GroupNorm
from sharpen.reward.verify import Total, Verify
from sharpen.rollout.sample import Sample

ROWS = [
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
    Row(
        small("reinforce-ada", 30),
        reach=0.85,
        state=("rng", "weights", "learners"),  # one step takes all rows, so nothing is shuffled
        broken=lambda r: replace(r, collect=(*r.collect[:2], r.collect[3])),
        because="PPOClip reads 'adv'",
    ),
]
