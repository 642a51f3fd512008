"""Rows of the family calibration."""

from dataclasses import replace

from benches import DOUBTFUL
from row import Row, small
from sharpen.credit.peers import BlendReward
from sharpen.reward.probe import Probe
from sharpen.rollout.sample import Sample

_rlcr = small("rlcr", 70, problems=8, minibatch=64, lr=2e-3)
_laser = small("laser", 30, minibatch=64)

ROWS = [
    Row(
        replace(_rlcr, collect=(Sample(16), *_rlcr.collect[1:])),
        reach=0.0,  # the base is at -2.7; whoever is always sure gets no further than 0
        bench=DOUBTFUL,
        broken=lambda r: replace(r, collect=(*r.collect[:1], *r.collect[2:])),
        because="Brier reads 'solved'",
    ),
    Row(
        # the fit joins in the second iteration, the blend in the third; a small vocabulary takes a larger beta
        replace(
            _laser,
            collect=(*_laser.collect[:3], Probe(beta=0.3, start=1), _laser.collect[4], BlendReward(start=2)),
        ),
        reach=0.85,
        broken=lambda r: replace(r, collect=(*r.collect[:3], r.collect[4])),
        because="PPOClip reads 'spoken'",
    ),
]
