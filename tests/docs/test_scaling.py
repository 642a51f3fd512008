"""The arithmetic of scaling.md against models that are built and run."""

import dataclasses
import sys
from pathlib import Path

import pytest
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

sys.path.insert(0, str(Path(__file__).parents[2] / "docs"))

import scaling

from sharpen.actor.load import ModelSetup, wrap
from sharpen.actor.nano import character_tokenizer

SMALL = scaling.Shape("small", 64, 3, 4, 2, 160, 128, dim=16)


def built(shape, **where):
    config = Qwen2Config(
        vocab_size=shape.vocab,
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv,
        intermediate_size=shape.inner,
        head_dim=shape.dim,
        tie_word_embeddings=shape.tied,
        max_position_embeddings=64,
        eos_token_id=2,
        pad_token_id=0,
    )
    with torch.device(where.get("device", "cpu")):
        return Qwen2ForCausalLM(config)


@pytest.mark.parametrize("shape", scaling.SHAPES, ids=lambda s: s.name)
def test_parameters_are_those_of_the_model(shape):
    assert sum(p.numel() for p in built(shape, device="meta").parameters()) == shape.parameters


def test_adapters_are_those_of_peft():
    actor = wrap(built(SMALL), character_tokenizer(), ModelSetup(device="cpu", lora=4))
    # peft leaves the output embedding alone, as we do
    assert sum(p.numel() for _, p in actor.parameters()) == SMALL.adapters(4)


def test_what_training_holds_is_what_the_actors_hold():
    model = built(SMALL)
    whole = wrap(model, character_tokenizer(), ModelSetup(device="cpu", dtype="bfloat16"))
    optimiser = torch.optim.AdamW([p for _, p in whole.parameters()])
    for _, p in whole.parameters():
        p.grad = torch.ones_like(p)
    optimiser.step()

    def bytes_of(tensors):
        return sum(x.numel() * x.element_size() for x in tensors)

    weights = [p for _, p in whole.parameters()]
    moments = [x for s in optimiser.state.values() for k, x in s.items() if k != "step"]
    held = bytes_of(weights) + bytes_of(p.grad for p in weights) + bytes_of(moments)
    rounded = bytes_of(p.to(torch.bfloat16) for p in weights)
    reference = bytes_of(whole.freeze().module.parameters())
    assert held + rounded + reference == scaling.held(SMALL)
    assert held / 8 + rounded == scaling.held(SMALL, 8, reference=False)


def test_activations_are_what_the_backward_pass_keeps():
    def kept(layers):
        model = built(dataclasses.replace(SMALL, layers=layers)).to(torch.bfloat16)
        own = {p.untyped_storage().data_ptr() for p in model.parameters()}
        found = {}

        def pack(x):
            storage = x.untyped_storage()
            if storage.data_ptr() not in own:
                found[storage.data_ptr()] = storage.nbytes()
            return x

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
            out = model.get_decoder()(input_ids=torch.arange(48)[None] % 100, use_cache=False).last_hidden_state
        assert out.shape[1] == 48
        return sum(found.values())

    a_layer = (kept(3) - kept(1)) / 2 / 48
    assert SMALL.saved == pytest.approx(a_layer, rel=0.1)
    assert SMALL.activations(48, False) == 48 * 3 * SMALL.saved
    assert SMALL.activations(48, True) == 48 * (3 * 2 * 64 + SMALL.saved)


def test_keys_and_values_of_a_token():
    from transformers import DynamicCache

    cache = DynamicCache()
    built(SMALL).to(torch.bfloat16)(input_ids=torch.arange(5)[None], past_key_values=cache, use_cache=True)
    size = sum(x.numel() * x.element_size() for layer in cache.layers for x in (layer.keys, layer.values))
    assert size == 5 * SMALL.kept


def test_work_is_what_the_profiler_counts():
    from torch.utils.flop_counter import FlopCounterMode

    model, n = built(SMALL), 24
    model.set_attn_implementation("eager")  # every product in sight; it computes the masked half, too
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(input_ids=torch.arange(n)[None], use_cache=False)
    assert counter.get_total_flops() == n * SMALL.work(n)


def test_sums_by_hand():
    h100, seven = scaling.H100, next(s for s in scaling.SHAPES if s.name == "7 B")
    assert seven.parameters == 7_615_616_512
    assert seven.kept == 57_344
    tokens = 64 * 16 * 1200
    small = 28 * (3584 + 2 * 512 + 2 * 3584) + 3584  # biases and norms
    per_token = 2 * (7_615_616_512 - 152064 * 3584 - small) + 4 * 28 * 3584 * 600
    assert scaling.update_seconds(seven, h100) == pytest.approx(3 * tokens * per_token / (0.4 * 989e12))
    a_token = (2 * 7_615_616_512 + 512 * 700 * 57_344) / 3.35e12
    assert scaling.sampling_seconds(seven, h100, 512) == pytest.approx(2 * 1000 * a_token)
    assert scaling.rows_at_once(seven, 10e9) == 10_000_000_000 // (1200 * 57_344)
    assert scaling.held(seven, lora=True) == 2 * seven.parameters + 18 * seven.adapters(32)
