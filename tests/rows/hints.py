"""Rows of the family hints."""

from dataclasses import replace

from benches import SPELL
from row import Row, small
from sharpen.rollout.combinators import When, all_failed
from sharpen.rollout.hints import Hint, Remember
from sharpen.rollout.sample import Sample
from sharpen.rows import Take


def without(recipe, kind):
    return replace(recipe, collect=tuple(s for s in recipe.collect if not isinstance(s, kind)))


def _relift():
    """Four answers a problem, so that many fail, and demonstrations four at a time, so that some always wait."""
    r = small("relift", 20, minibatch=32, lr=2e-3)
    reinforce, imitate = r.updates
    imitate = replace(imitate, rows=Take("hard", 4), minibatch=0)
    return replace(r, collect=(Sample(4), *r.collect[1:]), updates=(reinforce, imitate))


ROWS = [
    Row(
        small("ghpo", 20, minibatch=64, lr=2e-3),
        reach=0.75,
        bench=SPELL,
        broken=lambda r: replace(r, collect=(*r.collect[:2], When(all_failed, (Hint(0.25),)), *r.collect[-2:])),
        because="Total reads 'reward:*'",
    ),
    Row(
        small("prefix-rft", 20, minibatch=64, lr=2e-3),
        reach=0.75,
        bench=SPELL,
        broken=lambda r: replace(r, collect=(*r.collect[:4], *r.collect[5:])),
        because="TopEntropy reads 'entropy'",
    ),
    Row(
        _relift(),
        reach=0.75,
        bench=SPELL,
        state=("rng", "gen", "weights", "learners", "stores"),
        broken=lambda r: without(r, Remember),
        because="Take reads 'store:hard', and no part before it writes that. Put one of Remember before it.",
    ),
]
