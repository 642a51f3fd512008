from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from sharpen.actor.engine.slots import SlotCache


@pytest.fixture(autouse=True)
def spoiled_memory() -> Iterator[None]:
    # torch then fills memory it hands out with NaN
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def block(rows: int, length: int, first: float) -> Tensor:
    """`[rows, 2 heads, length, 1]`: `first + row + position / 1000`, negative in the second head."""
    x = first + torch.arange(rows).view(-1, 1) + torch.arange(length) / 1000
    return torch.stack((x, -x), 1).unsqueeze(3)


def test_rows_of_unequal_lengths_write_at_their_own_positions() -> None:
    assert bool(torch.ones(1).new_empty(3).isnan().all())
    cache = SlotCache(4, 1000)
    cache.fill(0, torch.tensor([1, 1, 0]), [block(2, 3, 10)], [block(2, 3, 50)])
    cache.aim(torch.tensor([3, 2, 1]), 4)
    assert (cache.get_seq_length(), cache.get_mask_sizes(1, 0)) == (3, (4, 0))
    keys, values = cache.update(block(3, 1, 90), block(3, 1, 95), 0)
    assert keys.shape == values.shape == (3, 2, 4, 1)
    expected = [[11, 11.001, 11.002, 90], [11, 11.001, 91, 0], [10, 92, 10.002, 0]]
    torch.testing.assert_close(keys[:, 0, :, 0], torch.tensor(expected))
    torch.testing.assert_close(keys[:, 1], -keys[:, 0])
    torch.testing.assert_close(values[:, 0, :, 0].diagonal(), torch.tensor([51.0, 51.001, 50.002]))


def test_growing_keeps_rows_and_leaves_nothing_spoiled() -> None:
    cache = SlotCache(4, 500)
    cache.fill(0, torch.tensor([0, 0]), [block(1, 3, 1)], [block(1, 3, 2)])
    assert cache.length == 288
    cache.aim(torch.tensor([300, 5]), 301)
    assert cache.length == 448
    cache.aim(torch.tensor([460, 5]), 461)
    assert cache.length == 500
    # two more rows with shorter prompts, in slots that nobody had while it grew
    cache.fill(2, torch.tensor([0, 0]), [block(1, 1, 7)], [block(1, 1, 8)])
    cache.aim(torch.tensor([460, 5, 1, 1]), 461)
    keys, values = cache.update(block(4, 1, 30), block(4, 1, 40), 0)
    assert not bool(keys.isnan().any() | values.isnan().any())
    torch.testing.assert_close(keys[:2, 0, :3, 0], torch.tensor([[1, 1.001, 1.002]]).expand(2, 3))
    assert [int(keys[i, 0].count_nonzero()) for i in range(4)] == [4, 4, 2, 2]


def test_moving_copies_whole_rows() -> None:
    cache = SlotCache(3, 100)
    cache.fill(0, torch.tensor([0, 1, 2]), [block(3, 2, 1), block(3, 2, 4)], [block(3, 2, 7)] * 2)
    cache.move(torch.tensor([2]), torch.tensor([0]), 2)
    cache.aim(torch.tensor([2, 2]), 3)
    keys, values = cache.update(block(2, 1, 0), block(2, 1, 0), 1)
    torch.testing.assert_close(keys[:, 0, :2, 0], torch.tensor([[6, 6.001], [5, 5.001]]))
    torch.testing.assert_close(values[:, 0, :2, 0], torch.tensor([[9, 9.001], [8, 8.001]]))
