"""What every recipe must do, by one row of the table each."""

import pytest
import torch

from benches import COPY
from sharpen.errors import SharpenError
from sharpen.recipes import all_recipes
from sharpen.run.checkpoint import newest, save
from sharpen.run.rollouts import table as rollout_table
from table import TABLE
from toy import weights_equal

rows = pytest.mark.parametrize("row", TABLE, ids=lambda r: r.name)


def start(row, seed=0):
    return row.bench.trainer(row.recipe, seed)


def measured(row, trainer):
    return (row.measure or row.bench.measure)(trainer)


def test_every_recipe_has_a_row():
    assert sorted(r.name for r in TABLE) == sorted(all_recipes())


def test_the_base_is_able_but_unreliable():
    assert 0.4 < COPY.measure(COPY.trainer(TABLE[0].recipe)) < 0.52


@rows
@pytest.mark.parametrize("seed", [0, 1])
def test_learns(row, seed):
    trainer = start(row, seed)
    while not trainer.done:
        trainer.step()
    assert measured(row, trainer) > row.reach


@rows
def test_resumes_to_the_bit(row, tmp_path):
    """Four iterations equal two, a checkpoint on disk, another process's worth of fresh state, and two more.

    The equality has teeth: without any one part of the state that the recipe depends on, the two runs differ.
    """
    whole, first, second = (start(row, seed) for seed in (5, 5, 77))
    steps = [whole.step() for _ in range(4)]
    for _ in range(2):
        first.step()
    save(tmp_path, 2, first.state())
    for actor in second.ctx.actors.values():
        for _, p in actor.parameters():
            with torch.no_grad():
                p.zero_()  # whatever was in memory is gone
    found = newest(tmp_path)
    assert found is not None
    second.load(found[1])
    again = [second.step() for _ in range(2)]
    wanted = whole.ctx.actors[row.actor].weights()
    assert weights_equal(wanted, second.ctx.actors[row.actor].weights())
    for a, b in zip(steps[2:], again, strict=True):
        assert a.metrics == b.metrics
        assert a.cost == b.cost
        assert rollout_table(a.step, a.groups).equals(rollout_table(b.step, b.groups))
    for part in row.state:
        third = start(row, 77)
        while third.phase < first.phase:  # a state is of one recipe of a program
            third._begin(third.phase + 1)
        third.load({**newest(tmp_path)[1], part: third.state()[part]})
        for _ in range(2):
            third.step()
        assert not weights_equal(wanted, third.ctx.actors[row.actor].weights()), f"nothing depends on {part}"


@rows
def test_refuses_its_mis_wired_twin(row):
    with pytest.raises(SharpenError) as caught:
        row.broken(row.recipe)
    assert row.because in str(caught.value)


def test_a_checkpoint_of_another_recipe_is_refused():
    state = start(TABLE[0]).state()
    with pytest.raises(SharpenError, match=r"checkpoint is of recipe 'sft', and this run is of 'grpo'"):
        start(next(r for r in TABLE if r.name == "grpo")).load(state)
