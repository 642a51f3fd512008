"""`sharpen view`: a page in the browser over run directories, live while they train."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys

from sharpen.errors import SharpenError

NEEDED = ("starlette", "uvicorn")
"""Packages of the extra `view`."""


def add_view(p: argparse.ArgumentParser) -> None:
    """Options of `view`."""
    p.add_argument("folders", metavar="FOLDER", nargs="*", help="folders with runs below, or runs (default: runs)")
    p.add_argument("--port", type=int, default=0, metavar="N", help="port to listen at (0: one that is free)")
    p.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="H",
        help="address to listen at; with one that other machines reach, a token is asked for",
    )
    p.add_argument(
        "--token", default="", metavar="TEXT", help="ask for this token (default: none on this machine, else a new one)"
    )
    p.add_argument(
        "--open",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="open the page in a browser (default: where there is a screen)",
    )


def run_view(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C."""
    for name in NEEDED:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise SharpenError(
                f"`sharpen view` needs a package that is not installed ({error}). Install it with `pip install "
                '"sharpen[view]"`, or open the report.html of a run, which needs nothing.'
            ) from error
    from sharpen.view.serve import address, bound, folders_of, refuse_short, secret, serve

    if not 0 <= args.port < 65536:
        raise SharpenError(f"`--port {args.port}` must be a number from 0 (one that is free) to 65535.")
    if not args.host:
        raise SharpenError("`--host` is empty. Leave it out to listen on this machine alone, or give an address of it.")
    folders = folders_of(args.folders or ["runs"])
    refuse_short(args.token)
    sock = bound(args.host, args.port)
    token = secret(sock.getsockname()[0], args.token)  # where a name leads is known only now
    url = address(sock, args.host, token)
    if args.json:
        print(json.dumps({"address": url, "folders": [str(f) for f in folders]}), flush=True)
    else:
        print(f"{url}\nCtrl-C ends it.", flush=True)
    serve(folders, sock, args.host, token, _screen() if args.open is None else args.open, url)
    return 0


def _screen() -> bool:
    """Whether there is somebody in front of a screen of this machine."""
    if not sys.stdout.isatty() or "SSH_CONNECTION" in os.environ:
        return False
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
