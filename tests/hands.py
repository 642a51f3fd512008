"""Rollout workers that tests can look into: they wait, die and misbehave where a test says so.

`HOLD` names a folder in the environment of all processes of the cluster.
"""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import torch

from sharpen.actor.engine.base import Draw, Engine
from sharpen.actor.engine.proof import fingerprints
from sharpen.actor.engine.worker import Worker, answered

HOLD = "SHARPEN_TESTS_HOLD"


def folder() -> Path:
    return Path(os.environ[HOLD])


class Held(Worker):
    """A true worker; it says in files what it is about to do, and waits there as long as a file `hold-...` stands."""

    def _wait(self, what: str) -> None:
        (folder() / f"{what}-{os.getpid()}").touch()
        while (folder() / f"hold-{what}").exists():
            time.sleep(0.005)

    def sync(self, version: int, weights: bytes) -> str:
        self._wait("sync")
        if (folder() / f"deaf-{os.getpid()}").exists():
            self.version = version
            return json.dumps({"held": self.engine.sync({})})
        return super().sync(version, weights)

    def generate(self, version: int, prompts: str) -> str:
        self._wait("generate")
        return super().generate(version, prompts)


class Stub(Engine):
    """Draws the seed of each prompt; seed 13 is death and seed 14 a defect."""

    def generate(self, prompts):
        seeds = [p.seed for p in prompts]
        if 13 in seeds:
            os.kill(os.getpid(), signal.SIGKILL)
        if 14 in seeds:
            raise ZeroDivisionError("fourteen")
        x = torch.zeros(1)
        return [Draw(torch.tensor([s]), x, x, x, "length") for s in seeds]

    def sync(self, weights):
        return fingerprints(weights)


class Stubborn(Worker):
    """A worker about a stub, which needs no model."""

    @answered
    def open(self, how: str, model: bytes):
        self.engine = Stub()
        return {"pid": os.getpid(), "node": "here", "versions": json.loads(how)["versions"], "gpu": ""}


class Other(Worker):
    """A worker with another torch."""

    def versions(self) -> dict[str, str]:
        return super().versions() | {"torch": "0.4.1"}
