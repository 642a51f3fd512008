from collections.abc import Sequence
from typing import Any

import torch
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from sharpen.actor.engine.local import LocalEngine

VOCAB = 29
END = 1

SIZE: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 128,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": 0,
}


def build(kind: str, **change: Any) -> Any:
    torch.manual_seed(5)
    size = {**SIZE, **change}
    if kind == "qwen3":
        model = Qwen3ForCausalLM(Qwen3Config(**size))
    elif kind == "llama":
        model = LlamaForCausalLM(LlamaConfig(**size))
    elif kind == "mistral":
        model = MistralForCausalLM(MistralConfig(**size, sliding_window=5))
    elif kind == "gemma2":
        mixed = {"layer_types": ["sliding_attention", "full_attention"], "attn_implementation": "eager"}
        model = Gemma2ForCausalLM(Gemma2Config(**size, **mixed, sliding_window=5, final_logit_softcapping=3.0))
    else:
        shape = {"n_embd": 24, "n_layer": 2, "n_head": 4, "n_positions": 128}
        ids = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": 0}
        model = GPT2LMHeadModel(GPT2Config(vocab_size=change.get("vocab_size", VOCAB), **shape, **ids))
    with torch.no_grad():
        # fresh models are nearly uniform; these have opinions
        for p in model.parameters():
            if p.dim() > 1:
                p.mul_(12.0)
    return model.eval()


def letters(tokens: Sequence[int]) -> str:
    return "".join(chr(ord("a") + t - 2) if t >= 2 else "" for t in tokens)


def engine_of(model: Any, **change: Any) -> LocalEngine:
    settings: dict[str, Any] = {
        "end_tokens": frozenset({END}),
        "pad_token": 0,
        "max_context": 48,
        "decode": letters,
        **change,
    }
    return LocalEngine(model, **settings)
