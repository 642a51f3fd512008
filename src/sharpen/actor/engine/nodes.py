"""Ray as a run finds or starts it, and what each rollout worker takes of it."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch

from sharpen.errors import SharpenError

USUAL = 2
"""Workers where the cluster has no GPU and nobody says how many."""

STORE = 100 * 2**20
"""Bytes that the object store of a cluster started for a run has at least."""

ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # what Ray will do anyway; it warns until it is told to
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # Ray's word for: listen on 127.0.0.1 and not on the network
}
"""What Ray is told by its environment, where the user has not, when it is started for a run."""


def installed() -> bool:
    """Whether Ray is there."""
    return importlib.util.find_spec("ray") is not None


class Cluster:
    """The Ray that a run's workers live on: one that this process has joined already, the one that RAY_ADDRESS names,
    or one that is started on this machine, for this run and on loopback alone.

    `workers` is how many there are, of `wanted` (0: one a GPU that is free, and `USUAL` where there are none).
    `options` are what each asks Ray for, `device` is where it computes and `threads` with how many on a CPU. `size` is
    that of the weights in bytes, `trainer` the device of the trainer. Raises SharpenError where the cluster has no room
    for them, or cannot be reached.

    What Ray reports of dead processes, which it would print among a run's output, goes to `report`.
    """

    def __init__(self, wanted: int, *, size: int, trainer: torch.device, report: Callable[[str], None]) -> None:
        self._stack = contextlib.ExitStack()
        try:
            import_ray()
            import ray

            self.threads = 1
            address = os.environ.get("RAY_ADDRESS", "")
            if ray.is_initialized():
                self.where = "the Ray that this process has joined"
            elif address.startswith("ray://"):
                raise SharpenError(
                    f"`--engine ray` cannot draw through Ray's client (RAY_ADDRESS={address}). Start the run on a "
                    "machine of the cluster, with the address that `ray start` was given."
                )
            elif address not in ("", "local"):
                self.where = f"the Ray cluster at {address}"
                self._init(report, address=address)
            else:
                self.where = "a Ray of its own on this machine"
                self._start(wanted, size, trainer, report)
            self._divide(wanted)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Leave the cluster, and end it where it was started for this run."""
        self._stack.close()

    def _start(self, wanted: int, size: int, trainer: torch.device, report: Callable[[str], None]) -> None:
        free = others(trainer)
        if free is not None and not free:
            raise SharpenError(
                "`--engine ray` draws on GPUs besides the trainer's, and this machine has none. Use `--engine local` "
                "or `--engine vllm`, or name a cluster with RAY_ADDRESS."
            )
        count = wanted or (len(free) if free else USUAL)
        self.threads = max(1, torch.get_num_threads() // count)
        folder = tempfile.mkdtemp(prefix="sharpen-ray-")
        self._stack.callback(shutil.rmtree, folder, ignore_errors=True)
        seen = {} if free is None else {"CUDA_VISIBLE_DEVICES": ",".join(free)}
        self._init(
            report,
            seen,
            address="local",
            num_cpus=count * self.threads,
            num_gpus=len(free or ()),
            include_dashboard=False,
            object_store_memory=max(STORE, 3 * size),  # the weights, those before them, and draws
            _temp_dir=folder,
        )

    def _init(self, report: Callable[[str], None], seen: Mapping[str, str] | None = None, **how: Any) -> None:
        import ray
        from ray._private import worker as driver

        # Ray prints these whatever it is told of logs, and a run's output is its own
        self._stack.callback(setattr, driver, "print_to_stdstream", driver.print_to_stdstream)
        driver.print_to_stdstream = lambda data, *_, **__: report(" ".join(map(str, data["lines"])))
        try:
            with environment(ENVIRONMENT), environment(seen or {}, force=True), own_signals():
                ray.init(log_to_driver=False, logging_level=logging.ERROR, **how)
        except Exception as error:  # Ray's failures have no common class
            said = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
            raise SharpenError(
                f"`--engine ray` found no Ray cluster: {self.where} gave {said.rstrip('.')[:300]}. Set RAY_ADDRESS to "
                "one that runs (`ray status` says whether it does), or unset it to have one started for the run."
            ) from error
        self._stack.callback(ray.shutdown)

    def _divide(self, wanted: int) -> None:
        """How many workers, and what each takes."""
        import ray

        kind = "GPU" if ray.cluster_resources().get("GPU", 0) >= 1 else "CPU"
        room, free = (int(r.get(kind, 0)) for r in (ray.cluster_resources(), ray.available_resources()))
        self.workers = wanted or (free if kind == "GPU" else USUAL)
        each = 1 if kind == "GPU" else self.threads
        if not self.workers or self.workers * each > room:
            raise SharpenError(
                f"`--engine ray` finds no room for its workers: {self.workers or 'at least 1'} of them take {each} "
                f"{kind} each, and {self.where} has {room} of which {free} are free. Give fewer with `--workers`, or "
                "start more nodes."
            )
        self.device = "cuda" if kind == "GPU" else "cpu"
        self.options = {"num_gpus": 1, "num_cpus": 0} if kind == "GPU" else {"num_gpus": 0, "num_cpus": each}


def import_ray() -> None:
    """Import Ray in the environment it is started in: some of it is read as soon as that."""
    with environment(ENVIRONMENT):
        try:
            import ray  # noqa: F401
        except ImportError as error:
            raise SharpenError(
                f'Ray could not be imported ({error}). Install it with `pip install "sharpen[ray]"`, or use '
                "`--engine local`."
            ) from error


def others(trainer: torch.device) -> list[str] | None:
    """The GPUs of this machine as CUDA_VISIBLE_DEVICES names them, less the trainer's; None for a machine without."""
    if not torch.cuda.is_available():
        return None
    count = torch.cuda.device_count()
    seen = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = seen.split(",")[:count] if seen else [str(i) for i in range(count)]
    own = (trainer.index or 0) if trainer.type == "cuda" else -1
    return [name for i, name in enumerate(names) if i != own]


@contextlib.contextmanager
def environment(wanted: Mapping[str, str], *, force: bool = False) -> Iterator[None]:
    """Variables that are set within, those of the user's left alone unless `force`, and taken back."""
    before = {name: os.environ.get(name) for name in wanted if force or name not in os.environ}
    os.environ.update({name: wanted[name] for name in before})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def own_signals() -> Iterator[None]:
    """What this process does on SIGTERM is as before."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
