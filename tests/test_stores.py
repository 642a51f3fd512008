"""Demonstrations that wait in a store until there are enough, and what ReLIFT makes of them."""

from dataclasses import replace

import pytest
import torch

from sharpen.actor.scripted import ScriptedActor
from sharpen.ctx import Ctx
from sharpen.errors import SharpenError
from sharpen.loop import Trainer
from sharpen.loss.policy import Entropy, PPOClip
from sharpen.recipe import Loop, Term
from sharpen.recipes import recipe
from sharpen.rollout.edit import demonstration
from sharpen.rollout.hints import Remember
from sharpen.rows import Take
from sharpen.task.chain import Chain
from sharpen.types import Batch, Group, Problem, Scored, Trace
from toy import Copy, nano_actor

CHAIN = Chain(2, 2, 3, 3)


def test_a_store_gives_its_oldest_once_it_is_full():
    ctx = Ctx(recipe("relift"), CHAIN, {"policy": ScriptedActor(lambda text, rng: "?")})
    take, remember = Take("hard", 3), Remember()

    def group(key, solved):
        p = Problem(key, key, key, (key,))
        return Group(p, [Trace(p, [], solved=s) for s in solved])

    assert take([], ctx) == ([], None)
    remember([group("a", [False, False]), group("b", [True, False]), group("c", [False])], ctx)
    assert take([], ctx) == ([], None)
    remember([group("d", [False]), group("e", [False])], ctx)
    assert ctx.metrics.take()["store/hard"] == 3.0  # the mean of 2 and 4
    rows, sets = take([], ctx)
    assert [t.text for t in rows] == ["a", "c", "d"]
    assert sets is None
    assert [t.text for t in ctx.stores["hard"]] == ["e"]
    assert take([], ctx) == ([], None)
    assert all(t.agent == "data" and t.actions[0].trainable and t.actions[0].logp is None for t in rows)
    with pytest.raises(SharpenError, match="Take: n is 0"):
        Take("hard", 0)


def test_relift_imitates_only_when_enough_is_stored():
    """Four problems an iteration that an untrained model never solves; six are imitated at a time."""
    r = recipe("relift")
    r = replace(r, loop=Loop(5, 4), updates=(r.updates[0], replace(r.updates[1], rows=Take("hard", 6))))
    trainer = Trainer(r, CHAIN, nano_actor(max_tokens=3))
    seen = [trainer.step().metrics for _ in range(5)]
    assert [m["rows/imitate"] for m in seen] == [0, 6, 6, 0, 6]  # 4, 8 - 6, 6 - 6, 4, 8 - 6
    assert [m["store/hard"] for m in seen] == [4, 8, 6, 4, 8]
    assert [m["rows/reinforce"] for m in seen] == [32] * 5
    assert [x.steps for x in trainer.learners] == [5, 3]
    assert len(trainer.ctx.stores["hard"]) == 2


def test_relift_takes_the_unclipped_ratio():
    loss = recipe("relift").updates[0].terms[0].loss
    batch = Batch(
        [None], {"logp_old": torch.tensor([0.1, 0.1]).log(), "adv": torch.tensor([1.0, -1.0])}, *[None] * 3, {}
    )
    batch.ids = lambda unit: torch.arange(2)
    logp = torch.tensor([0.5, 0.01]).log().requires_grad_()
    out = loss(Scored(logp), batch)
    out.sum().backward()
    torch.testing.assert_close(out.detach(), torch.tensor([-5.0, 0.1]))
    torch.testing.assert_close(logp.grad, torch.tensor([-5.0, 0.1]))
    assert isinstance(loss, PPOClip)


def test_entropy_is_a_bonus_on_every_atom():
    """-H of a plain softmax, and a step against its gradient makes the policy less sure."""
    actor = nano_actor()
    trace = demonstration(Copy().fixed("test", 1)[0], actor)
    batch = actor.collate([trace], torch.tensor([0]), ())

    def loss():
        return Entropy()(actor.score(batch, Entropy().wants), batch)

    ids = torch.cat([s.atoms for s in trace.segments])
    logs = actor.module(input_ids=ids[None]).logits[0, len(trace.segments[0]) - 1 : -1].log_softmax(-1).detach()
    before = loss()
    torch.testing.assert_close(before.detach(), (logs.exp() * logs).sum(-1), atol=1e-4, rtol=0)
    before.mean().backward()
    with torch.no_grad():
        for _, p in actor.parameters():
            p -= 0.1 * p.grad
        assert float(loss().mean()) < float(before.detach().mean()) - 1e-3
    assert recipe("relift").updates[1].terms[1] == Term(Entropy(), weight=1e-3, mean_over="atom")
