"""An engine with weights of its own: when it is synced, and what proves that it draws from the policy."""

from dataclasses import replace

import pytest
import torch

from second import CopyEngine
from sharpen.actor import language
from sharpen.actor.base import Request
from sharpen.actor.engine.proof import Rescored, fingerprint, fingerprints, same_policy, same_weights
from sharpen.ctx import Ctx
from sharpen.errors import SharpenError
from sharpen.loop import Trainer
from sharpen.recipe import AdamW, Frozen, Update
from sharpen.recipes import recipe
from sharpen.types import Problem, Sampling
from toy import Copy, nano_actor, weights_equal


def requests(actor, n=3, **sampling):
    context = tuple(actor.prompt(Problem("p", "ab")))
    return [Request(context, Sampling(**sampling), seed, "policy@0") for seed in range(n)]


def served(**options):
    actor = nano_actor(max_tokens=6)
    engine = CopyEngine(actor, **options)
    actor.serve(engine)
    return actor, engine


class Even(Copy):
    """A task that an untrained model solves half of the time."""

    def verify(self, problem, trace):
        return {"correct": float(sum(map(ord, trace.text)) % 2), "short": float(len(trace.text) == 1)}


def tiny(name="grpo", **loop):
    r = recipe(name)
    return replace(r, loop=replace(r.loop, problems=2, iterations=3, **loop))


def test_fingerprints_are_of_every_bit_and_of_the_order():
    x = torch.tensor([1.0, 2.0, 3.0])
    bits, weights = [0x3F800000, 0x40000000, 0x40400000], [(i * 0x9E3779B97F4A7C15 | 1) % 2**64 for i in (1, 2, 3)]
    want = (3 + sum(b * w for b, w in zip(bits, weights, strict=True))) % 2**64
    assert fingerprint(x) % 2**64 == want
    assert fingerprint(x[:, None]) == fingerprint(x)
    others = [x[[1, 0, 2]], x.double(), x[:2], torch.nextafter(x, x + 1), torch.tensor([1.0, 2.0, -3.0])]
    assert len({fingerprint(y) for y in [x, *others]}) == 6
    half = x.to(torch.bfloat16)
    assert fingerprint(half) == fingerprint(half.clone()) != fingerprint(x)


def test_what_is_not_held_as_it_was_sent_is_named():
    sent = {"a": 1, "b": 2, "c": 3, "d": 4}
    same_weights(sent, dict(sent))
    with pytest.raises(SharpenError, match=r"of 4 weights it holds other values of 2 \(a, b\), and it lacks 1 \(d\)"):
        same_weights(sent, {"a": 2, "b": 3, "c": 3})
    with pytest.raises(SharpenError, match=r"it has something of its own in 1 \(head\)"):
        same_weights(sent, {**sent, "head": 9})


def test_a_copy_draws_what_the_local_engine_draws_and_the_trainer_says_what_it_thinks_of_it():
    local, (actor, _) = nano_actor(max_tokens=6), served()
    for sampling in ({}, {"temperature": 0.7}, {"top_p": 0.6, "temperature": 1.3}, {"top_k": 3}, {"temperature": 0.0}):
        mine = actor.sample(requests(actor, **sampling))
        for s, t in zip(mine, local.sample(requests(local, **sampling)), strict=True):
            assert s.atoms.tolist() == t.atoms.tolist()
            assert torch.equal(s.logp, t.logp)
            for name in ("logp_old", "entropy"):
                torch.testing.assert_close(s.cols[name], t.cols[name], atol=1e-5, rtol=0)
            assert s.info == t.info
            assert list(t.cols) == ["logp_old", "entropy"]
            assert ("mismatch" in s.cols) == (sampling.get("temperature") != 0.0)  # greedy: no sample
            assert "mismatch" not in s.cols or float(s.cols["mismatch"].abs().max()) < 1e-5


def test_it_is_synced_before_it_first_draws_and_after_each_change():
    actor, engine = served()
    assert engine.syncs == []
    actor.sample(requests(actor))
    actor.sample(requests(actor))
    assert len(engine.syncs) == 1
    assert weights_equal(engine.syncs[0], actor.served())
    actor.load_weights({n: w + 1e-7 for n, w in actor.weights().items()})
    actor.sample(requests(actor))
    assert len(engine.syncs) == 2
    assert weights_equal(engine.syncs[1], actor.served())


def test_a_run_syncs_after_every_update_and_equals_a_local_one():
    """The same weights in the same arithmetic train the same, but for the rounding of the scoring pass."""
    actor, engine = served()
    one, two = Trainer(tiny(), Even(), actor), Trainer(tiny(), Even(), nano_actor(max_tokens=6))
    for k in range(3):
        a, b = one.step(), two.step()
        # the second iteration draws by the weights the first one left
        assert len(engine.syncs) == k + 1
        assert [t.text for g in a.groups for t in g.traces] == [t.text for g in b.groups for t in g.traces]
        assert a.metrics["engine/gap"] < 1e-5
        assert a.metrics["grad_norm"] == pytest.approx(b.metrics["grad_norm"], rel=1e-3) != 0
        assert a.metrics["engine/trust"] == pytest.approx(1.0, abs=1e-5)
        assert a.metrics["engine/truncated"] == 0.0
        assert not any(n.startswith("engine") for n in b.metrics)
    assert a.cost["scored_tokens"] == b.cost["scored_tokens"] + a.cost["generated_tokens"] + a.cost["prompt_tokens"]


def test_a_slow_copy_on_an_engine_is_synced_after_it_has_moved():
    r = recipe("grpo")
    r = replace(r, actors=(*r.actors, ("slow", Frozen("policy", "step", 0.5))))
    actor = nano_actor(max_tokens=6)
    slow = actor.freeze(still=False)
    ctx = Ctx(r, Even(), {"policy": actor, "slow": slow})
    slow.serve(CopyEngine(slow))
    slow.sample(requests(slow))
    actor.load_weights({n: w + 0.02 for n, w in actor.weights().items()})
    ctx.follow("policy")
    slow.sample(requests(slow))
    first, second = slow.engine.syncs
    for n, w in second.items():
        torch.testing.assert_close(w, first[n] + 0.01)


def test_copies_of_the_policy_draw_locally():
    actor, engine = served()
    for other in (actor.freeze(), actor.twin()):
        other.sample(requests(other))
        assert other.engine.exact
    assert engine.syncs == []


def test_a_partial_load_stops_the_run():
    actor, _ = served(drop="model.layers.0.mlp.up_proj.weight")
    with pytest.raises(SharpenError, match=r"of 13 weights it holds other values of 1 \(model.layers.0.mlp.up_proj"):
        Trainer(tiny(), Even(), actor).step()


def test_a_skipped_sync_stops_the_run_however_small_the_update_was():
    actor, engine = served()
    r = tiny()
    (update,) = (u for u in r.updates if isinstance(u, Update))
    slow = replace(r, updates=(replace(update, optimiser=AdamW(lr=1e-7)),))
    trainer = Trainer(slow, Even(), actor)
    trainer.step()
    engine.deaf = True
    with pytest.raises(SharpenError, match="does not hold the trainer's weights after a sync"):
        trainer.step()
    # the log-probs alone would not have told
    engine.lying = True
    assert max(float(s.cols["mismatch"].abs().mean()) for s in actor.sample(requests(actor))) < 1e-4


def test_weights_are_looked_at_once_a_sync_and_not_at_every_call(monkeypatch):
    actor, _ = served()
    looked = []
    plain = language.fingerprints
    monkeypatch.setattr(language, "fingerprints", lambda weights: looked.append(len(weights)) or plain(weights))
    for _ in range(3):
        actor.sample(requests(actor))
    assert looked == [13, 13]  # the trainer's, and what was sent
    actor.changed()
    actor.sample(requests(actor))
    assert len(looked) == 4


def test_weights_written_behind_the_engines_back_stop_the_run():
    actor, _ = served()
    actor.sample(requests(actor))
    with torch.no_grad():
        next(iter(actor.weights().values()))[0, 0] += 1e-6
    with pytest.raises(SharpenError, match=r"stale weights: 1 weights of the trainer \(model.embed_tokens.weight"):
        actor.sample(requests(actor))
    actor.changed()
    actor.sample(requests(actor))


def test_an_engine_that_lies_about_its_weights_is_found_out_by_its_log_probs():
    actor, engine = served()
    actor.sample(requests(actor))
    engine.deaf = engine.lying = True
    actor.load_weights({n: 1.5 * w for n, w in actor.weights().items()})
    with pytest.raises(SharpenError, match=r"does not draw from the trainer's policy: .* \(limit 0.00019, largest"):
        actor.sample(requests(actor))


def test_the_limit_is_for_64_tokens_and_wider_for_fewer():
    def rescored(gap, n):
        return Rescored(torch.zeros(n), torch.zeros(n), torch.full((n,), -gap))

    assert same_policy([rescored(0.03, 40), rescored(0.01, 40)], 0.02) == pytest.approx(0.02)
    assert same_policy([rescored(0.15, 1)], 0.02) == pytest.approx(0.15)
    with pytest.raises(SharpenError, match=r"differ from the trainer's by 0.17 on average \(limit 0.16, largest 0.17"):
        same_policy([rescored(0.17, 1)], 0.02)
    with pytest.raises(SharpenError, match=r"by nan on average \(limit 0.02"):
        same_policy([rescored(float("nan"), 100)], 0.02)


def test_another_arithmetic_is_measured_within_the_limit():
    actor, engine = served(noise=0.02, lying=True)
    engine.agreement = 1.0
    for s in actor.sample(requests(actor, temperature=0.8)):
        torch.testing.assert_close(s.cols["mismatch"], s.cols["logp_old"] - s.logp)
        assert float(s.cols["mismatch"].abs().min()) > 1e-5
    for s in actor.sample(requests(actor, top_k=4)):
        # both are cut to the same four tokens: what is left are the two distributions over these
        assert float(s.cols["mismatch"].abs().max()) < 0.5
        assert bool((s.logp > s.cols["logp_old"]).all())


def test_the_last_engine_is_closed():
    actor, engine = served()
    actor.serve(CopyEngine(actor))
    assert engine.closed == 1
    last = actor.engine
    actor.close()
    assert last.closed == 1


def test_adapters_are_merged_into_what_is_sent():
    pytest.importorskip("peft")
    actor = nano_actor(max_tokens=4, lora=2)
    plain = nano_actor(max_tokens=4)
    engine = CopyEngine(actor, model=plain.module)  # one that knows of no adapters
    actor.serve(engine)
    with torch.no_grad():
        for n, w in actor.weights().items():
            if "lora_B" in n:
                w.add_(0.05)
    s = actor.sample(requests(actor))[0]
    sent = engine.syncs[0]
    assert sent.keys() == dict(plain.module.named_parameters()).keys()
    assert fingerprints(sent) != fingerprints(dict(plain.module.named_parameters()))
    assert float(s.cols["mismatch"].abs().max()) < 1e-5
