"""What tasks share whose programs run in a sandbox: which sandbox, and its limits."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sharpen.sandbox import Limits, Sandbox, open_sandbox
from sharpen.sandbox.base import MIB
from sharpen.task.procedural import Procedural, whole


@dataclass(frozen=True)
class Boxed(Procedural):
    """A task that runs what a model writes. `sandbox` is `auto` (bubblewrap), `bubblewrap`, or `process` (weaker).

    `cpu` and `seconds` bound the time of one program by its processor and by the clock, `memory` its address space in
    MiB. The sandbox is tried when the task is made: SharpenError tells what is missing before anything is trained.
    """

    sandbox: str = field(default="auto", kw_only=True)
    cpu: int = field(default=1, kw_only=True)
    seconds: float = field(default=10.0, kw_only=True)
    memory: int = field(default=256, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        whole(self.name, "cpu", self.cpu, 1, 600)
        whole(self.name, "memory", self.memory, 32, 1 << 20)
        _ = self.limits, self.box

    @property
    def limits(self) -> Limits:
        """What one program may use: one process, and no more output than an answer needs."""
        return Limits(seconds=self.seconds, cpu=self.cpu, memory=self.memory * MIB)

    @property
    def box(self) -> Sandbox:
        """The sandbox, which was tried."""
        return open_sandbox(self.sandbox)

    def identity(self) -> dict[str, Any]:
        """Its fields, less those that say where programs run: what a model is taught does not depend on them."""
        known = super().identity()
        return {k: v for k, v in known.items() if k not in ("sandbox", "cpu", "seconds", "memory", "workers")}
