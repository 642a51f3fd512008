"""`sharpen view`: what it refuses, and where it would serve. That it serves is tested with the page."""

from __future__ import annotations

import builtins
import socket
from pathlib import Path

import pytest

from command import refused
from sharpen.cli import viewing
from sharpen.view import serve
from sharpen.view.serve import address, bound, secret


@pytest.mark.parametrize(
    ("words", "texts"),
    [
        ([], ["The folder runs is not there", "`sharpen train` makes them under `runs/`"]),
        (["nowhere"], ["The folder nowhere is not there"]),
        (["data.jsonl"], ["The folder data.jsonl is a file"]),
        ([".", "--port", "70000"], ["`--port 70000` must be a number from 0"]),
        ([".", "--port", "x"], ["--port"]),
        ([".", "--host", "203.0.113.7"], ["cannot be served at 203.0.113.7:0", "--port", "--host"]),
        ([".", "--host", ""], ["`--host` is empty"]),
        ([".", "--token", "short"], ["--token is shorter than 16 characters"]),
        ([".", "--opne"], ["no option --opne. Did you mean --open"]),
    ],
)
def test_what_is_refused(sharpen, words, texts):
    refused(sharpen("view", *words), *texts)


def test_a_port_that_is_taken(sharpen):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        refused(sharpen("view", ".", "--port", port), f"cannot be served at 127.0.0.1:{port}", "--port (0 takes one")


def test_a_name_that_leads_elsewhere_asks_for_a_token(sharpen, monkeypatch):
    """What counts is the address that is listened at, not that it was called `localhost`."""

    class Bound:
        def getsockname(self):
            return ("10.0.0.7", 8000)

    seen = []
    monkeypatch.setattr(serve, "bound", lambda host, port: Bound())
    monkeypatch.setattr(serve, "serve", lambda folders, sock, host, token, show, url: seen.append((host, token, url)))
    assert sharpen("view", ".", "--host", "localhost").status == 0
    [(host, token, url)] = seen
    assert (host, len(token) >= 16, url.endswith(f"?token={token}")) == ("localhost", True, True)


@pytest.mark.parametrize("name", viewing.NEEDED)
def test_a_package_that_is_missing(sharpen, monkeypatch, name):
    real = builtins.__import__

    def without(module, *more, **how):
        if module.split(".")[0] == name:
            raise ImportError(f"No module named {name!r}")
        return real(module, *more, **how)

    monkeypatch.setattr("importlib.import_module", without)
    refused(sharpen("view", "."), name, 'pip install "sharpen[view]"', "report.html")


@pytest.mark.parametrize(
    ("words", "start", "asks"),
    [
        ([], "http://127.0.0.1:", False),
        (["--token", "a-token-of-some-length"], "http://127.0.0.1:", True),
        (["--host", "localhost"], "http://localhost:", False),
        (["--host", "0.0.0.0"], f"http://{socket.gethostname()}:", True),
    ],
)
def test_the_address_is_printed(sharpen, monkeypatch, words, start, asks):
    seen = {}

    def served(folders, sock, host, token, show, url):
        seen.update(folders=folders, token=token, show=show, url=url)
        sock.close()

    monkeypatch.setattr(serve, "serve", served)
    said = sharpen("view", ".", *words)
    assert (said.status, said.err) == (0, "")
    url = said.out.splitlines()[0]
    assert url == seen["url"]
    assert url.startswith(start)
    assert (seen["folders"], seen["show"]) == ([Path(".")], False)
    assert ("?token=" in url) is asks
    assert (len(seen["token"]) >= 16) is asks


def test_secrets_are_made_anew():
    assert secret("127.0.0.1", "") == ""
    assert secret("0.0.0.0", "") != secret("0.0.0.0", "")


def test_a_token_is_quoted_in_the_address():
    with bound("127.0.0.1", 0) as sock:
        assert address(sock, "127.0.0.1", "a b&c=d").endswith("/?token=a%20b%26c%3Dd")


def test_a_browser_is_opened_only_in_front_of_a_screen(monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    for name in ("SSH_CONNECTION", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert not viewing._screen()
    monkeypatch.setenv("DISPLAY", ":0")
    assert viewing._screen()
    monkeypatch.setenv("SSH_CONNECTION", "x")
    assert not viewing._screen()
