"""An engine that is a copy of the model: to the bit the local engine, proved at every sync."""

import pytest
import torch

from sharpen.actor.base import Request
from sharpen.actor.engine.base import Prompt
from sharpen.actor.engine.copied import CopiedEngine
from sharpen.actor.engine.description import Arithmetic, describe, packed, unpack
from sharpen.actor.engine.proof import fingerprint, fingerprints
from sharpen.errors import SharpenError
from sharpen.types import Problem, Sampling
from toy import nano_actor

SAMPLINGS = ({}, {"temperature": 0.7}, {"top_p": 0.6, "temperature": 1.3}, {"top_k": 3}, {"temperature": 0.0})


def copied(actor, folder):
    """A copy of an actor's model, without its weights."""
    describe(actor, folder)
    return CopiedEngine(folder, Arithmetic.of(actor))


def sent(actor):
    """The weights as an actor sends them."""
    return {n: w.to(actor.compute) for n, w in actor.served().items()}


def prompts(actor, n=6, max_tokens=8, **sampling):
    texts = [actor.prompt(Problem("p", t))[0].atoms.tolist() for t in ("ab", "3+4?", "ab")]
    return [Prompt(tuple(texts[i % 3]), Sampling(max_tokens=max_tokens, **sampling), 7 * 2**58 + i) for i in range(n)]


def requests(actor, n=3, **sampling):
    context = tuple(actor.prompt(Problem("p", "ab")))
    return [Request(context, Sampling(**sampling), seed, "policy@0") for seed in range(n)]


def equal(drawn, others):
    """Whether two lists of draws are the same to the bit."""
    columns = ("tokens", "logp", "logp_full", "entropy")
    return len(drawn) == len(others) and all(
        a.end == b.end and all(torch.equal(getattr(a, c), getattr(b, c)) for c in columns)
        for a, b in zip(drawn, others, strict=True)
    )


def move(actor, by=0.05):
    gen = torch.Generator().manual_seed(1)
    actor.load_weights({n: w + by * torch.randn(w.shape, generator=gen) for n, w in actor.weights().items()})


@pytest.mark.parametrize(
    "setup", [{}, {"dtype": "bfloat16"}, {"dtype": "bfloat16", "checkpointing": True}], ids=["f32", "bf16", "autocast"]
)
def test_it_draws_what_the_local_engine_draws_to_the_bit(tmp_path, setup):
    actor = nano_actor(layers=2, **setup)
    with torch.no_grad():  # numbers that half precision holds: the trainer autocasts from the same ones then
        for w in actor.weights().values():
            w.copy_(w.to(actor.compute))
    engine = copied(actor, tmp_path)
    assert engine.exact is False
    assert engine.agreement == (3e-2 if setup else 1e-4)
    assert {p.dtype for p in engine.actor.module.parameters()} == {
        torch.bfloat16 if setup == {"dtype": "bfloat16"} else torch.float32
    }
    for _ in range(2):
        assert engine.sync(sent(actor)) == fingerprints(sent(actor))
        for sampling in (*SAMPLINGS, {"stop": ("a", "7")}):
            with actor._mode():
                want = actor.engine.generate(prompts(actor, **sampling))
            assert equal(engine.generate(prompts(actor, **sampling)), want)
            assert not any(d.entropy.isnan().any() or d.logp_full.isnan().any() for d in want)
        before = [d.tokens.tolist() for d in want]
        move(actor)
        with torch.no_grad():
            for w in actor.weights().values():
                w.copy_(w.to(actor.compute))
        assert [d.tokens.tolist() for d in engine.generate(prompts(actor, stop=("a", "7")))] == before
    assert engine.generate([]) == []


def test_rounded_weights_are_sent_and_drawn_from(tmp_path):
    """Half precision of weights that it does not hold: the trainer rounds them as it computes, a copy gets them so."""
    actor = nano_actor(layers=2, dtype="bfloat16")
    engine = copied(actor, tmp_path)
    engine.sync(sent(actor))
    with actor._mode():
        want = actor.engine.generate(prompts(actor))
    assert equal(engine.generate(prompts(actor)), want)


def test_before_the_first_sync_it_holds_no_weights_and_draws_nothing(tmp_path):
    actor = nano_actor()
    before = torch.random.get_rng_state()
    engine = copied(actor, tmp_path)
    assert torch.equal(torch.random.get_rng_state(), before)  # the trainer's random numbers are its own
    assert all(p.isnan().all() for p in engine.actor.module.parameters())
    with pytest.raises(SharpenError, match="drew from logits that are not numbers"):
        engine.generate(prompts(actor))


def test_the_ends_of_a_sample_are_the_trainers(tmp_path):
    actor = nano_actor()
    actor.plain.generation_config.eos_token_id = [2, 40]  # stands in generation_config.json alone
    actor = type(actor)(actor.module, actor.tokenizer, **actor.options())
    engine = copied(actor, tmp_path)
    assert engine.inner.end_tokens == {2, 40}


def test_tied_weights_are_sent_once_and_an_untied_head_by_its_own_name(tmp_path):
    actor = nano_actor()
    engine = copied(actor, tmp_path)
    assert "lm_head.weight" not in engine.sync(sent(actor))
    head, embedding = engine.actor.plain.lm_head, engine.actor.plain.model.embed_tokens
    assert head.weight is embedding.weight
    head.weight = torch.nn.Parameter(torch.zeros_like(head.weight), requires_grad=False)
    held = engine.sync(sent(actor))
    assert held.keys() - fingerprints(sent(actor)).keys() == {"lm_head.weight"}
    assert held["lm_head.weight"] == fingerprint(torch.zeros_like(head.weight))


def test_a_weight_that_is_lost_wrong_or_unknown_stops_the_run(tmp_path):
    actor = nano_actor()
    engine = copied(actor, tmp_path)
    actor.serve(engine)
    actor.sample(requests(actor))
    sync, name = engine.sync, "model.layers.0.mlp.up_proj.weight"
    whole = fingerprints(sent(actor))

    def stops(how, match):
        engine.sync = lambda weights: sync(how(weights))
        move(actor)
        with pytest.raises(SharpenError, match=match):
            actor.sample(requests(actor))

    stops(lambda w: {n: x for n, x in w.items() if n != name}, rf"of 13 weights it holds other values of 1 \({name}\)")
    stops(lambda w: w | {name: w[name][:1]}, rf"holds other values of 1 \({name}\)")
    assert fingerprints(dict(engine.actor.module.named_parameters()))[name] == whole[name]  # it was left alone
    served = actor.served
    actor.served = lambda: served() | {"model.more": torch.ones(2)}
    engine.sync = sync
    actor.changed()
    with pytest.raises(SharpenError, match=r"of 14 weights it lacks 1 \(model.more\)"):
        actor.sample(requests(actor))
    actor.served = served
    actor.changed()
    assert all(float(s.cols["mismatch"].abs().max()) < 1e-5 for s in actor.sample(requests(actor)))


def test_adapters_are_served_merged(tmp_path):
    pytest.importorskip("peft")
    actor = nano_actor(lora=2)
    engine = copied(actor, tmp_path)
    actor.serve(engine)
    with torch.no_grad():
        for n, w in actor.weights().items():
            if "lora_B" in n:
                w.add_(0.05)
    actor.changed()
    drawn = actor.sample(requests(actor))
    assert all(float(s.cols["mismatch"].abs().max()) < 1e-5 for s in drawn)
    plain = nano_actor()
    held = fingerprints(dict(engine.actor.module.named_parameters()))
    assert held.keys() == fingerprints(plain.served()).keys()
    assert held != fingerprints(plain.served())


def test_a_description_is_packed_without_weights(tmp_path):
    actor = nano_actor()
    unpack(packed(actor), tmp_path)
    names = {p.name for p in tmp_path.iterdir()}
    assert {"config.json", "tokenizer.json"} <= names
    assert not any(n.endswith(".safetensors") for n in names)
    assert CopiedEngine(tmp_path, Arithmetic.of(actor)).sync(sent(actor)) == fingerprints(sent(actor))


def test_a_model_that_cannot_be_built_is_refused(tmp_path):
    actor = nano_actor()
    describe(actor, tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "nothing"}')
    with pytest.raises(SharpenError, match=r"could not be built from its configuration: .*nothing.* `--engine local`"):
        CopiedEngine(tmp_path, Arithmetic.of(actor))
