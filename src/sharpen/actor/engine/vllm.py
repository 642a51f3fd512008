"""The vLLM engine: sampling by `vllm.LLM` in this process, with weights that are pushed into its model in place.

vLLM's own `reload_weights` is not used. On a CPU vLLM packs the matrix of every linear layer into an opaque copy and
drops the original; a reload packs anew what it loads by name, and an output embedding tied to the input embedding has
no name of its own: it keeps computing with its old copy, without an error. Here linear layers on a CPU are kept as they
are, so that weights can be written in place, read back and compared bit for bit.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from sharpen.actor.engine.base import Draw, Engine, Prompt, room_of
from sharpen.actor.engine.description import describe
from sharpen.actor.engine.proof import fingerprint
from sharpen.errors import SharpenError

if TYPE_CHECKING:
    from sharpen.actor.language import LanguageActor

MEMORY = 0.3
"""The share of a GPU's memory that vLLM takes beside a trainer."""

ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # the model must be in this process to be written and read back
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # the trainer's threads are not vLLM's to pin
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_LOGGING_LEVEL": "CRITICAL",  # an error is raised, too, without a page of state
    "VLLM_NO_USAGE_STATS": "1",
}
"""What vLLM is told by its environment where the user has not."""


class VllmEngine(Engine):
    """Samples on vLLM, in this process.

    `folder` holds the model's config.json and tokenizer (weights there are not read: all come by `sync`, and until then
    they are random). `memory` is the share of a GPU it may take, beside the trainer. Log-probs are those of the
    distribution drawn from; where top-k or top-p cut it, those of the whole softmax are NaN, and entropies always.

    Every request has a random generator of its own, so that a sample depends on its seed and not on what else is drawn
    with it, as long as rounding does not.
    """

    def __init__(
        self,
        folder: Path,
        *,
        end_tokens: frozenset[int],
        max_context: int,
        dtype: str = "float32",
        memory: float = MEMORY,
    ) -> None:
        vllm = installed()
        self.end_tokens = sorted(end_tokens)
        self.max_context = max_context
        self.agreement = 1e-4 if dtype == "float32" else 3e-2
        self.dtype = getattr(torch, dtype)
        on_cpu = _on_cpu()
        with _environment(), _plain_linear_layers(on_cpu), _own_threads():
            try:
                self.llm: Any = vllm.LLM(
                    str(folder),
                    dtype=dtype,
                    load_format="dummy",
                    max_model_len=max_context,
                    logprobs_mode="processed_logprobs",
                    enforce_eager=on_cpu,
                    disable_log_stats=True,
                    seed=0,
                    **(whole_prompts(max_context) if on_cpu else {"gpu_memory_utilization": memory}),
                )
            except Exception as error:  # whatever it is, it is vLLM's to say and the user's to mend
                said = next((x for x in str(error).strip().splitlines()[::-1] if x.strip()), type(error).__name__)
                raise SharpenError(
                    f"vLLM could not serve this model: {said.strip().rstrip('.')[:300]}. Use a model that it knows, a "
                    "smaller `--max-context`, or `--engine local`."
                ) from error
        if on_cpu:
            _served_heads(self.llm)

    def generate(self, prompts: Sequence[Prompt]) -> list[Draw]:
        """One `Draw` for each prompt, in their order."""
        from vllm import SamplingParams

        asked = [
            SamplingParams(
                temperature=p.sampling.temperature,
                top_p=p.sampling.top_p,
                top_k=p.sampling.top_k,
                max_tokens=room_of(p, self.max_context, "vLLM engine"),
                stop=list(p.sampling.stop) or None,
                stop_token_ids=self.end_tokens,
                ignore_eos=True,  # the ends of a turn are those the trainer knows, and no others
                seed=p.seed,
                logprobs=0,
                detokenize=bool(p.sampling.stop),
            )
            for p in prompts
        ]
        if not prompts:
            return []
        try:
            done = self.llm.generate([{"prompt_token_ids": list(p.tokens)} for p in prompts], asked, use_tqdm=False)
        except Exception as error:
            raise SharpenError(
                f"vLLM failed while it drew {len(prompts)} samples ({type(error).__name__}: {str(error)[:300]}). "
                "Nothing was trained on them. Use a smaller batch or another version of vLLM, or `--engine local`."
            ) from error
        return [self._draw(p, d.outputs[0]) for p, d in zip(prompts, done, strict=True)]

    def _draw(self, prompt: Prompt, drawn: Any) -> Draw:
        tokens = torch.tensor(drawn.token_ids, dtype=torch.int64)
        told = [d[t].logprob for t, d in zip(drawn.token_ids, drawn.logprobs, strict=True)]
        logp, unknown = torch.tensor(told, dtype=torch.float32), torch.full((len(told),), torch.nan)
        s = prompt.sampling
        whole = s.full or s.temperature == 0  # drawn greedily it tells the softmax at temperature 1
        end: Literal["stop", "length"] = "length" if drawn.finish_reason == "length" else "stop"
        return Draw(
            tokens, logp if s.temperature > 0 else torch.zeros_like(logp), logp if whole else unknown, unknown, end
        )

    def sync(self, weights: Mapping[str, Tensor]) -> dict[str, int]:
        """Write the weights into the model in place, read them back, and drop the keys and values of the old ones."""
        held: dict[str, int] = self.llm.apply_model(lambda model: _loaded(model, weights))[0]
        if not self.llm.reset_prefix_cache():
            raise SharpenError(
                "vLLM did not drop its prefix cache after a sync, so that samples would begin with what older weights "
                "computed. Nothing may be drawn while weights are written."
            )
        return held

    def close(self) -> None:
        """End the engine and give its memory back."""
        llm, self.llm = self.llm, None
        if llm is None:
            return
        from vllm.distributed import cleanup_dist_env_and_memory

        llm.llm_engine.engine_core.shutdown()
        del llm
        cleanup_dist_env_and_memory()


def whole_prompts(max_context: int) -> dict[str, Any]:
    """Settings by which no prompt is computed in two parts.

    vLLM draws a token after the first part too, throws it away and winds the request's random generator back, which
    generators on a CPU cannot: it fails there as soon as a call holds more prompt tokens than one pass takes.
    """
    return {"enable_chunked_prefill": False, "max_num_batched_tokens": max(4096, max_context)}


def vllm_engine(actor: LanguageActor) -> VllmEngine:
    """The engine for an actor's model, tokenizer, limits and precision."""
    with tempfile.TemporaryDirectory(prefix="sharpen-vllm-") as folder:
        describe(actor, Path(folder))
        return VllmEngine(
            Path(folder),
            end_tokens=frozenset(actor.ends),
            max_context=actor.max_context,
            dtype=str(actor.compute).removeprefix("torch."),
        )


def installed() -> Any:
    """The module vllm; SharpenError where it is not there or does not load."""
    try:
        with _environment():
            import vllm
    except ImportError as error:
        raise SharpenError(
            f'vLLM could not be imported ({error}). Install it with `pip install "sharpen[vllm]"` (on a machine '
            "without a GPU a CPU build of vLLM), or use `--engine local`."
        ) from error
    return vllm


# ---------------------------------------------------------------------- the model inside


@torch.no_grad()
def _loaded(model: Any, weights: Mapping[str, Tensor]) -> dict[str, int]:
    """Load into vLLM's model; the fingerprints of what it holds then, by the names that were sent."""
    model.load_weights((n, w) for n, w in weights.items())
    fused = {
        part: (name, parts) for name, parts in getattr(model, "packed_modules_mapping", {}).items() for part in parts
    }
    mine = dict(model.named_parameters())
    held: dict[str, int] = {}
    seen: set[str] = set()
    for name, sent in weights.items():
        place, start = name, 0
        for key in name.split("."):
            if name not in mine and key in fused:
                whole, parts = fused[key]
                place = name.replace(f".{key}.", f".{whole}.")
                before = [name.replace(f".{key}.", f".{p}.") for p in parts[: parts.index(key)]]
                start = sum(len(weights[b]) for b in before if b in weights)
        if place in mine:
            seen.add(place)
            # an embedding is padded at its end
            held[name] = fingerprint(mine[place][start : start + len(sent)].to(sent.dtype))
    return held | {n: fingerprint(p) for n, p in mine.items() if n not in seen}


def _on_cpu() -> bool:
    from vllm.platforms import current_platform

    return bool(current_platform.is_cpu())


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    """vLLM reads its settings from the environment; those the user has not set are set for it, and taken back."""
    mine = [name for name in ENVIRONMENT if name not in os.environ]
    os.environ.update({name: ENVIRONMENT[name] for name in mine})
    try:
        yield
    finally:
        for name in mine:
            os.environ.pop(name, None)


@contextlib.contextmanager
def _own_threads() -> Iterator[None]:
    """The trainer's number of threads, and its right to change it, are as before."""
    threads, change = torch.get_num_threads(), torch.set_num_threads
    try:
        yield
    finally:
        torch.set_num_threads = change
        torch.set_num_threads(threads)


@contextlib.contextmanager
def _plain_linear_layers(on_cpu: bool) -> Iterator[None]:
    """While a model is loaded on a CPU: linear layers compute with their parameter, which stays where it is."""
    if not on_cpu:
        yield
        return
    from vllm.model_executor.layers import utils

    def plain(layer: Any, remove_weight: bool) -> None:
        layer.cpu_linear = torch.nn.functional.linear

    packed = utils.dispatch_cpu_unquantized_gemm
    utils.dispatch_cpu_unquantized_gemm = plain
    try:
        yield
    finally:
        utils.dispatch_cpu_unquantized_gemm = packed


def _served_heads(llm: Any) -> None:
    """Refuse heads that vLLM's attention on a CPU has no kernel for, before the first token finds out."""
    from vllm.v1.attention.backends.cpu_attn import CPUAttentionBackend

    size, known = llm.llm_engine.model_config.get_head_size(), CPUAttentionBackend.get_supported_head_sizes()
    if size not in known:
        llm.llm_engine.engine_core.shutdown()
        raise SharpenError(
            f"vLLM on a CPU has no attention for heads of {size} numbers, which this model has; it knows "
            f"{', '.join(map(str, known))}. Use a model with other heads, or `--engine local`."
        )
