"""What runs on another machine and draws there: an engine with a copy of the model, asked by plain messages.

Messages are bytes (the packed model description, weights as safetensors), JSON text and numbers, and so are answers:
nothing that crosses is an object that would have to be unpickled. What goes wrong in a way that a user can mend is an
answer too, `{"error": paragraph}`.
"""

from __future__ import annotations

import functools
import json
import os
import platform
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sharpen.errors import SharpenError

COPY, VLLM = "copy", "vllm"
"""What a worker draws with: the library's own decode loop, or vLLM."""

ALONE = 0.9
"""The share of a GPU's memory that vLLM takes where it has the GPU to itself."""


def versions() -> dict[str, str]:
    """The versions of whatever decides what is computed."""
    import torch
    import transformers

    import sharpen

    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "sharpen": sharpen.__version__,
    }


def gpu(device: Any) -> str:
    """What tells the GPU of a device from all others; empty for none."""
    import torch

    device = torch.device(device)
    return str(torch.cuda.get_device_properties(device).uuid) if device.type == "cuda" else ""


def answered(call: Callable[..., dict[str, Any]]) -> Callable[..., str]:
    """A method whose answer is JSON text, and whose SharpenError is an answer."""

    @functools.wraps(call)
    def answer(*args: Any) -> str:
        try:
            return json.dumps(call(*args))
        except SharpenError as error:
            return json.dumps({"error": str(error)})

    return answer


class Worker:
    """One engine, and the version of the weights that it holds: 0 until it got some."""

    def __init__(self) -> None:
        self.engine: Any = None
        self.version = 0

    def versions(self) -> dict[str, str]:
        """What this worker computes with."""
        return versions()

    @answered
    def open(self, how: str, model: bytes) -> dict[str, Any]:
        """Build the engine of a packed model, if the trainer's versions are this worker's.

        `how` holds `draws` (`copy` or `vllm`), `arithmetic`, `device`, `threads` and the trainer's `versions`.
        """
        import ray
        import torch

        from sharpen.actor.engine.description import Arithmetic, unpack

        asked = json.loads(how)
        told = {"pid": os.getpid(), "node": ray.util.get_node_ip_address(), "versions": self.versions()}
        if told["versions"] != asked["versions"]:
            return told
        told["gpu"] = gpu(asked["device"])
        arithmetic = Arithmetic(**asked["arithmetic"] | {"ends": tuple(asked["arithmetic"]["ends"])})
        with TemporaryDirectory(prefix="sharpen-model-") as folder:
            unpack(model, Path(folder))
            self.engine = _engine(asked["draws"], Path(folder), arithmetic, asked["device"])
        torch.set_num_threads(asked["threads"])
        return told

    @answered
    def sync(self, version: int, weights: bytes) -> dict[str, Any]:
        """Load weights, which are that version from then on; the fingerprints of what is held."""
        from safetensors.torch import load

        self.version = 0  # half a sync is no version
        held = self.engine.sync(load(weights))
        self.version = version
        return {"held": held}

    @answered
    def generate(self, version: int, prompts: str) -> dict[str, Any]:
        """Draw by the weights of that version and no others."""
        from sharpen.actor.engine.wire import draw_to_json, prompt_from_json

        if version != self.version:
            raise SharpenError(
                f"It holds version {self.version} of the weights, and samples of version {version} were asked for. "
                "This is a defect of the library; use `--engine local`."
            )
        draws = self.engine.generate([prompt_from_json(p) for p in json.loads(prompts)])
        return {"draws": [draw_to_json(d) for d in draws]}


def _engine(draws: str, folder: Path, how: Any, device: str) -> Any:
    """The engine that a worker draws on."""
    if draws == COPY:
        from sharpen.actor.engine.copied import CopiedEngine

        return CopiedEngine(folder, how, device=device)
    from sharpen.actor.engine.vllm import VllmEngine

    limits = {"end_tokens": frozenset(how.ends), "max_context": how.max_context}
    return VllmEngine(folder, dtype=how.dtype, memory=ALONE, **limits)
