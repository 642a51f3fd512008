"""Engines by the names that `--engine` takes."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path

from sharpen.actor.base import Actor
from sharpen.actor.engine.base import Engine
from sharpen.errors import SharpenError, near

ENGINES = {
    "local": "the library's own, which samples from the trained weights themselves",
    "vllm": "vLLM in this process",
    "vllm-server": "vLLM in a process of its own, which the run starts and ends",
    "ray": "copies of the model on the workers of a Ray cluster, which the library's own decode loop draws from",
    "ray:vllm": "vLLM on the workers of a Ray cluster",
}
"""What each is; `vllm:http://127.0.0.1:PORT` is a server that runs already."""

ADDRESS = "vllm:"
RAY = "ray"


def known(name: str) -> str:
    """The name, if it is one of an engine. Raises SharpenError."""
    if name in ENGINES or name.startswith(ADDRESS + "http"):
        return name
    raise SharpenError(
        f"`--engine {name}` is not known. There are {', '.join(ENGINES)}, and vllm:http://127.0.0.1:PORT for a server "
        f"that runs already. {near(name, ENGINES)}"
    )


def spreads(name: str) -> bool:
    """Whether an engine of that name has workers."""
    return name.partition(":")[0] == RAY


def ready(name: str, actor: Actor) -> None:
    """Raise SharpenError, before anything is written or loaded, where an engine cannot serve an actor."""
    from sharpen.actor.language import LanguageActor

    if known(name) == "local":
        return
    if not isinstance(actor, LanguageActor):
        raise SharpenError(
            f"`--engine {name}` serves language models, and this policy is a {type(actor).__name__}. Use `--engine "
            "local`."
        )
    if spreads(name):
        if importlib.util.find_spec("ray") is None:
            raise SharpenError(
                f'`--engine {name}` needs Ray, which is not installed. Install it with `pip install "sharpen[ray]"`, '
                "or use `--engine local`."
            )
        return
    if not name.startswith(ADDRESS) and importlib.util.find_spec("vllm") is None:
        raise SharpenError(
            f'`--engine {name}` needs vLLM, which is not installed. Install it with `pip install "sharpen[vllm]"` (on '
            "a machine without a GPU a CPU build of vLLM), or use `--engine local`."
        )


def engine_of(
    name: str, actor: Actor, folder: Path, workers: int = 0, told: Callable[[str], None] = lambda text: None
) -> Engine:
    """The engine of that name for an actor that is `ready`; a server or a cluster leaves its log in `folder`.

    `workers` is how many a cluster is to have (0: what fits it), and `told` hears of the first of them that dies.
    """
    from sharpen.actor.language import LanguageActor

    ready(name, actor)
    assert isinstance(actor, LanguageActor)
    if name == "local":
        return actor.engine
    if name == "vllm":
        from sharpen.actor.engine.vllm import vllm_engine

        return vllm_engine(actor)
    if spreads(name):
        from sharpen.actor.engine.cluster import RayEngine

        return RayEngine(actor, folder, workers=workers, draws=name.partition(":")[2] or "copy", told=told)
    from sharpen.actor.engine.remote import OwnServer, RemoteEngine
    from sharpen.actor.engine.server import TOKEN

    if name == "vllm-server":
        return OwnServer(actor, folder)
    token = os.environ.get(TOKEN)
    if not token:
        raise SharpenError(f"`--engine {name}` needs the server's token: set {TOKEN} as it was set for the server.")
    dtype = str(actor.compute).removeprefix("torch.")
    return RemoteEngine(name.removeprefix(ADDRESS), token, ends=actor.ends, max_context=actor.max_context, dtype=dtype)
