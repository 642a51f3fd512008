"""Recipes in a row, value models, copies: what is shared, what begins anew, what a checkpoint holds."""

from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch

from sharpen.actor.value import ValueActor
from sharpen.core import Part
from sharpen.errors import SharpenError
from sharpen.loop import Trainer
from sharpen.loss.policy import NLL
from sharpen.recipe import AdamW, Frozen, Loop, Policy, Program, Recipe, Term, Update, Value
from sharpen.recipes import recipe
from sharpen.reward.verify import Verify
from sharpen.rollout.edit import Annotate, Demonstrate
from sharpen.rollout.sample import Sample
from sharpen.run.checkpoint import newest, save
from sharpen.source.problems import Uniform
from sharpen.types import Batch, Problem, Scored, Trace
from toy import Copy, nano_actor, weights_equal


@dataclass(frozen=True)
class ToOne(Part):
    """Pull the value of each prefix to 1."""

    unit: ClassVar[str] = "atom"
    wants: ClassVar[tuple[str, ...]] = ("value",)
    silent_where: ClassVar[str | None] = None

    def __call__(self, new: Scored, batch: Batch) -> torch.Tensor:
        return (new.extra["value"] - 1) ** 2


short = Loop(iterations=2, problems=4)
warm = replace(recipe("sft"), loop=short)
critic = Recipe(
    "critic",
    Uniform(),
    (Sample(2), Annotate("ref"), Annotate("old"), Annotate("critic", "value", "value"), Verify()),
    (
        Update((Term(ToOne()),), actor="critic", optimiser=AdamW(lr=1e-2)),
        Update((Term(NLL()),), optimiser=AdamW(lr=1e-3)),
    ),
    loop=Loop(iterations=3, problems=4),
    actors=(("policy", Policy()), ("critic", Value()), ("ref", Frozen()), ("old", Frozen(refresh="iteration"))),
)
program = Program("warm-then-critic", (warm, critic))


def start(seed=0, method=program):
    return Trainer(method, Copy(), nano_actor(), seed=seed)


def test_recipes_follow_each_other_and_share_the_policy():
    trainer = start()
    assert trainer.total == 5
    names = []
    while not trainer.done:
        trainer.step()
        names.append(trainer.recipe.name)
    assert names == ["sft", "sft", "critic", "critic", "critic"]
    assert trainer.ctx.step == 5
    assert trainer.ctx.start == 2
    assert trainer.learners[0].steps == 3


def test_a_later_reference_is_the_policy_as_its_recipe_finds_it():
    trainer = start()
    for _ in range(2):
        trainer.step()
    tuned = {n: w.clone() for n, w in trainer.policy.weights().items()}
    trainer.step()
    assert weights_equal(tuned, dict(trainer.ctx.actors["ref"].module.named_parameters()))
    assert not weights_equal(tuned, trainer.policy.weights())


def test_a_refreshed_copy_lags_one_iteration_behind():
    trainer = start()
    for _ in range(3):
        trainer.step()
    before = {n: w.clone() for n, w in trainer.policy.weights().items()}
    trainer.step()
    assert weights_equal(before, trainer.ctx.actors["old"].weights())


@pytest.mark.parametrize("cut", [1, 3, 4])
def test_programs_resume_to_the_bit_in_any_recipe(cut, tmp_path):
    whole, first, second = start(3), start(3), start(9)
    steps = [whole.step() for _ in range(5)]
    for _ in range(cut):
        first.step()
    save(tmp_path, cut, first.state())
    with torch.no_grad():
        for _, p in second.policy.parameters():
            p.zero_()
    second.load(newest(tmp_path)[1])
    again = [second.step() for _ in range(5 - cut)]
    assert [s.metrics for s in steps[cut:]] == [s.metrics for s in again]
    for name in ("policy", "critic", "old"):
        assert weights_equal(whole.ctx.actors[name].weights(), second.ctx.actors[name].weights())


def test_an_empty_program_is_refused():
    with pytest.raises(SharpenError, match="has no recipes"):
        Program("nothing", ())


def test_value_before_and_score_after_each_atom():
    """With a head that reads one hidden unit, both extras are that unit of a plain forward pass, one position apart."""
    actor = nano_actor()
    value = ValueActor(actor)
    with torch.no_grad():
        value.module["head"].weight[0, 3] = 2.0
        value.module["head"].bias[0] = 0.5
    p = Problem("p", "ab")
    trace = Trace(p, [*actor.prompt(p), actor.given("xyz")])
    batch = value.collate([trace], torch.tensor([0]), ())
    with torch.no_grad():
        got = value.score(batch, ("value", "score")).extra
        ids = torch.cat([s.atoms for s in trace.segments])[None]
        unit = 2 * actor.module.model(input_ids=ids).last_hidden_state[0, :, 3] + 0.5
    n = len(trace.actions[0])
    torch.testing.assert_close(got["value"], unit[-n - 1 : -1])
    torch.testing.assert_close(got["score"], unit[-n:])


def test_a_value_model_begins_at_zero_is_its_own_and_cannot_talk():
    actor = nano_actor()
    value = ValueActor(actor)
    p = Problem("p", "ab")
    batch = value.collate([Trace(p, [*actor.prompt(p), actor.given("x")])], torch.tensor([0]), ())
    assert value.score(batch, ("value",)).extra["value"].tolist() == [0.0, 0.0]
    mine = {id(q) for _, q in actor.parameters()}
    assert not mine & {id(q) for _, q in value.parameters()}
    with pytest.raises(SharpenError, match="cannot be sampled"):
        value.sample([])
    with pytest.raises(SharpenError, match="cannot score entropy"):
        value.score(batch, ("entropy",))


def test_a_value_model_is_saved_and_copied_whole(tmp_path):
    value = ValueActor(nano_actor())
    with torch.no_grad():
        value.module["head"].weight += 0.3
    twin = value.freeze()
    assert weights_equal(twin.weights(), value.weights())
    assert twin.parameters() == []
    value.export(tmp_path)
    other = ValueActor(nano_actor())
    other = ValueActor.load(tmp_path, other)
    assert torch.equal(other.module["head"].weight, value.module["head"].weight)


def test_demonstrations_do_not_pass_for_drawn_text():
    """A ratio over demonstrations is refused when the recipe runs: they have no behaviour log-prob."""
    mixed = replace(recipe("grpo"), collect=(*recipe("grpo").collect[:1], Demonstrate(), *recipe("grpo").collect[1:]))
    trainer = start(method=replace(mixed, loop=short))
    with pytest.raises(SharpenError, match="behaviour log-prob is unknown"):
        trainer.step()
