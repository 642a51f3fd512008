"""The client of an engine server on loopback, and the server that a run starts for itself."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from safetensors.torch import save_file
from torch import Tensor

from sharpen.actor.engine.base import Draw, Engine, Prompt, room_of
from sharpen.actor.engine.description import describe
from sharpen.actor.engine.server import TOKEN
from sharpen.actor.engine.wire import draw_from_json, prompt_to_json
from sharpen.errors import SharpenError

if TYPE_CHECKING:
    from sharpen.actor.language import LanguageActor

PATIENCE = 600.0
"""Seconds a server may take to load a model."""

CALL = 3600.0
"""Seconds one call may take."""


class RemoteEngine(Engine):
    """Samples on a server (`sharpen.actor.engine.server`) at `http://127.0.0.1:PORT`.

    Weights go through a file in the server's folder, which is on this machine, and every version of them has a name:
    samples are asked for by it, so that a server which holds others refuses.
    """

    def __init__(self, address: str, token: str, *, ends: Sequence[int], max_context: int, dtype: str) -> None:
        url = urlsplit(address)
        if url.scheme != "http" or url.hostname not in ("127.0.0.1", "localhost") or not url.port:
            raise SharpenError(
                f"`--engine vllm:{address}` is no server on this machine: give `vllm:http://127.0.0.1:PORT`. Weights "
                "are handed over as files, and nothing is encrypted."
            )
        self.address, self.port, self.token = address, url.port, token
        self.ends, self.max_context = list(ends), max_context
        state = self._call("GET", "/state")
        if state["dtype"] != dtype or state["max_context"] < max_context:
            raise SharpenError(
                f"The engine server at {address} computes in {state['dtype']} with a context of "
                f"{state['max_context']}, and this run in {dtype} with {max_context}. Start it with "
                f"`--dtype {dtype} --max-context {max_context}`, or give the run the same limits."
            )
        self.folder, self.agreement = Path(state["folder"]), float(state["agreement"])
        self.run = secrets.token_hex(8)
        self.count = 0

    def generate(self, prompts: Sequence[Prompt]) -> list[Draw]:
        """One `Draw` for each prompt, in their order."""
        rooms = [room_of(p, self.max_context, "vLLM engine") for p in prompts]
        if not prompts:
            return []
        asked = [replace(p, sampling=replace(p.sampling, max_tokens=n)) for p, n in zip(prompts, rooms, strict=True)]
        told = {"version": self._version, "prompts": [prompt_to_json(p) for p in asked]}
        return [draw_from_json(d) for d in self._call("POST", "/generate", told)["draws"]]

    def sync(self, weights: Mapping[str, Tensor]) -> dict[str, int]:
        """Hand over the weights as a file, which is deleted when they are loaded."""
        self.count += 1
        path = self.folder / f"{self._version}.safetensors"
        try:
            save_file({n: w.cpu().contiguous() for n, w in weights.items()}, path)
            told = {"version": self._version, "file": path.name, "ends": self.ends}
            held: dict[str, int] = self._call("POST", "/sync", told)["held"]
        except OSError as error:
            raise SharpenError(
                f"The weights could not be handed to the engine server through {self.folder} "
                f"({error.strerror or error}). Make room there."
            ) from error
        finally:
            path.unlink(missing_ok=True)
        return held

    @property
    def _version(self) -> str:
        return f"{self.run}-{self.count}"

    def _call(self, method: str, path: str, told: Any = None) -> dict[str, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=CALL)
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        try:
            connection.request(method, path, None if told is None else json.dumps(told), headers)
            answer = connection.getresponse()
            said: dict[str, Any] = json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise SharpenError(
                f"The engine server at {self.address} does not answer ({error or type(error).__name__}). Start it "
                "again, or use `--engine vllm-server`, which starts one for the run."
            ) from error
        finally:
            connection.close()
        if answer.status != 200:
            raise SharpenError(f"The engine server at {self.address} refused: {said.get('error')}")
        return said


class OwnServer(RemoteEngine):
    """A server that is started for this process and ends with it; what it says goes to `engine.log` in `folder`."""

    def __init__(self, actor: LanguageActor, folder: Path, command: Sequence[str] = ()) -> None:
        from sharpen.actor.engine.vllm import MEMORY

        self.place = folder / "engine"
        shutil.rmtree(self.place, ignore_errors=True)  # of a run that was killed
        self.place.mkdir()
        self.process: subprocess.Popen[bytes] | None = None
        self.log = folder / "engine.log"
        token, dtype = secrets.token_hex(16), str(actor.compute).removeprefix("torch.")
        try:
            describe(actor, self.place)
            ready = self.place / "port"
            words = list(command) or [sys.executable, "-m", "sharpen.actor.engine.server"]
            words += [str(self.place), "--folder", str(self.place), "--ready", str(ready), "--dtype", dtype]
            words += ["--max-context", str(actor.max_context), "--parent", str(os.getpid()), "--memory", str(MEMORY)]
            with self.log.open("ab") as log:
                self.process = subprocess.Popen(
                    words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=os.environ | {TOKEN: token}
                )
            address = f"http://127.0.0.1:{self._port(ready)}"
            super().__init__(address, token, ends=actor.ends, max_context=actor.max_context, dtype=dtype)
        except BaseException:
            self.close()
            raise

    def _port(self, ready: Path) -> int:
        assert self.process is not None
        end = time.monotonic() + PATIENCE
        while not ready.exists():
            if self.process.poll() is not None or time.monotonic() > end:
                lines = [x for x in self.log.read_text(errors="replace").splitlines() if x.strip()]
                said = lines[-1].removeprefix("sharpen: ").rstrip(".")[:400] if lines else "it said nothing"
                raise SharpenError(f"The engine server did not start: {said}. {self.log} has all it said.")
            time.sleep(0.1)
        return int(ready.read_text())

    def close(self) -> None:
        """End the server, and remove its folder."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(10)
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
        self.process = None
        shutil.rmtree(self.place, ignore_errors=True)
