"""Truncated importance weights of what an engine drew: values, gradients, and none where the trainer drew."""

import math

import pytest
import torch

from sharpen.loss.policy import KL, NLL, Entropy, MirrorDescent, PPOClip, Reinforce
from sharpen.loss.shaped import Shaped
from sharpen.recipe import Term
from sharpen.reduction import TRUNCATE, numerator, trust, trust_unit
from sharpen.types import Batch, Scored

# two traces of three and two atoms; the first has two segments; the last atom was given by somebody
GAPS = torch.tensor([math.log(0.5), math.log(3.0), math.log(0.8), math.log(0.25), math.nan])
SEGMENT, TRACE = torch.tensor([0, 0, 1, 2, 2]), torch.tensor([0, 0, 0, 1, 1])


def batch(**cols):
    given = {"adv": torch.tensor([1.0, -1.0, 2.0, 1.0, 1.0]), "logp_old": torch.full((5,), -1.0), **cols}
    return Batch([None, None], given, SEGMENT, TRACE, torch.tensor([0, 0]), {})


def gradient(term, b):
    logp = torch.full((5,), -1.0, requires_grad=True)
    value = numerator(term, Scored(logp, {"entropy": logp}), b)
    value.backward()
    return float(value.detach()), logp.grad.tolist()


def test_weights_are_products_over_the_unit_and_never_above_two():
    b = batch(mismatch=GAPS)
    assert TRUNCATE == 2.0
    assert trust(b, "atom").tolist() == pytest.approx([0.5, 2.0, 0.8, 0.25, 1.0])
    assert trust(b, "segment").tolist() == pytest.approx([1.5, 1.5, 0.8, 0.25, 0.25])
    assert trust(b, "trace").tolist() == pytest.approx([1.2, 1.2, 1.2, 0.25, 0.25])


def test_which_losses_are_corrected_and_at_which_unit():
    units = {
        PPOClip(): "atom",
        PPOClip(ratio_unit="trace", ratio_how="mean"): "trace",
        PPOClip(ratio_unit="segment", ratio_how="sum"): "segment",
        Reinforce(): "atom",
        MirrorDescent(): "trace",
        Shaped(): "atom",
        KL(): None,
        NLL(): None,
        Entropy(): None,
    }
    assert {loss: trust_unit(loss) for loss in units} == units


def test_a_policy_gradient_is_weighed_atom_by_atom():
    term = Term(PPOClip(), mean_over="sum")
    value, grad = gradient(term, batch(mismatch=GAPS))
    assert grad == pytest.approx([-0.5, 2.0, -1.6, -0.25, -1.0])
    assert value == pytest.approx(-0.5 + 2.0 - 1.6 - 0.25 - 1.0)
    _, grad = gradient(Term(Reinforce()), batch(mismatch=GAPS))  # the mean of each trace
    assert grad == pytest.approx([-0.5 / 3, 2.0 / 3, -1.6 / 3, -0.125, -0.5])


def test_a_ratio_of_whole_traces_is_weighed_by_whole_traces():
    term = Term(PPOClip(ratio_unit="trace", ratio_how="sum"), mean_over="sum")
    _, plain = gradient(term, batch())
    _, grad = gradient(term, batch(mismatch=GAPS))
    assert grad == pytest.approx([1.2 * g for g in plain[:3]] + [0.25 * g for g in plain[3:]])
    term = Term(MirrorDescent(tau=0.5))
    value, plain = gradient(term, batch())
    weighed, grad = gradient(term, batch(mismatch=GAPS))
    assert grad == pytest.approx([1.2 * g for g in plain[:3]] + [0.25 * g for g in plain[3:]])
    assert value == pytest.approx((2 / 3) ** 2 + 1.0)
    assert weighed == pytest.approx(1.2 * (2 / 3) ** 2 + 0.25)


def test_atoms_that_are_left_out_still_belong_to_their_trace():
    some = torch.tensor([1.0, 0.0, 0.0, 0.0, 1.0])
    term = Term(PPOClip(ratio_unit="trace", ratio_how="mean"), mean_over="sum", where="some")
    _, plain = gradient(term, batch(some=some))
    _, grad = gradient(term, batch(some=some, mismatch=GAPS))
    assert grad == pytest.approx([1.2 * plain[0], 0.0, 0.0, 0.0, 0.25 * plain[4]])


@pytest.mark.parametrize("loss", [NLL(), Entropy(), KL(ref="logp_old")])
def test_other_losses_are_left_alone(loss):
    assert gradient(Term(loss), batch(mismatch=GAPS)) == gradient(Term(loss), batch())


def test_unknown_and_equal_probabilities_weigh_one_to_the_bit():
    for gaps in (torch.zeros(5), torch.full((5,), math.nan)):
        assert gradient(Term(PPOClip()), batch(mismatch=gaps)) == gradient(Term(PPOClip()), batch())
