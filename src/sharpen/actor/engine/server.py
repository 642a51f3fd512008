"""An engine in a process of its own, on loopback: `python -m sharpen.actor.engine.server MODEL_FOLDER`.

A thin JSON service around the in-process engine, and not vLLM's OpenAI server: that one has no call that loads weights
and reads them back, which is what a sync is proved by. Weights come as a safetensors file in a folder of the server's,
by name; nothing is ever unpickled. Every call must carry the token of the environment variable `SHARPEN_ENGINE_TOKEN`.

    GET  /state                                    -> {"version", "dtype", "max_context", "agreement", "folder"}
    POST /sync     {"version", "file", "ends"}     -> {"held": {name: fingerprint}}
    POST /generate {"version", "prompts": [...]}   -> {"draws": [...]}
"""

from __future__ import annotations

import argparse
import hmac
import json
import os
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from sharpen.actor.engine.base import Engine
from sharpen.actor.engine.wire import draw_to_json, prompt_from_json
from sharpen.errors import SharpenError

TOKEN = "SHARPEN_ENGINE_TOKEN"
"""The environment variable that holds what a client must know."""


class EngineServer(HTTPServer):
    """Serves one engine, a request at a time, at 127.0.0.1. `port` 0 takes a free one (`server_port` says which).

    `folder` is where clients put weights. Before the first sync there is no version, and nothing is drawn.
    """

    def __init__(self, engine: Any, folder: Path, *, token: str, dtype: str, max_context: int, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.engine: Engine = engine
        self.folder = folder.resolve()
        self.token = token
        self.dtype = dtype
        self.max_context = max_context
        self.version: str | None = None

    def state(self) -> dict[str, Any]:
        """What a client must know before it sends anything."""
        return {
            "version": self.version,
            "dtype": self.dtype,
            "max_context": self.max_context,
            "agreement": self.engine.agreement,
            "folder": str(self.folder),
        }

    def sync(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Load a file of the folder into the engine."""
        path = (self.folder / str(asked["file"])).resolve()
        if path.parent != self.folder or path.suffix != ".safetensors":
            raise SharpenError(f"{asked['file']!r} is no safetensors file in the server's folder {self.folder}.")
        self.version = None  # half a sync is no version
        if hasattr(self.engine, "end_tokens"):
            self.engine.end_tokens = sorted(int(t) for t in asked["ends"])
        held = self.engine.sync(load_file(path))
        self.version = str(asked["version"])
        return {"held": held}

    def generate(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Draw, by the weights of the version that is asked for and no others."""
        if asked["version"] != self.version or self.version is None:
            raise SharpenError(
                f"The server holds the weights of version {self.version}, and samples of version {asked['version']} "
                "were asked for: they are stale, or another run uses this server. Give each run a server of its own."
            )
        draws = self.engine.generate([prompt_from_json(p) for p in asked["prompts"]])
        return {"draws": [draw_to_json(d) for d in draws]}


class _Handler(BaseHTTPRequestHandler):
    server: EngineServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self._allowed():
            known = self.path == "/state"
            self._say(200 if known else 404, self.server.state() if known else {"error": f"There is no {self.path}."})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if not self._allowed():
            return
        call = {"/sync": self.server.sync, "/generate": self.server.generate}.get(self.path)
        if call is None:
            self._say(404, {"error": f"There is no {self.path}."})
            return
        try:
            said = call(json.loads(body))
        except (SharpenError, KeyError, TypeError, ValueError, OSError) as error:
            self._say(400, {"error": str(error) or type(error).__name__})
        except Exception as error:  # the engine failed: its client must hear of it
            self._say(500, {"error": f"{type(error).__name__}: {error}"})
        else:
            self._say(200, said)

    def _allowed(self) -> bool:
        given = self.headers.get("Authorization") or ""
        if hmac.compare_digest(given.encode(), f"Bearer {self.server.token}".encode()):
            return True
        self._say(401, {"error": f"The token is missing or wrong. Set {TOKEN} to that of the server."})
        return False

    def _say(self, status: int, told: dict[str, Any]) -> None:
        data = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: requests are not worth a line each."""


def _end_with(parent: int) -> None:
    """End this process as soon as its parent has gone."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


def main() -> None:
    """Serve a model folder (config.json and tokenizer; weights come with the first sync) on vLLM until it is ended."""
    from transformers import AutoConfig

    from sharpen.actor.engine.vllm import VllmEngine

    p = argparse.ArgumentParser(prog="python -m sharpen.actor.engine.server", description=main.__doc__)
    p.add_argument("model", type=Path, help="a folder with config.json and a tokenizer")
    p.add_argument("--port", type=int, default=0, help="0: a free one")
    p.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    p.add_argument("--max-context", type=int, default=0, help="limit of prompt and answer (default: the model's)")
    p.add_argument("--memory", type=float, default=0.9, help="share of a GPU's memory")
    p.add_argument("--folder", type=Path, help="where clients put weights (default: a temporary one)")
    p.add_argument("--ready", type=Path, help="a file to write the port to, once it serves")
    p.add_argument("--parent", type=int, default=0, help="end when this process, its parent, has gone")
    args = p.parse_args()
    token = os.environ.get(TOKEN)
    if not token:
        p.error(f"set {TOKEN} to a secret that the trainer is given too")
    if args.parent:
        _end_with(args.parent)
    limit = AutoConfig.from_pretrained(args.model).get_text_config().max_position_embeddings
    context = args.max_context or int(limit)
    try:
        engine = VllmEngine(
            args.model, end_tokens=frozenset(), max_context=context, dtype=args.dtype, memory=args.memory
        )
    except SharpenError as error:
        raise SystemExit(f"sharpen: {error}") from None
    with tempfile.TemporaryDirectory(prefix="sharpen-engine-") as temporary:
        folder = args.folder or Path(temporary)
        server = EngineServer(engine, folder, token=token, dtype=args.dtype, max_context=context, port=args.port)
        if args.ready:
            beside = args.ready.with_suffix(".part")
            beside.write_text(str(server.server_port))
            beside.rename(args.ready)
        print(f"serving {args.model} at http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
