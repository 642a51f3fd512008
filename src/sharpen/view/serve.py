"""Serving the page until Ctrl-C."""

from __future__ import annotations

import secrets
import socket
import sys
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from sharpen.errors import SharpenError
from sharpen.view.guard import everywhere, local


def folders_of(given: Sequence[str]) -> list[Path]:
    """The folders to look below. Raises SharpenError for one that is not there."""
    out = []
    for text in given:
        path = Path(text)
        if not path.is_dir():
            what = "is a file" if path.exists() else "is not there"
            raise SharpenError(
                f"The folder {text} {what}. Give folders that hold runs (`sharpen train` makes them under `runs/`), or "
                "a run itself."
            )
        out.append(path)
    return out


def bound(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes one that is free. Raises SharpenError."""
    kind = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(kind, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(128)
    except (OSError, OverflowError) as error:
        sock.close()
        raise SharpenError(
            f"The page cannot be served at {host}:{port} ({error}). Choose another with --port (0 takes one that is "
            "free) and --host."
        ) from error
    return sock


def refuse_short(token: str) -> None:
    """Raise SharpenError for a token that could be guessed."""
    if token and len(token) < 16:
        raise SharpenError(
            "The text given with --token is shorter than 16 characters, so it could be guessed. Leave the option out "
            "to have one made, or give a longer one."
        )


def secret(address: str, token: str) -> str:
    """The token to ask for: the one given, a new one where other machines reach the server, else none.

    `address` is what the server is bound to, in figures: a name, be it `localhost`, may lead elsewhere.
    """
    return token or ("" if local(address) else secrets.token_urlsafe(24))


def address(sock: socket.socket, host: str, token: str) -> str:
    """Where the page is, with what it takes to open it."""
    name = socket.gethostname() if everywhere(host) else f"[{host}]" if ":" in host else host
    return f"http://{name}:{sock.getsockname()[1]}/" + (f"?token={quote(token, safe='')}" if token else "")


def serve(folders: Sequence[Path], sock: socket.socket, host: str, token: str, show: bool, url: str) -> None:
    """Answer until Ctrl-C or SIGTERM."""
    import uvicorn

    from sharpen.view.app import app

    config = uvicorn.Config(
        app(folders, host, token),
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=False,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    if show:
        webbrowser.open(url)
    try:
        server.run(sockets=[sock])
    except KeyboardInterrupt:
        print(file=sys.stderr)  # the terminal shows ^C on the line
    finally:
        sock.close()
