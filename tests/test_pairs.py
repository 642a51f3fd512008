"""The loss of pairs: every published form by hand or by a slow version of its own, and where its gradient goes."""

import math
from dataclasses import replace

import pytest
import torch

from benches import TASTE, followed, preferred, ranked
from sharpen.errors import SharpenError
from sharpen.loss.pairs import Pair
from sharpen.recipe import Term
from sharpen.recipes import recipe
from sharpen.reduction import count, numerator
from sharpen.types import Batch, Scored, Sets
from table import TABLE

TRACE = [0, 0, 1, 2, 3, 3, 3]
"""Four traces of 2, 1, 1 and 3 atoms; the pairs are (0, 1) and (3, 2)."""


def batch(ref=None, trace=TRACE, members=((0, 1), (3, 2)), **cols):
    trace = torch.tensor(trace)
    n = int(trace.max()) + 1
    known = {} if ref is None else {"logp_ref": torch.tensor(ref).log()}
    sets = Sets(list(members), {k: torch.tensor(v) for k, v in cols.items()})
    return Batch([None] * n, known, trace, trace, torch.zeros(n, dtype=torch.long), {}, sets)


P = [0.4, 0.3, 0.2, 0.5, 0.9, 0.8, 0.1]
REF = [0.2, 0.3, 0.4, 0.25, 0.9, 0.4, 0.2]
# log-ratios of the traces: log 2, -log 2, log 2, 0; so u = 2 log 2 and -log 2
U = [2 * math.log(2), -math.log(2)]


def gradient(loss, b, probs=P, **extra):
    logp = torch.tensor(probs).log().requires_grad_()
    extra = {k: torch.tensor(v).requires_grad_() for k, v in extra.items()}
    out = loss(Scored(logp, extra), b)
    out.sum().backward()
    return out.detach(), extra["score"].grad if extra else logp.grad


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def test_dpo_by_hand():
    """beta 1/2: -log s(log 2) = log(3/2) and -log s(-log(2)/2); the slope by each atom is -+ beta s(-z)."""
    values, grads = gradient(Pair(beta=0.5), batch(REF))
    assert values.tolist() == pytest.approx([math.log(1.5), math.log(1 + math.sqrt(2))], rel=1e-5)
    a, b = 0.5 / 3, 0.5 * math.sqrt(2) / (1 + math.sqrt(2))
    assert grads.tolist() == pytest.approx([-a, -a, a, b, -b, -b, -b], rel=1e-5)


def test_dpo_at_the_reference_is_log_two_and_moves_both_sides_alike():
    values, grads = gradient(Pair(), batch(REF), REF)
    assert values.tolist() == pytest.approx([math.log(2)] * 2)
    assert grads.tolist() == pytest.approx([-0.05, -0.05, 0.05, 0.05, -0.05, -0.05, -0.05])


def test_the_likelihood_of_the_better_one_by_hand():
    """DPO as above, and twice -(log .4 + log .3) / 2 for the pair (0, 1), -(log .9 + log .8 + log .1) / 3 for (3, 2)"""
    plain, before = gradient(Pair(beta=0.5), batch(REF))
    values, grads = gradient(Pair(beta=0.5, nll=2.0), batch(REF))
    assert (values - plain).tolist() == pytest.approx([-math.log(0.12), -2 / 3 * math.log(0.072)], rel=1e-5)
    assert (grads - before).tolist() == pytest.approx([-1, -1, 0, 0, -2 / 3, -2 / 3, -2 / 3], rel=1e-5)


def test_ipo_by_hand_and_still_at_its_target():
    """(u - 1 / (2 beta))^2 with beta 1/4: the target is 2."""
    values, grads = gradient(Pair(link="square", beta=0.25), batch(REF))
    assert values.tolist() == pytest.approx([(u - 2) ** 2 for u in U], rel=1e-5)
    one, two = (2 * (u - 2) for u in U)
    assert grads.tolist() == pytest.approx([one, one, -one, -two, two, two, two], rel=1e-5)
    _, still = gradient(Pair(link="square", beta=1 / (2 * U[0])), batch(REF, TRACE, [(0, 1)]))
    assert still.tolist() == pytest.approx([0.0] * 7, abs=1e-6)


def test_conservative_dpo_mixes_both_labels_and_half_teaches_nothing_at_a_tie():
    values, _ = gradient(Pair(beta=0.5, smooth=0.1), batch(REF))
    want = [-0.9 * math.log(sigmoid(u / 2)) - 0.1 * math.log(sigmoid(-u / 2)) for u in U]
    assert values.tolist() == pytest.approx(want, rel=1e-5)
    _, grads = gradient(Pair(smooth=0.5), batch(REF), REF)
    assert grads.tolist() == [0.0] * 7
    # the slope vanishes where the odds of the labels are met: s(z) = 0.9
    wide = [[0.5, 0.5], [0.5, 0.5 / 81]]
    _, grads = gradient(Pair(beta=0.5, smooth=0.1), batch(wide[0], [0, 1], [(0, 1)]), wide[1])
    assert grads.tolist() == pytest.approx([0.0, 0.0], abs=1e-6)


def test_simpo_by_hand():
    """Mean log-probs: (log 0.12) / 2, log 0.2, log 0.5, (log 0.072) / 3; beta 2, margin 1; no reference is read."""
    loss = Pair(score="logp", agg="mean", beta=2.0, margin=1.0)
    assert loss.reads == ()
    values, grads = gradient(loss, batch())
    gaps = [math.log(0.12) / 2 - math.log(0.2), math.log(0.072) / 3 - math.log(0.5)]
    assert values.tolist() == pytest.approx([math.log(1 + math.exp(1 - 2 * g)) for g in gaps], rel=1e-5)
    a, b = (2 * sigmoid(1 - 2 * g) for g in gaps)
    assert grads.tolist() == pytest.approx([-a / 2, -a / 2, a, b, -b / 3, -b / 3, -b / 3], rel=1e-5)


def test_hinge_is_silent_once_the_pair_is_a_margin_apart():
    """Sums: log 0.12, log 0.2, log 0.5, log 0.072. max(0, 1 - gap), and 0 where the gap is above 1."""
    loss = Pair(score="logp", link="hinge", beta=1.0)
    values, grads = gradient(loss, batch(members=[(2, 0), (0, 1)]))
    assert values.tolist() == pytest.approx([0.0, 1 - math.log(0.6)], rel=1e-5)
    assert grads.tolist() == [-1.0, -1.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    wider = replace(loss, margin=1.0)
    values, _ = gradient(wider, batch(members=[(2, 0)]))
    assert values.tolist() == pytest.approx([2 - math.log(0.5 / 0.12)], rel=1e-5)


def test_bradley_terry_looks_at_the_last_atom_of_each_trace_alone():
    loss = Pair(score="score", beta=1.0)
    assert (loss.wants, loss.reads) == (("score",), ())
    values, grads = gradient(loss, batch(), score=[9.0, 1.0, 0.5, -1.0, 9.0, 9.0, 2.0])
    assert values.tolist() == pytest.approx([math.log(1 + math.exp(-0.5)), math.log(1 + math.exp(-3))], rel=1e-5)
    a, b = sigmoid(-0.5), sigmoid(-3)
    assert grads.tolist() == pytest.approx([0, -a, a, b, 0, 0, -b], rel=1e-5)


def test_margins_and_doubts_of_each_pair():
    b = batch(REF, gap=[0.0, 1.0], doubt=[0.5, 0.0])
    values, _ = gradient(Pair(beta=0.5, margin="gap"), b)
    assert values.tolist() == pytest.approx([-math.log(sigmoid(U[0] / 2)), -math.log(sigmoid(U[1] / 2 - 1))], rel=1e-5)
    values, _ = gradient(Pair(beta=0.5, smooth="doubt"), b)
    z = [u / 2 for u in U]
    half = -(math.log(sigmoid(z[0])) + math.log(sigmoid(-z[0]))) / 2
    assert values.tolist() == pytest.approx([half, -math.log(sigmoid(z[1]))], rel=1e-5)
    with pytest.raises(SharpenError, match=r"margin from the column 'size' of the sets, which have gap, doubt"):
        gradient(Pair(margin="size"), b)


def test_a_row_in_several_pairs_counts_in_each():
    _, grads = gradient(Pair(), batch(REF, TRACE, [(0, 1), (0, 2)]), REF)
    assert grads.tolist() == pytest.approx([-0.1, -0.1, 0.05, 0.05, 0, 0, 0])


def test_the_mean_is_over_pairs():
    b = batch(REF)
    new = Scored(torch.tensor(P).log())
    term = Term(Pair(beta=0.5))
    assert count(term, b) == 2.0
    assert float(numerator(term, new, b)) == pytest.approx(math.log(1.5) + math.log(1 + math.sqrt(2)), rel=1e-5)


def test_what_is_watched():
    seen = Pair(beta=0.5).watch(Scored(torch.tensor(P).log()), batch(REF))
    assert seen["pair/accuracy"].tolist() == [1.0, 0.0]
    assert seen["pair/gap"].tolist() == pytest.approx([u / 2 for u in U], rel=1e-5)
    tied = Pair().watch(Scored(torch.tensor(REF).log()), batch(REF))
    assert tied["pair/accuracy"].tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Pair(beta=0.0), "Pair: beta is 0.0, and must be a number above 0"),
        (lambda: Pair(smooth=0.6), "Pair: smooth is 0.6, and must be from 0 to 0.5"),
        (lambda: Pair(margin=math.nan), "Pair: margin is nan"),
        (lambda: Pair(nll=-1.0), "Pair: nll is -1.0, and must be 0 or more"),
        (lambda: Pair(score="score", nll=1.0), "Pair: nll is 1.0, and must be 0 for a score"),
        (lambda: Pair(score="score", agg="mean"), "Pair: agg is 'mean', and must be sum for a score"),
        (lambda: Pair()(Scored(torch.zeros(7)), batch(REF, TRACE, [(0, 1, 2)])), "Give the update `rows=Pairs()`"),
    ],
)
def test_what_is_refused(make, told):
    with pytest.raises(SharpenError) as caught:
        make()
    assert told in str(caught.value)


def test_only_the_given_texts_are_trained_and_micro_batches_add_up():
    """The gradient of a whole step equals that of pairs one at a time; prompt tokens are context."""
    grads = []
    for tokens in (16384, 1):
        trainer = TASTE.trainer(replace(recipe("dpo"), loop=replace(recipe("dpo").loop, problems=6)), seed=3)
        trainer.ctx.micro_tokens = tokens
        done = trainer.step()
        assert done.cost["trained_tokens"] == sum(t.length for g in done.groups for t in g.traces)
        assert done.metrics["loss/pair"] == pytest.approx(math.log(2), abs=1e-6)
        grads.append(torch.cat([p.grad.flatten() for _, p in trainer.policy.parameters()]))
    torch.testing.assert_close(grads[0], grads[1], rtol=1e-4, atol=1e-6)
    assert float(grads[0].abs().max()) > 1e-3


def test_the_base_of_the_bench_has_much_to_learn():
    assert 0.46 < TASTE.measure(TASTE.trainer(recipe("dpo"))) < 0.5


def test_where_the_measures_of_the_rows_begin():
    """A policy is not preferred to itself; before it follows a model it pleases it as much as the base does."""
    assert preferred(TASTE.trainer(recipe("dpo"))) == 0.5
    row = next(r for r in TABLE if r.name == "rm-ppo")
    trainer = TASTE.trainer(row.recipe)
    assert 0.3 < ranked(trainer) < 0.65  # the head is random
    trainer.step()
    assert followed(trainer) == 0.0
    assert ranked(trainer) > 0.7
