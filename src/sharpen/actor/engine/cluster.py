"""The Ray engine: rollout workers on a cluster, each with a copy of the model, in which a worker may die.

A sample depends on its prompt, its seed and the weights, so whatever a dead worker leaves is done again by another one
and gives the same.

Ray's own transport is as safe as its cluster: whoever reaches it can run code on it (it has token authentication, and
a cluster started for a run listens on 127.0.0.1 alone). What this library sends over it are plain messages
(`sharpen.actor.engine.worker`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from sharpen.actor.engine.base import Draw, Engine, Prompt
from sharpen.actor.engine.description import Arithmetic, packed
from sharpen.actor.engine.nodes import Cluster
from sharpen.actor.engine.proof import fingerprints, same_weights
from sharpen.actor.engine.wire import draw_from_json, prompt_to_json
from sharpen.actor.engine.worker import COPY, Worker, gpu, versions
from sharpen.errors import SharpenError
from sharpen.parallel.deal import spans

if TYPE_CHECKING:
    from sharpen.actor.language import LanguageActor

TRIES = 3
"""How often in one call the same work may lose its worker."""

PATIENCE = 600.0
"""Seconds until a worker that was asked for must have a place in the cluster and its model built."""


@dataclass(eq=False)
class Hand:
    """One worker as the trainer knows it: its Ray actor, where that runs, and what it has proved to hold."""

    name: str
    handle: Any
    since: float
    pid: int = 0
    node: str = ""
    version: int = 0
    held: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.name} (process {self.pid} on {self.node})" if self.pid else f"{self.name} (not started)"


class RayEngine(Engine):
    """Samples on `workers` Ray actors (0: see `sharpen.actor.engine.nodes.Cluster`), each with a copy of the model.

    Prompts are dealt in stretches, one a worker; the deal depends on their number and that of the workers and never on
    timing, so that a run gives the same again. `draws` is what workers draw with, `copy` (`CopiedEngine`) or `vllm`
    (`VllmEngine`).

    A worker that dies is replaced: the new one gets the newest weights, proves that it holds them, and is given the
    same stretch, while all others go on. Each case is written to `engine.log` in `folder` and counted in `replaced`;
    `told` hears of the first. SharpenError for work that has lost its worker `TRIES` times, for a worker that says
    that it cannot do it, and for one whose versions are not the trainer's.
    """

    def __init__(
        self,
        actor: LanguageActor,
        folder: Path,
        *,
        workers: int = 0,
        draws: str = COPY,
        told: Callable[[str], None] = lambda text: None,
        worker: type[Worker] = Worker,
    ) -> None:
        how = Arithmetic.of(actor)
        device = next(actor.module.parameters()).device
        self.agreement = 1e-4 if how.dtype == "float32" else 3e-2
        self.log, self.told, self.replaced = folder / "engine.log", told, 0
        self.version = 0
        self.hands: list[Hand] = []
        self._sent: dict[str, int] = {}
        self._weights: Any = None
        self._versions, self._gpu = versions(), gpu(device)
        size = sum(p.numel() for p in actor.plain.parameters()) * actor.compute.itemsize
        self._cluster = Cluster(workers, size=size, trainer=device, report=lambda text: self._write(f"Ray: {text}"))
        try:
            import ray

            self._make = ray.remote(**self._cluster.options, max_restarts=0, max_task_retries=0)(worker).remote
            asked = {
                "draws": draws,
                "arithmetic": dataclasses.asdict(how),
                "device": self._cluster.device,
                "threads": self._cluster.threads,
                "versions": self._versions,
            }
            self._how, self._model = json.dumps(asked), ray.put(packed(actor))
            self._write(f"{self._cluster.workers} workers on {self._cluster.where}")
            self.hands = [self._hired(i) for i in range(self._cluster.workers)]
            self._until(dict.fromkeys(range(len(self.hands))))
        except BaseException:
            self.close()
            raise

    def generate(self, prompts: Sequence[Prompt]) -> list[Draw]:
        """One `Draw` for each prompt, in their order."""
        if not self.version:
            raise SharpenError("The Ray engine was asked to draw before it was sent any weights. Call `sync` first.")
        shares = [s for s in spans(len(prompts), len(self.hands)) if s]
        work = {i: json.dumps([prompt_to_json(prompts[k]) for k in share]) for i, share in enumerate(shares)}
        done = self._until(work)
        return [draw_from_json(d) for i in sorted(done) for d in done[i]["draws"]]

    def sync(self, weights: Mapping[str, Tensor]) -> dict[str, int]:
        """Have every worker load the weights and read them back.

        The fingerprints are those that all hold, or those of the first worker that holds something else.
        """
        import ray
        from safetensors.torch import save

        # once into the object store, and read there by every worker and by those that replace one
        self._weights = ray.put(save({n: w.detach().cpu().contiguous() for n, w in weights.items()}))
        self._sent = fingerprints(weights)
        self.version += 1
        self._until(dict.fromkeys(range(len(self.hands))))
        return next((h.held for h in self.hands if h.held != self._sent), self.hands[0].held)

    def close(self) -> None:
        """End the workers, and Ray where it was started for them."""
        import ray

        hands, self.hands, self._weights, self._model = self.hands, [], None, None
        if ray.is_initialized():
            for hand in hands:
                _end(hand)
        self._cluster.close()

    # ------------------------------------------------------------------ workers

    def _until(self, work: Mapping[int, str | None]) -> dict[int, Any]:
        """Have each worker at the newest weights and its work done (None: nothing more); what they answered to it."""
        import ray
        from ray.exceptions import RayError, RayTaskError

        done: dict[int, Any] = {}
        lost: Counter[int] = Counter()
        waiting = {ref: i for i, asked in work.items() if (ref := self._ask(self.hands[i], asked)) is not None}
        while waiting:
            ready, _ = ray.wait(list(waiting), num_returns=1, timeout=5.0)
            for ref in ready:
                i = waiting.pop(ref)
                hand = self.hands[i]
                try:
                    said = json.loads(ray.get(ref))
                except RayTaskError as error:
                    raise SharpenError(
                        f"Rollout {hand} failed: {_reason(error)}. Nothing was trained on what it drew. Mend that on "
                        "its machine, give it less to do at once, or use `--engine local`."
                    ) from error
                except RayError as error:
                    lost[i] += 1
                    self._lose(i, error, lost[i])
                else:
                    if self._heard(hand, said):
                        done[i] = said
                        continue
                again = self._ask(self.hands[i], work[i])
                if again is not None:
                    waiting[again] = i
            for i in waiting.values():
                self._patient(self.hands[i])
        return done

    def _ask(self, hand: Hand, work: str | None) -> Any:
        """The next thing that a worker must do for that: begin, take over weights, draw; None where it is done."""
        if not hand.pid:
            return hand.handle.open.remote(self._how, self._model)
        if hand.version != self.version:
            return hand.handle.sync.remote(self.version, self._weights)
        if work is None:
            return None
        same_weights(self._sent, hand.held)
        return hand.handle.generate.remote(self.version, work)

    def _heard(self, hand: Hand, said: dict[str, Any]) -> bool:
        """Note an answer; whether it was that to the work itself."""
        if "error" in said:
            raise SharpenError(f"Rollout {hand} says: {said['error']}")
        if "versions" in said:
            self._equal(hand.name, said)
            hand.pid, hand.node = said["pid"], said["node"]
            self._write(f"{hand} has begun")
        elif "held" in said:
            hand.held, hand.version = said["held"], self.version
        return "draws" in said

    def _equal(self, name: str, said: dict[str, Any]) -> None:
        """Raise SharpenError for a worker that would compute otherwise, or on the trainer's own GPU."""
        odd = [f"{n} {v} where the trainer has {self._versions[n]}" for n, v in said["versions"].items()
               if v != self._versions[n]]  # fmt: skip
        if odd:
            raise SharpenError(
                f"Rollout {name} on {said['node']} has {', '.join(odd)}: it may draw otherwise than the trainer "
                "computes. Install the same versions on all machines of the cluster."
            )
        if self._gpu and said["gpu"] == self._gpu:
            raise SharpenError(
                f"Rollout {name} was given the trainer's own GPU: the cluster does not know that it is taken. Start "
                "the trainer as a job that asks for it, `ray job submit --entrypoint-num-gpus 1 -- sharpen train ...`."
            )

    def _hired(self, i: int) -> Hand:
        return Hand(f"worker {i}", self._make(), time.monotonic())

    def _lose(self, i: int, error: Exception, times: int) -> None:
        """Replace a worker that died, or give up."""
        hand, reason = self.hands[i], _reason(error)
        _end(hand)
        self._write(f"{hand} died: {reason}")
        if times >= TRIES:
            raise SharpenError(
                f"Rollout {hand.name} died {times} times over the same work, the last time with: {reason}. Nothing is "
                f"lost that a checkpoint holds; {self.log} lists them all. Look at the memory of its machine, draw "
                "less at once, or use `--engine local`."
            )
        if not self.replaced:
            self.told(
                f"Rollout {hand} died and is replaced; what it had to do is done again and gives the same. "
                f"{self.log} lists every such case."
            )
        self.replaced += 1
        self.hands[i] = self._hired(i)

    def _patient(self, hand: Hand) -> None:
        if not hand.pid and time.monotonic() - hand.since > PATIENCE:
            raise SharpenError(
                f"Rollout {hand.name} could not be started within {PATIENCE:.0f} seconds: {self._cluster.where} has "
                "no room for it, or its machine does not build the model. `ray status` says what is free; give fewer "
                "workers with `--workers`."
            )

    def _write(self, text: str) -> None:
        with self.log.open("a", encoding="utf-8") as log:
            # Ray may quote pages of its logs
            log.write(f"{datetime.now().astimezone().isoformat(timespec='seconds')} {' '.join(text.split())[:600]}\n")


def _end(hand: Hand) -> None:
    """End a worker's process, if there is one still."""
    import ray

    with contextlib.suppress(Exception):  # it is dead, or its cluster is
        ray.kill(hand.handle)


def _reason(error: Exception) -> str:
    """What Ray says of a death or a failure, in a line."""
    lines = [x.strip() for x in str(error).splitlines() if x.strip()]
    return (lines[-1] if lines else type(error).__name__).rstrip(".")[:300]
