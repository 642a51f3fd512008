"""Rows of the family calibration."""

from dataclasses import replace

from benches import COPY, DOUBTFUL
from row import Row, small

_laser = small("laser", 40, problems=16)

ROWS = [
    Row(
        small("rlcr", 40, problems=16, minibatch=128),
        reach=0.85,
        bench=DOUBTFUL,
        broken=lambda r: replace(r, collect=(*r.collect[:2], *r.collect[3:])),
        because="Total reads 'reward:layout'",
    ),
    Row(
        replace(
            _laser,
            collect=(
                *_laser.collect[:3],
                replace(_laser.collect[3], start=1),
                _laser.collect[4],
                replace(_laser.collect[5], start=2),
            ),
        ),
        reach=0.9,
        bench=COPY,
        broken=lambda r: replace(r, collect=(*r.collect[:3], *r.collect[4:5])),
        because="PPOClip reads 'spoken'",
    ),
]
