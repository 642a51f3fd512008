"""Rows of the family flow, and the bench they are tried on."""

from dataclasses import replace

from benches import Bench
from row import Row, small
from sharpen.actor.flow import FlowActor
from sharpen.actor.flowbase import FlowNano, upbringing
from sharpen.actor.velocity import velocity_field
from sharpen.credit.peers import GroupNorm
from sharpen.evaluate import evaluate
from sharpen.loop import Trainer
from sharpen.reward.verify import Total, Verify
from sharpen.rollout.sample import Sample
from sharpen.task import Points

NANO = FlowNano(width=64, batches=1000)


def _base():
    return {n: p.detach() for n, p in upbringing(Points(sloppy=0.4), NANO).named_parameters()}


def _actor() -> FlowActor:
    config = NANO.config(Points())
    return FlowActor(velocity_field(config), config)


def right(trainer: Trainer) -> float:
    """The share of samples at the right spot over all directions held out, eight samples each, always the same."""
    found, _ = evaluate(trainer.ctx.actors["policy"], Points(), "test", problems=360, samples=8, ks=(1,))
    return found.accuracy.mean


POINTS = Bench("points", Points, _base, _actor, right)
"""Draw a point at the spot that was asked for; the base does so 39 times in a hundred."""

ROWS = [
    Row(
        small("flow-grpo", 40, problems=16, minibatch=128, lr=1e-3),
        reach=0.6,
        broken=lambda r: replace(r, collect=(Sample(8, method="sde"), Verify(), Total(), GroupNorm())),
        because="KL reads 'logp_ref'",
        bench=POINTS,
    ),
    Row(
        small("reinflow", 40, problems=16, minibatch=64, lr=1e-3),
        reach=0.7,
        broken=lambda r: replace(r, collect=(Sample(8, method="learnt-noise"), Verify(), Total())),
        because="PPOClip reads 'adv'",
        bench=POINTS,
    ),
    Row(
        # with fewer pairs a minibatch, chance moves late steps out of their clip, and nothing brings them back
        small("d3po", 30, problems=256, minibatch=32, lr=3e-4),
        reach=0.55,
        broken=lambda r: replace(r, collect=(Sample(2, method="sde"), Verify(), Total())),
        because="StepPreference reads 'logp_ref'",
        bench=POINTS,
    ),
]
