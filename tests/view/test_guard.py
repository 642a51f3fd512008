"""Who may ask the server, what it serves at all, and how the command ends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from sharpen.view import columns as columns_module
from sharpen.view.guard import HEADERS, allowed, local
from viewed import client, said

# ------------------------------------------------------------------ who may ask


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/..%2fapp.py",
        "/static/%2e%2e/app.py",
        "/static//etc/passwd",
        "/static/app.py",
        "/../../etc/passwd",
        "/api/runs/../../../etc/passwd",
        "/api/runs/0%2f..%2f..",
        "/api/runs/-1",
        "/api/runs/99999999999999999999",
        "/api/runs/0/rollouts/0/..%2f..%2f/0",
        "/api/runs/0/rollouts/0/0/9999",
        "/api/runs/0/rollouts/9/0/tree",
        "/api/runs/7",
        "/docs",
    ],
)
def test_nothing_else_is_served(ask, path):
    answer = ask.get(path)
    assert answer.status_code == 404
    assert answer.json()["error"]
    assert "root:" not in answer.text


def test_every_answer_is_guarded(ask):
    for path in ("/", "/static/main.js", "/api/runs", "/nothing"):
        answer = ask.get(path)
        for name, value in HEADERS.items():
            assert answer.headers[name] == value
    policy = HEADERS["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert policy.startswith("default-src 'none'")


def test_the_page_loads_nothing_from_elsewhere_and_makes_no_markup():
    static = Path(columns_module.__file__).parent / "static"
    for file in static.iterdir():
        text = file.read_text().replace("http://www.w3.org/2000/svg", "")
        assert "://" not in text, file
        for word in (
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "new Function",
            "import(",
        ):
            assert word not in text, (file, word)
        assert "<script>" not in text
        assert len(text.splitlines()) < 300


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_it_only_answers(ask, method):
    assert ask.request(method, "/api/runs").status_code == 405


@pytest.mark.parametrize(
    ("header", "host", "fine"),
    [
        ("127.0.0.1:8000", "127.0.0.1", True),
        ("localhost:8000", "127.0.0.1", True),
        ("LOCALHOST", "127.0.0.1", True),
        ("[::1]:8000", "127.0.0.1", True),
        ("evil.example:8000", "127.0.0.1", False),
        ("127.0.0.1.evil.example", "127.0.0.1", False),
        ("localhost.evil.example:80", "127.0.0.1", False),
        ("", "127.0.0.1", False),
        ("10.0.0.7:8000", "127.0.0.1", False),
        ("10.0.0.7:8000", "10.0.0.7", True),
        ("10.0.0.7:8000", "0.0.0.0", True),
        ("[fe80::1]:8000", "::", True),
        ("evil.example:8000", "0.0.0.0", False),
    ],
)
def test_host_header(header, host, fine):
    assert allowed(header, host) is fine


def test_a_foreign_host_is_refused_everywhere(ask):
    for path in ("/", "/static/main.js", "/api/runs"):
        answer = ask.get(path, headers={"Host": "evil.example"})
        assert answer.status_code == 403
        assert "Host header" in answer.json()["error"]


def test_token(runs):
    ask = client(runs, "0.0.0.0", "a-token-of-some-length", "http://10.0.0.7:8000")
    for path in ("/", "/static/main.js", "/api/runs", "/?token=", "/?token=a-token-of-some-lengt", "/?token=%C3%A9"):
        assert said(ask.get(path), 401)["error"].startswith("This server wants the token")
    bearer = {"Authorization": "Bearer a-token-of-some-length"}
    assert ask.get("/api/runs", headers=bearer).status_code == 200
    first = ask.get("/?token=a-token-of-some-length")
    assert (first.status_code, first.headers["location"]) == (303, "/")
    cookie = first.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "a-token" not in cookie
    assert ask.get("/").status_code == 200
    assert ask.get("/api/runs").status_code == 200
    other = client(runs, "0.0.0.0", "a-token-of-some-length", "http://10.0.0.7:8000")
    name, _, rest = cookie.partition("=")
    other.cookies.set(name, rest.split(";")[0])
    assert other.get("/api/runs").status_code == 401  # a cookie is that of one server


def test_local():
    assert [local(h) for h in ("127.0.0.1", "localhost", "::1", "0.0.0.0", "10.0.0.7", "example.org")] == [True] * 3 + [
        False
    ] * 3


# ------------------------------------------------------------------ the command


def test_the_command_ends_cleanly(runs):
    words = [sys.executable, "-m", "sharpen", "view", str(runs), "--json", "--no-open"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        told = json.loads(process.stdout.readline())
        assert told["address"].startswith("http://127.0.0.1:")
        with urllib.request.urlopen(told["address"] + "api/runs") as answer:
            assert len(json.load(answer)["runs"]) == 5
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err.strip()) == (0, "", "")
