"""Adapters merged one weight at a time, and what is not trained kept in the type it is computed with."""

import copy

import torch
from transformers import AutoModelForCausalLM

from sharpen.actor.adapters import merged
from sharpen.actor.base import Request
from sharpen.actor.load import ModelSetup, load_language
from sharpen.actor.value import ValueActor
from sharpen.types import Problem, Sampling, Trace
from toy import nano_actor

PROBLEM = Problem("p", "2+2?", "4")


def adapted(dtype="float32", **more):
    """A model whose adapters do something."""
    actor = nano_actor(lora=2, dtype=dtype, **more)
    gen = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, p in actor.module.named_parameters():
            if "lora_B" in name:
                p.copy_(0.1 * torch.randn(p.shape, generator=gen))
    return actor


def drawn(actor, n=4):
    prompt = tuple(actor.prompt(PROBLEM))
    segments = actor.sample([Request(prompt, Sampling(), seed, "policy@0") for seed in range(n)])
    return [Trace(PROBLEM, [*prompt, s]) for s in segments]


def scored(actor, traces):
    with torch.no_grad():
        return actor.score(actor.collate(traces, torch.arange(len(traces)), ()), ("entropy",))


def test_merged_weights_are_those_of_peft_one_by_one():
    actor = adapted()
    theirs = dict(copy.deepcopy(actor.module).merge_and_unload().named_parameters())
    ours = dict(merged(actor.module))
    assert list(ours) == list(theirs)
    assert all(torch.allclose(ours[n], theirs[n], atol=1e-7) for n in ours)
    bare, base = dict(merged(actor.module, adapter=False)), dict(nano_actor().module.named_parameters())
    assert list(bare) == list(base)
    assert all(torch.equal(bare[n], base[n]) for n in bare)
    assert not torch.equal(ours["model.layers.0.mlp.up_proj.weight"], bare["model.layers.0.mlp.up_proj.weight"])
    assert ours["model.embed_tokens.weight"].data_ptr() == actor.plain.get_input_embeddings().weight.data_ptr()


def test_an_exported_model_with_adapters_is_the_merged_one_in_float32(tmp_path):
    for dtype in ("float32", "bfloat16"):
        actor = adapted(dtype)
        actor.export(tmp_path / dtype)
        again = AutoModelForCausalLM.from_pretrained(tmp_path / dtype, dtype="auto")
        found = dict(again.named_parameters())
        assert {p.dtype for p in found.values()} == {torch.float32}
        expected = dict(merged(actor.module))
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[n], expected[n].float()) for n in found)
        # and the run's own model is as it was
        assert sum("lora_A" in n for n, _ in actor.module.named_parameters()) == 7


def test_what_is_not_trained_is_kept_in_the_type_of_the_products():
    actor = adapted("bfloat16")
    types = {("lora" in n, p.dtype) for n, p in actor.module.named_parameters()}
    assert types == {(True, torch.float32), (False, torch.bfloat16)}
    wide = adapted("bfloat16")
    for p in wide.module.parameters():  # the numbers are those of the rounded weights
        p.data = p.data.float()
    traces = drawn(actor)
    for a, b in zip(traces, drawn(wide), strict=True):
        assert torch.equal(a.actions[0].atoms, b.actions[0].atoms)
        assert torch.equal(a.actions[0].cols["logp_old"], b.actions[0].cols["logp_old"])
    one, two = scored(actor, traces), scored(wide, traces)
    assert torch.equal(one.logp, two.logp)
    assert torch.equal(one.extra["entropy"], two.extra["entropy"])


def test_a_loaded_base_is_never_held_in_float32(tmp_path):
    nano_actor().export(tmp_path / "m")
    actor = load_language(tmp_path / "m", ModelSetup(device="cpu", dtype="bfloat16", lora=2))
    assert {p.dtype for n, p in actor.module.named_parameters() if "lora" not in n} == {torch.bfloat16}
    whole = load_language(tmp_path / "m", ModelSetup(device="cpu", dtype="bfloat16"))
    assert {p.dtype for p in whole.module.parameters()} == {torch.float32}


def test_a_reference_that_stays_as_it_is_takes_half_the_memory_and_says_the_same():
    actor = nano_actor(dtype="bfloat16")
    still, moving = actor.freeze(), actor.freeze(still=False)
    assert {p.dtype for p in still.module.parameters()} == {torch.bfloat16}
    assert {p.dtype for p in moving.module.parameters()} == {torch.float32}
    assert {p.dtype for p in actor.module.parameters()} == {torch.float32}
    traces = drawn(actor)
    assert torch.equal(scored(still, traces).logp, scored(moving, traces).logp)
    assert torch.equal(scored(still, traces).logp, scored(actor, traces).logp)


def test_a_value_model_of_a_model_with_adapters_is_trained_whole():
    value = ValueActor(adapted("bfloat16"))
    assert {p.dtype for _, p in value.parameters()} == {torch.float32}
    assert len(value.parameters()) == len(list(value.module.parameters()))
