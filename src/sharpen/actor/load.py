"""A language actor from a folder or a hub id."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sharpen.actor.adapters import narrow
from sharpen.actor.language import LanguageActor
from sharpen.actor.weights import refuse_pickles
from sharpen.errors import SharpenError, option

SMALL = 20_000_000
"""Parameters up to which a model counts as one trained from scratch for an experiment: it bears a far higher rate."""


@dataclass(frozen=True)
class ModelSetup:
    """How a model is loaded and run; nothing a recipe knows of.

    `lora` > 0 trains adapters of that rank instead of the weights. `dtype` is the type of matrix products: parameters
    that are trained stay in float32 under `bfloat16` as well, others are kept in it. `max_tokens` limits one drawn
    segment, `max_context` prompt and answer together.
    """

    device: str = "auto"
    dtype: str = "float32"
    lora: int = 0
    lora_alpha: int = 0
    checkpointing: bool = False
    max_tokens: int = 0
    max_context: int = 0
    lr: float | None = None
    trust_remote_code: bool = False

    def __post_init__(self) -> None:
        if self.dtype not in ("float32", "bfloat16"):
            raise SharpenError(
                f"`--dtype {self.dtype}` is not known; use float32 or bfloat16 (parameters that are trained stay in "
                "float32)."
            )
        for name in ("lora", "lora_alpha", "max_tokens", "max_context"):
            if getattr(self, name) < 0:
                raise SharpenError(f"`{option(name)} {getattr(self, name)}` must be 0 or more.")
        if self.lr is not None and not 0 < self.lr < math.inf:
            raise SharpenError(
                f"`--lr {self.lr}` must be a finite number above 0, such as 1e-5 (without it the model's size decides)."
            )


def pick_device(wanted: str) -> torch.device:
    """The device asked for, or the best there is."""
    if wanted != "auto":
        try:
            device = torch.device(wanted)
        except RuntimeError as error:
            raise SharpenError(
                f"There is no kind of device {wanted!r}. Use `--device cpu`, `cuda`, `cuda:1` or `mps`."
            ) from error
        if device.type == "cuda" and not torch.cuda.is_available():
            raise SharpenError("`--device cuda` was asked for and this PyTorch finds no GPU. Use `--device cpu`.")
        return device
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def load_language(source: str | Path, setup: ModelSetup | None = None) -> LanguageActor:
    """Load model and tokenizer; every way in which that can fail is one sentence and a remedy."""
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()  # a run shows its own progress
    setup = setup or ModelSetup()
    name = str(source)
    _look(name)
    options: dict[str, Any] = {"trust_remote_code": setup.trust_remote_code}
    try:
        refuse_pickles(name)
        tokenizer = AutoTokenizer.from_pretrained(name, **options)
        model, found = AutoModelForCausalLM.from_pretrained(
            name,
            dtype=getattr(torch, setup.dtype) if setup.lora else torch.float32,
            use_safetensors=True,
            attn_implementation="sdpa",
            output_loading_info=True,
            **options,
        )
    except SharpenError:
        raise
    except Exception as error:  # a folder can be broken in any way, and each is the user's to mend
        first = str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
        raise SharpenError(
            f"The model {name!r} could not be loaded: {first[:300]}. Give a folder with config.json, safetensors "
            "weights and a tokenizer, or a hub id reachable from here (weights in pickle format are never loaded)."
        ) from error
    missing = sorted(found["missing_keys"])
    if missing:
        raise SharpenError(
            f"The weights of the model {name!r} lack {len(missing)} tensors that its config.json asks for "
            f"({', '.join(missing[:2])}{', ...' * (len(missing) > 2)}), which would be left random. Give the folder of "
            "a whole model; adapters are merged into their base first."
        )
    return wrap(model, tokenizer, setup)


def _look(name: str) -> None:
    """Refuse what is a path and no model folder, before the hub is asked for it."""
    path = Path(name)
    what = "Give a folder written by `save_pretrained`, or a hub id like Qwen/Qwen3-0.6B."
    if not name:
        raise SharpenError(f"`--model` is empty. {what}")
    if path.is_file():
        raise SharpenError(f"The model {name!r} is a file. {what}")
    if path.is_dir() and not (path / "config.json").is_file():
        more = f" It is a run directory: its model is {path / 'policy'}." if (path / "manifest.json").is_file() else ""
        raise SharpenError(f"The folder {name!r} has no config.json, so it is no model.{more} {what}")
    if not path.exists() and (path.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1):
        raise SharpenError(f"There is no model folder {name}. {what}")


def wrap(model: Any, tokenizer: Any, setup: ModelSetup | None = None) -> LanguageActor:
    """A language actor around a model and tokenizer that are already there."""
    setup = setup or ModelSetup()
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token_id is None:
            raise SharpenError(
                "The tokenizer has neither a padding nor an end-of-text token. Set `eos_token` (and, better, "
                "`pad_token`) in "
                "the model folder's tokenizer_config.json."
            )
        tokenizer.pad_token = tokenizer.eos_token
    count = sum(p.numel() for p in model.parameters())
    limit = int(getattr(model.config.get_text_config(), "max_position_embeddings", 0) or 1 << 20)
    if setup.max_context > limit:
        raise SharpenError(f"`--max-context {setup.max_context}` is more than the model's {limit}. Use at most that.")
    context = setup.max_context or limit
    if setup.max_tokens >= context:
        raise SharpenError(
            f"`--max-tokens {setup.max_tokens}` leaves no room for a prompt: the context holds {context} tokens, "
            f"prompt and answer together. Use less than {context}, or a model with a longer context."
        )
    # a model trained from scratch for an experiment, adapters, and a pretrained model bear rates of different size
    usual = 2e-4 if count <= SMALL else 1e-5 if setup.lora else 1e-6
    rate = usual if setup.lr is None else setup.lr
    if setup.lora:
        try:
            from peft import LoraConfig, get_peft_model
        except ImportError as error:
            raise SharpenError(
                f"`--lora {setup.lora}` needs a package that is not installed ({error}). Install it with `pip install "
                '"sharpen[lora]"`, or train all weights.'
            ) from error

        config = LoraConfig(
            r=setup.lora,
            lora_alpha=setup.lora_alpha or 2 * setup.lora,
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # adapters begin at random: the same for equal runs
            model = get_peft_model(model, config)
        narrow(model, getattr(torch, setup.dtype))
    if setup.checkpointing:
        # renamed during transformers 5
        enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
        enable()
        model.enable_input_require_grads()
    model.to(pick_device(setup.device))
    model.eval()  # no dropout: rollout and training must be the same distribution
    return LanguageActor(
        model,
        tokenizer,
        rate=rate,
        max_context=context,
        max_tokens=setup.max_tokens,
        compute=getattr(torch, setup.dtype),
    )
