"""Rewards of several models: what is made of them by hand, and the scale they are brought to."""

import math

import pytest
import torch

from sharpen.errors import SharpenError
from sharpen.reward.ensemble import MEMBERS, Conservative, Standardise, conservative
from sharpen.types import Group, Problem, Trace


class Quiet:
    """A context of one part: its memory, and every value that it logs."""

    def __init__(self, part):
        self.memory = part.init()
        self.logged = {}

    def state(self, part):
        return self.memory

    def log(self, name, value, weight=1.0):
        self.logged.setdefault(name, []).append((value, weight))


def groups(**rewards):
    """Groups of two traces with these rewards, in order."""
    traces = [Trace(Problem("p", "?"), []) for _ in next(iter(rewards.values()))]
    for i, t in enumerate(traces):
        t.rewards = {name: values[i] for name, values in rewards.items()}
    return [Group(t.problem, traces[i : i + 2]) for i, t in enumerate(traces) if i % 2 == 0]


def rewards(some, name):
    return [t.rewards[name] for g in some for t in g.traces]


def test_mean_least_and_mean_less_the_population_variance():
    """Columns (0, 3, 6), (1, 1, 1), (-2, 0, 2): means 3, 1, 0; variances 18/3, 0, 8/3, divided by m and not m - 1."""
    x = torch.tensor([[0.0, 1.0, -2.0], [3.0, 1.0, 0.0], [6.0, 1.0, 2.0]], dtype=torch.float64)
    assert conservative(x, "mean").tolist() == [3.0, 1.0, 0.0]
    assert conservative(x, "min").tolist() == [0.0, 1.0, -2.0]
    assert conservative(x, "uncertain", 0.5).tolist() == pytest.approx([0.0, 1.0, -4 / 3])
    assert conservative(x, "uncertain", 0.0).tolist() == conservative(x, "mean").tolist()


def test_one_member_is_itself():
    x = torch.tensor([[2.0, -1.0]])
    for how in ("mean", "min", "uncertain"):
        assert conservative(x, how, 9.0).tolist() == [2.0, -1.0]


@pytest.mark.parametrize(
    ("how", "want"),
    [("mean", [2.0, 4.0, 3.0, -1.0]), ("min", [1.0, 4.0, 0.0, -2.0]), ("uncertain", [1.5, 4.0, -1.5, -1.5])],
)
def test_the_reward_of_an_ensemble(how, want):
    """Members (1, 4, 0, -2) and (3, 4, 6, 0): variances 1, 0, 9, 1, weight 1/2; the spread is their roots' mean."""
    some = groups(a=[1.0, 4.0, 0.0, -2.0], b=[3.0, 4.0, 6.0, 0.0])
    part = Conservative(of=("a", "b"), how=how, weight=0.5, name="both")
    ctx = Quiet(part)
    assert part(some, ctx) is some
    assert rewards(some, "both") == want
    assert rewards(some, "a") == [1.0, 4.0, 0.0, -2.0]
    assert ctx.logged == {"reward/both": [(v, 1.0) for v in want], "ensemble/spread": [(1.25, 4)]}
    assert (part.reads, part.writes) == (("traces", "reward:a", "reward:b"), ("reward:both",))


def test_an_ensemble_is_of_five_unless_told_otherwise():
    part = Conservative()
    assert (part.of, part.how, part.name) == (MEMBERS, "min", "rm")
    some = groups(**{name: [float(i), -float(i)] for i, name in enumerate(MEMBERS)})
    part(some, Quiet(part))
    assert rewards(some, "rm") == [0.0, -4.0]


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Conservative(of=()), "Conservative: of is (), and must be the names of one or more rewards"),
        (lambda: Conservative(weight=-0.1), "Conservative: weight is -0.1, and must be 0 or more"),
        (lambda: Conservative(weight=math.inf), "Conservative: weight is inf"),
    ],
)
def test_what_is_refused(make, told):
    with pytest.raises(SharpenError) as caught:
        make()
    assert told in str(caught.value)


def test_the_first_traces_set_the_scale_for_good():
    """1, 3, 1, 3 have mean 2 and population standard deviation 1; each reward has a scale of its own."""
    part = Standardise(("a", "b"))
    ctx = Quiet(part)
    assert part([], ctx) == []
    assert ctx.memory == {"scale": {}}
    some = part(groups(a=[1.0, 3.0, 1.0, 3.0], b=[0.0, 0.0, 0.0, 8.0], other=[5.0] * 4), ctx)
    assert rewards(some, "a") == [-1.0, 1.0, -1.0, 1.0]
    root = math.sqrt(12)
    assert rewards(some, "b") == pytest.approx([-2 / root] * 3 + [6 / root])
    assert rewards(some, "other") == [5.0] * 4
    assert ctx.logged["standardised/a"] == [(-1.0, 1.0), (1.0, 1.0), (-1.0, 1.0), (1.0, 1.0)]
    assert ctx.memory["scale"]["a"] == [2.0, 1.0]
    later = part(groups(a=[5.0, 2.0], b=[2.0, 2.0]), ctx)
    assert rewards(later, "a") == [3.0, 0.0]
    assert rewards(later, "b") == [0.0, 0.0]


def test_a_model_that_says_one_thing_is_brought_to_zero():
    part = Standardise()
    ctx = Quiet(part)
    assert rewards(part(groups(rm=[7.0, 7.0]), ctx), "rm") == [0.0, 0.0]
    assert ctx.memory["scale"]["rm"] == [7.0, 1e-6]
