"""Recipes of one's own, for `sharpen train examples/own_recipe.py:NAME`."""

from dataclasses import dataclass, replace
from typing import ClassVar

from sharpen.core import Part
from sharpen.credit.peers import GroupNorm
from sharpen.loss.policy import KL, ratio
from sharpen.recipe import Term, Update
from sharpen.recipes.policy import grpo
from sharpen.reward.verify import Total, Verify
from sharpen.rollout.edit import Annotate
from sharpen.rollout.program import Play
from sharpen.rollout.sample import Sample
from sharpen.types import Trace

rloo = replace(
    grpo,
    name="rloo",
    parent="grpo",
    about="As grpo, with the mean of the other answers as baseline and no division by the spread.",
    source_of="arXiv 2402.14740",
    collect=(Sample(16), Verify(), Total(), Annotate("ref"), GroupNorm(center="loo", scale="none")),
)


@dataclass(frozen=True)
class Cispo(Part):
    """-sg(clip(r, 1 - low, 1 + high)) A log pi, r = pi_new / pi_old (2506.13585, eq. 4 and 5).

    The weight is clipped, not the update: every atom keeps its gradient.
    """

    low: float = 1.0
    high: float = 4.0
    unit: ClassVar[str] = "atom"
    reads: ClassVar[tuple[str, ...]] = ("adv", "logp_old")
    wants: ClassVar[tuple[str, ...]] = ()
    silent_where: ClassVar[str] = "adv"

    def __call__(self, new, batch):
        """`float[N]`."""
        weight = ratio(new, batch).detach().clamp(1 - self.low, 1 + self.high)
        return -weight * batch.cols["adv"] * new.logp


cispo = replace(
    grpo,
    name="cispo",
    parent="grpo",
    about="Policy gradient with clipped importance weights.",
    source_of="arXiv 2506.13585, eq. 4 and 5",
    updates=(Update((Term(Cispo(), mean_over="atom"), Term(KL(), weight=0.0, name="kl"))),),
)


async def second_try(play: Play) -> Trace:
    """A draft, a request to look again, and a second answer, which is the one that counts."""
    context = play.prompt()
    draft = await play.sample(context)
    context = [*context, draft, play.say(f"Again: {play.problem.prompt}")]
    final = await play.sample(context)
    draft.trainable = False
    return Trace(play.problem, [*context, final], end="length" if final.info.get("end") == "length" else "stop")


twice = replace(
    grpo,
    name="twice",
    parent="grpo",
    about="As grpo, on answers given after a look at a first draft; only the second answer is trained.",
    collect=(Sample(16, program=second_try), *grpo.collect[1:]),
)
