"""Models that somebody else made: no pickle is opened by whatever name it is led to, and templates stay inside."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from command import refused
from sharpen.actor.load import load_language

EVAL = ("eval", "model", "--task", "data.jsonl", "--k", 1, "--problems", 2, "--max-tokens", 4)


@pytest.fixture
def model(sharpen, tiny, monkeypatch):
    """A folder whose weights are a pickle too; opening one is an error."""
    shutil.copytree(tiny, "model")
    torch.save(load_language("model").module.state_dict(), "model/pytorch_model.bin")
    torch.save({}, "model/adapter_model.bin")
    opened = []
    monkeypatch.setattr(torch, "load", lambda *a, **how: opened.append(a[0]) or {})
    yield Path("model")
    assert opened == []


def config(model, **more):
    path = model / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | more))


def index(model, file):
    weights = dict.fromkeys(load_language(str(model)).module.state_dict(), file)
    (model / "model.safetensors").unlink()
    (model / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weights}))


def adapter(model):
    base = Path("base")
    shutil.copytree(model, base)
    index(base, "pytorch_model.bin")
    told = {"peft_type": "LORA", "base_model_name_or_path": str(base.absolute()), "target_modules": ["q_proj"]}
    (model / "adapter_config.json").write_text(json.dumps(told))


PICKLES = {
    "an index that names one": lambda m: index(m, "pytorch_model.bin"),
    "a config that names an adapter's": lambda m: config(m, transformers_weights="adapter_model.bin"),
    "an index that a config names": lambda m: (
        config(m, transformers_weights="x.safetensors.index.json"),
        (m / "x.safetensors.index.json").write_text('{"weight_map": {"a": "pytorch_model.bin"}}'),
    ),
    "the base of an adapter": adapter,
}


@pytest.mark.parametrize("what", PICKLES)
def test_weights_in_a_pickle_are_not_opened(model, sharpen, what):
    PICKLES[what](model)
    refused(sharpen(*EVAL), "_model.bin", "is no safetensors file, and weights in pickle format are never loaded")


def test_an_index_of_safetensors_is_read(model, sharpen):
    (model / "model.safetensors").rename(model / "one.safetensors")
    shutil.copy(model / "one.safetensors", model / "model.safetensors")
    index(model, "one.safetensors")
    assert sharpen(*EVAL).status == 0


TEMPLATES = {
    "out of the box": "{{ cycler.__init__.__globals__.os.system('touch ran') }}",
    "a loop without end": "{% for i in range(999999999) %}{{ i }}{% endfor %}",
    "no template": "{% if %}",
}


@pytest.mark.parametrize("what", TEMPLATES)
def test_templates(model, sharpen, what):
    (model / "chat_template.jinja").write_text(TEMPLATES[what])
    refused(sharpen(*EVAL), "The model's chat template failed (")
    assert not Path("ran").exists()


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"])
def test_a_hundred_thousand_brackets(model, sharpen, name):
    (model / name).write_text("[" * 100_000)
    refused(sharpen(*EVAL), "could not be loaded: ")
