"""Prompts that rows share go through the model once, and nothing else changes."""

from __future__ import annotations

import pytest
import torch

from sharpen.actor import text
from sharpen.actor.prefix import shared
from sharpen.actor.value import ValueActor
from sharpen.types import Problem, Segment, Trace
from toy import nano_actor


def test_rows_fall_into_prompts_and_answers():
    ids = torch.tensor([[1, 2, 3, 7, 8, 0], [5, 6, 9, 0, 0, 0], [1, 2, 3, 4, 0, 0], [1, 2, 3, 0, 0, 0]])
    how = shared(ids, torch.tensor([3, 2, 3, 3]), torch.tensor([5, 3, 4, 3]))
    assert how.prompts.tolist() == [[1, 2, 3], [5, 6, 0]]
    assert how.owner.tolist() == [0, 1, 0, 0]
    assert how.answers.tolist() == [[7, 8], [9, 0], [4, 0], [0, 0]]


def test_what_saves_little_is_left_alone():
    """Two rows of six tokens: two prompts of three and two answers of three are no fewer; of one prompt, nine are."""
    ids = torch.tensor([[1, 2, 3, 7, 8, 9], [1, 2, 4, 7, 8, 9]])
    start, ends = torch.tensor([3, 3]), torch.tensor([6, 6])
    assert shared(ids, start, ends) is None
    ids[1, 2] = 3
    assert shared(ids, start, ends).prompts.tolist() == [[1, 2, 3]]


def traces(actor):
    """Three answers to one prompt and two to a longer one; one of them in two turns, one that nobody trains on."""
    short, long = Problem("a", "1+2?"), Problem("b", "12+34+5?")
    a, b = actor.prompt(short), actor.prompt(long)
    turns = [*b, actor.given("17"), actor.say("no"), actor.given("51")]
    untrained = [*a, Segment(actor.given("9").atoms)]
    made = [(short, [*a, actor.given(t)]) for t in ("3", "12", "31")]
    return [Trace(p, s) for p, s in (*made, (long, [*b, actor.given("51")]), (long, turns), (short, untrained))]


def scored(actor, wants=()):
    some = traces(actor)
    batch = actor.collate(some, torch.zeros(len(some), dtype=torch.long), ())
    said = actor.score(batch, wants)
    columns = [said.logp, *(said.extra[w] for w in wants)]
    weights = torch.arange(1.0, len(batch) + 1)
    for _, p in actor.parameters():
        p.grad = None
    sum((x * weights).sum() * (k + 1) for k, x in enumerate(columns)).backward()
    grads = torch.cat([torch.zeros(0), *(p.grad.flatten() for _, p in actor.parameters() if p.grad is not None)])
    return [x.detach() for x in columns], grads


def policy():
    return nano_actor(width=32, layers=2, max_tokens=4), ("entropy",)


def critic():
    actor = ValueActor(nano_actor(width=32, layers=2, max_tokens=4), 0.5, torch.Generator().manual_seed(0))
    return actor, ("value", "score")


@pytest.mark.parametrize("make", [policy, critic])
def test_log_probs_values_and_gradients_are_those_of_whole_rows(make, monkeypatch):
    actor, wants = make()
    found = []

    def watched(*rows):
        found.append(shared(*rows))
        return found[-1]

    monkeypatch.setattr(text, "shared", watched)
    columns, grads = scored(actor, wants)
    assert [how.prompts.shape[0] for how in found] == [3]  # the first token of what nobody trains on is one
    monkeypatch.setattr(text, "shared", lambda *rows: None)
    plain, expected = scored(actor, wants)
    assert grads.abs().max() > 0.1
    for got, want in zip(columns, plain, strict=True):
        assert torch.allclose(got, want, atol=1e-6)
    assert torch.allclose(grads, expected, atol=2e-6 * float(expected.abs().max()), rtol=1e-5)


def test_half_precision_shares_too(monkeypatch):
    actor = nano_actor(width=32, layers=2, max_tokens=4, dtype="bfloat16")
    (logp,), _ = scored(actor)
    monkeypatch.setattr(text, "shared", lambda *rows: None)
    (plain,), _ = scored(actor)
    assert torch.allclose(logp, plain, atol=3e-2)
