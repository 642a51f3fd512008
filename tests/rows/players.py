"""Rows of the family players."""

from dataclasses import replace

from digits import ASK, DIGITS
from row import Row, small_program
from sharpen.overrides import override
from sharpen.recipe import Program


def gently(program: Program) -> Program:
    """The verifier at a third of the rate: a big step of so small a model loses the form of a verdict for good."""
    recipes = []
    for r in program.recipes:
        slow = [replace(u, optimiser=replace(u.optimiser, lr=1e-3)) if u.actor == "verifier" else u for u in r.updates]
        recipes.append(replace(r, updates=tuple(slow)))
    return replace(program, recipes=tuple(recipes))


TANGO = override(
    gently(
        small_program(
            "tango",
            {"iterations": 1, "problems": 8},
            {"iterations": 1, "problems": 8},
            {"iterations": 12, "problems": 8},
        )
    ),
    [f"Verdicts.0.ask={ASK}", f"Verdicts.1.ask={ASK}"],
)

ROWS = [
    Row(
        TANGO,
        reach=0.8,
        bench=DIGITS,
        state=("rng", "weights"),  # no order is drawn, and optimisers begin anew where the run is resumed
        broken=lambda p: replace(p, recipes=(*p.recipes[:2], replace(p.recipes[2], actors=p.recipes[2].actors[:1]))),
        because="asks the actor 'verifier'",
    ),
]
