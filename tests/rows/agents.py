"""Rows of the family agents."""

from dataclasses import replace

from corridor import CORRIDOR
from row import Row, small
from sharpen.overrides import override

ARCHER = override(
    small("archer", 21, minibatch=16),
    ["Replay.n=32", "Redraw.n=64", "Update.2.minibatch=0", "Update.2.start=8", "AdamW.2.lr=1e-3"],
)
"""The policy at a third of the critics' rate: it must not move faster than they learn what it does."""

ROWS = [
    Row(
        small("gigpo", 12, problems=4),
        reach=0.9,
        bench=CORRIDOR,
        state=("rng", "weights", "learners"),  # one update an iteration, so no order is drawn
        broken=lambda r: replace(r, collect=tuple(s for s in r.collect if type(s).__name__ != "TurnReturn")),
        because="GroupNorm reads 'return'",
    ),
    Row(
        ARCHER,
        reach=0.7,
        bench=CORRIDOR,
        actor="q",  # the policy waits for the critics
        state=("rng", "gen", "weights", "learners", "stores"),
        broken=lambda r: replace(r, actors=r.actors[:3]),
        because="asks the actor 'v_target'",
    ),
]
