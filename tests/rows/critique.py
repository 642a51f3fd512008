"""Rows of the family critique."""

from dataclasses import replace

from benches import AGAIN, SPELL, terse
from row import Row, small
from sharpen.rollout.critique import Refine


def _critique():
    r = small("critique-grpo", 20, minibatch=64, lr=2e-3)
    return replace(r, collect=tuple(Refine(terse, AGAIN) if isinstance(s, Refine) else s for s in r.collect))


ROWS = [
    Row(
        _critique(),
        reach=0.75,
        bench=SPELL,
        broken=lambda r: replace(r, collect=(r.collect[0], *r.collect[2:])),
        because="Refine reads 'solved'",
    )
]
