"""Several processes that make one run together: collectives on tensors, nothing pickled, and one message an error."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from sharpen.errors import Elsewhere, SharpenError
from sharpen.parallel.world import ALONE, World

if TYPE_CHECKING:
    from sharpen.actor.base import Actor
    from sharpen.task.base import Task
    from sharpen.types import Problem, Scored, Trace

T = TypeVar("T")
WORDS = 5.0
"""Seconds that the words of a process which failed before may take to arrive."""


class Group(World):
    """The processes of torch's default process group. `store` is where they leave words for each other."""

    def __init__(self, rank: int, size: int, store: Any) -> None:
        self.rank = rank
        self.size = size
        self._store = store
        self._over = False

    # ------------------------------------------------------------------ exchange

    def gather(self, mine: T) -> list[T]:
        """What each process has, as JSON; floats survive to the bit, tuples become lists."""
        said = torch.frombuffer(bytearray(json.dumps(mine).encode()), dtype=torch.uint8)
        lengths = self.join(torch.tensor([len(said)])).tolist()
        return [json.loads(bytes(part.tolist())) for part in torch.split(self.join(said), lengths)]

    def join(self, mine: Tensor) -> Tensor:
        """The rows of all processes, on the CPU; those of each are padded to the longest on their way."""
        rows = [torch.zeros(1, dtype=torch.long) for _ in range(self.size)]
        dist.all_gather(rows, torch.tensor([len(mine)]))
        counts = [int(n) for n in rows]
        padded = mine.new_zeros((max(counts), *mine.shape[1:]))
        padded[: len(mine)] = mine
        parts = [torch.empty_like(padded) for _ in counts]
        if max(counts):
            dist.all_gather(parts, padded)
        return torch.cat([part[:n] for part, n in zip(parts, counts, strict=True)])

    def first(self, make: Callable[[], T]) -> T:
        """The main process makes its own, then all others make theirs."""
        if self.main:
            made = make()
            self.gather(None)
            return made
        self.gather(None)
        return make()

    def alike(self, what: Callable[[], Any], where: str) -> None:
        """SharpenError in every process where they differ."""
        said = self.gather(what())
        if any(other != said[0] for other in said):
            raise SharpenError(
                f"The {self.size} processes of this run no longer compute the same thing ({where}): a task, an "
                "environment, a reward or a part of the method does not give the same when it is asked again, for it "
                "looks at the time, at the order of a set, or at random numbers of its own. Let it depend on what it "
                "is given alone, or run in one process."
            )

    def verify(self, task: Task, pairs: Sequence[tuple[Problem, Trace]]) -> Sequence[Any]:
        """The rewards of all pairs, in order, as plain numbers."""
        share = self.share(len(pairs))
        said = task.verify_many(pairs[share.start : share.stop])
        shares = self.gather([{name: float(x) for name, x in rewards.items()} for rewards in said])
        return [rewards for share in shares for rewards in share]

    # ------------------------------------------------------------------ models

    def spread(self, actor: Any) -> Actor:
        """A language or value model whose training is sharded by FSDP2; others are refused."""
        from sharpen.parallel.sharded import sharded

        return sharded(actor, self)

    def backward(self, loss: Tensor, new: Scored) -> None:
        """FSDP takes the mean over processes where their sum is meant, and waits for a backward pass of each."""
        if not loss.requires_grad:
            for x in (new.logp, *new.extra.values()):
                loss = loss + (0 * x).sum()
        (loss * self.size).backward()  # type: ignore[no-untyped-call]

    def kept(self, tensor: Tensor) -> Tensor:
        """Whole and on the CPU in the main process, empty elsewhere."""
        whole = _whole(tensor)
        return whole.cpu() if self.main else whole.new_empty(0, device="cpu")

    def like(self, tensor: Tensor, parameter: Tensor) -> Tensor:
        """The piece that a sharded parameter has of the main process's tensor; what has not its shape is for all."""
        from torch.distributed.tensor import DTensor, distribute_tensor

        if not isinstance(parameter, DTensor) or tensor.shape != parameter.shape:
            return tensor
        mesh, placements = parameter.device_mesh, parameter.placements
        return distribute_tensor(tensor.to(parameter.device), mesh, placements)

    def settle(self, tensor: Tensor) -> None:
        """Fresh adapters, say, begin at random."""
        dist.broadcast(tensor, 0)

    def number(self, tensor: Tensor) -> float:
        """A scalar; a norm is spread until it is asked for."""
        return float(_whole(tensor))

    # ------------------------------------------------------------------ ends

    @contextmanager
    def together(self) -> Iterator[None]:
        """The first process to fail raises its own error; the others, whose exchange with it breaks, `Elsewhere`.

        From then on the process ignores SIGTERM, for it is about to end.
        """
        try:
            yield
        except (Exception, KeyboardInterrupt) as error:
            if self._over:
                raise
            self._over = True
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it is ending; `torchrun` would cut its last words off
            words = self._first_words(error)
            if words is not None:
                raise Elsewhere(words) from error
            if broken(error):
                raise SharpenError(
                    "Another process of this run ended without a word: it was killed, for want of memory more often "
                    "than not, or its machine cannot be reached. The system's log says more."
                ) from error
            raise

    def _first_words(self, error: BaseException) -> str | None:
        """What another process said that failed before; None for the first, which leaves its own words."""
        try:
            if self._store.add("failed", 1) == 1:
                self._store.set("words", str(error) or type(error).__name__)
                return None
            self._store.wait(["words"], timedelta(seconds=WORDS))
            return bytes(self._store.get("words")).decode()
        except RuntimeError:  # whoever kept the store is gone
            return None

    def leave(self) -> None:
        """End the exchange. After an error the others notice when this process is gone."""
        dist.destroy_process_group()


def broken(error: BaseException) -> bool:
    """Whether an error says that an exchange between processes failed."""
    return isinstance(error, RuntimeError) and any(w in str(error).lower() for w in ("gloo", "nccl", "store", "peer"))


def placed() -> tuple[int, int]:
    """This process's number and how many there are, as `torchrun` says; (0, 1) without it.

    SharpenError for nonsense.
    """
    try:
        rank, size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        if 0 <= rank < size:
            return rank, size
    except ValueError:
        pass
    raise SharpenError(
        f"RANK={os.environ.get('RANK')} and WORLD_SIZE={os.environ.get('WORLD_SIZE')} are no place among processes. "
        "Leave both unset, or let `torchrun` set them."
    )


@contextmanager
def joined() -> Iterator[World]:
    """The world of this process: alone, or with the others that `torchrun` started, for as long as this lasts."""
    rank, size = placed()
    if size == 1:
        yield ALONE
        return
    world = _meet(rank, size)
    try:
        with world.together():
            yield world
    finally:
        world.leave()


def _meet(rank: int, size: int) -> Group:
    if not dist.is_available() or not dist.is_gloo_available():
        raise SharpenError("Several processes need a PyTorch with torch.distributed and gloo, and this one lacks them.")
    if dist.is_initialized():
        raise SharpenError(
            "torch.distributed is in use already, and a run of several processes sets it up itself. Start it before "
            "`torch.distributed.init_process_group`, or without that."
        )
    lacking = [n for n in ("MASTER_ADDR", "MASTER_PORT") if n not in os.environ]
    if lacking:
        raise SharpenError(
            f"WORLD_SIZE={size} asks for several processes, and {' and '.join(lacking)}, where they meet, is not set. "
            "Start them with `torchrun --nproc-per-node N -m sharpen train ...`."
        )
    backend = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", rank)) % torch.cuda.device_count())
        backend = "cpu:gloo,cuda:nccl"
    try:
        common, *_ = next(iter(rendezvous("env://", rank=rank, world_size=size)))
        turn = common.add(f"sharpen/{rank}", 1)  # a script may train several times
        store = dist.PrefixStore(f"sharpen/{turn}", common)  # type: ignore[attr-defined]
        dist.init_process_group(backend, store=store, rank=rank, world_size=size)
    except (RuntimeError, ValueError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise SharpenError(
            f"Process {rank} of {size} could not meet the others at {os.environ['MASTER_ADDR']}:"
            f"{os.environ['MASTER_PORT']}: {first[:300].rstrip('.')}. Start all of them with `torchrun`, on machines "
            "that reach each other."
        ) from error
    return Group(rank, size, store)


def _whole(tensor: Tensor) -> Tensor:
    from torch.distributed.tensor import DTensor

    with torch.no_grad():
        return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
