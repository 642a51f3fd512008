"""Rows of the family balance."""

from dataclasses import replace

from row import Row, small

ROWS = [
    Row(
        small("flow-of-reasoning", 40, minibatch=128),
        reach=0.85,
        broken=lambda r: replace(r, collect=tuple(s for s in r.collect if getattr(s, "want", "") != "value")),
        because="Flow reads 'value'",
    ),
    Row(
        small("vargrad", 40, minibatch=128),
        reach=0.85,
        broken=lambda r: replace(r, collect=r.collect[:-1]),
        because="reads 'logr'",
    ),
]
