"""What every recipe must do, by one row of the table each."""

import random

import pytest
import torch

from sharpen.actor.nano import Nano, character_tokenizer, upbringing
from sharpen.errors import SharpenError
from sharpen.loop import Trainer
from sharpen.recipes import all_recipes
from sharpen.run.checkpoint import newest, save
from sharpen.run.rollouts import table as rollout_table
from table import TABLE
from toy import Copy, nano_actor, weights_equal

rows = pytest.mark.parametrize("row", TABLE, ids=lambda r: r.name)


class Noisy(Copy):
    """Copy, taught by somebody who says a random digit six times in ten."""

    def lesson(self, rng: random.Random):
        problem = self.draw("train", rng)
        return problem, (str(rng.randrange(10)) if rng.random() < 0.6 else str(problem.answer),)


@pytest.fixture(scope="session")
def base():
    """Weights of a nano model brought up on the noisy task: right 46 times in a hundred."""
    nano = Nano(width=32, layers=2, heads=2, context=64, steps=150, batch=64, warmup=10)
    return upbringing(Noisy(), nano, character_tokenizer()).state_dict()


def start(base, recipe, seed=0):
    actor = nano_actor(width=32, layers=2, max_tokens=3)
    actor.module.load_state_dict(base)
    return Trainer(recipe, Copy(), actor, seed=seed)


def accuracy(actor) -> float:
    """The exact probability of the right digit followed by the end, averaged over the ten problems."""
    task, total = Copy(), 0.0
    for p in task.fixed("test", 10):
        context, said = actor.prompt(p)[0].atoms, actor.given(p.answer).atoms
        with torch.no_grad():
            logs = actor.module(input_ids=torch.cat([context, said])[None]).logits[0, :-1].log_softmax(-1)
        total += float(logs[-2:].gather(-1, said[:, None]).sum().exp())
    return total / 10


def test_every_recipe_has_a_row():
    assert [r.name for r in TABLE] == list(all_recipes())


def test_the_base_is_able_but_unreliable(base):
    assert 0.4 < accuracy(start(base, TABLE[0].recipe).ctx.actors["policy"]) < 0.52


@rows
@pytest.mark.parametrize("seed", [0, 1])
def test_learns(base, row, seed):
    trainer = start(base, row.recipe, seed)
    while not trainer.done:
        trainer.step()
    assert accuracy(trainer.ctx.actors["policy"]) > row.reach


@rows
def test_resumes_to_the_bit(base, row, tmp_path):
    """Four iterations equal two, a checkpoint on disk, another process's worth of fresh state, and two more."""
    whole, first, second = (start(base, row.recipe, seed) for seed in (5, 5, 77))
    steps = [whole.step() for _ in range(4)]
    for _ in range(2):
        first.step()
    save(tmp_path, 2, first.state())
    with torch.no_grad():
        for _, p in second.ctx.actors["policy"].parameters():
            p.zero_()  # whatever was in memory is gone
    found = newest(tmp_path)
    assert found is not None
    second.load(found[1])
    again = [second.step() for _ in range(2)]
    assert weights_equal(whole.ctx.actors["policy"].weights(), second.ctx.actors["policy"].weights())
    for a, b in zip(steps[2:], again, strict=True):
        assert a.metrics == b.metrics
        assert a.cost == b.cost
        assert rollout_table(a.step, a.groups).equals(rollout_table(b.step, b.groups))


@pytest.mark.parametrize(
    ("row", "part"), [(r, p) for r in TABLE for p in r.state], ids=[f"{r.name}-{p}" for r in TABLE for p in r.state]
)
def test_forgetting_part_of_the_state_is_noticed(base, row, part):
    """Equality above has teeth: without any one part of the state, the two runs differ."""
    whole, first, second = (start(base, row.recipe, seed) for seed in (5, 5, 77))
    for _ in range(4):
        whole.step()
    for _ in range(2):
        first.step()
    fresh = second.state()
    state = dict(first.state())
    state[part] = fresh[part]
    second.load(state)
    for _ in range(2):
        second.step()
    assert not weights_equal(whole.ctx.actors["policy"].weights(), second.ctx.actors["policy"].weights())


@rows
def test_refuses_its_mis_wired_twin(row):
    with pytest.raises(SharpenError) as caught:
        row.broken(row.recipe)
    assert row.because in str(caught.value)


def test_a_checkpoint_of_another_recipe_is_refused(base):
    state = start(base, TABLE[0].recipe).state()
    with pytest.raises(SharpenError, match=r"checkpoint is of recipe 'sft', and this run is of 'grpo'"):
        start(base, next(r.recipe for r in TABLE if r.name == "grpo")).load(state)
