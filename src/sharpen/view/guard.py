"""Who may ask the server, and what a browser may do with its answers."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import socket
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sharpen.view.answers import refusal

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Of every answer: only the page's own files run, nothing comes from elsewhere, and no markup is made of text."""

PATH_MOST = 200
"""Characters of an address before its question mark; numbers in it have at most twenty."""

LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""Names of this machine for itself."""


@dataclass(frozen=True)
class Guard:
    """ASGI middleware: lets a request through to `app` or answers it.

    Refused are other methods than GET and HEAD, a Host header that does not name this server (a page elsewhere whose
    name was made to lead here would send its own), and, where there is a `token`, whoever knows neither it nor the
    cookie that the first request with it was given.
    """

    app: ASGIApp
    host: str = "127.0.0.1"
    token: str = ""
    session: str = field(default_factory=lambda: secrets.token_urlsafe(32))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        response = self._refused(scope, headers)
        await (response or self.app)(scope, receive, self._dressed(send))

    def _refused(self, scope: Scope, headers: Headers) -> Response | None:
        if scope["method"] not in ("GET", "HEAD"):
            return refusal("This server only answers questions (GET).", 405)
        if not allowed(headers.get("host", ""), self.host):
            return refusal("The Host header names another server, so nothing is told. Use the address printed.", 403)
        if len(scope["path"]) > PATH_MOST:
            return refusal("There is nothing at this address.", 404)
        if not self.token or self._known(headers):
            return None
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if not equal(given, self.token):
            return refusal("This server wants the token it was started with: open the address it printed.", 401)
        if scope["path"] != "/":
            return None
        # the token goes out of the address bar, and out of the history with it
        response = RedirectResponse("/", 303, {"Cache-Control": "no-store"})
        response.set_cookie(self.cookie, self.session, httponly=True, samesite="lax")
        return response

    @property
    def cookie(self) -> str:
        """Its name: two servers on one machine must not overwrite each other's."""
        return f"sharpen-{hashlib.sha256(self.session.encode()).hexdigest()[:8]}"

    def _known(self, headers: Headers) -> bool:
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and equal(given, self.token):
            return True
        try:
            cookies = SimpleCookie(headers.get("cookie", ""))
        except CookieError:
            return False
        return self.cookie in cookies and equal(cookies[self.cookie].value, self.session)

    def _dressed(self, send: Send) -> Send:
        async def dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        return dressed


def equal(a: str, b: str) -> bool:
    """Whether two secrets are the same, in a time that does not tell where they differ."""
    return hmac.compare_digest(a.encode(errors="surrogatepass"), b.encode(errors="surrogatepass"))


def allowed(header: str, host: str) -> bool:
    """Whether a Host header may name a server bound to `host`.

    A name that somebody else may point here is refused: known are the loopback names, `host` itself, this machine's
    name, and, where the server is bound to every address, addresses in figures.
    """
    name = header.rpartition(":")[0] if ":" in header.rpartition("]")[2] else header
    name = name.strip("[]").lower()
    if name in LOOPBACK or name == host.lower():
        return True
    if not everywhere(host):
        return False
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name == socket.gethostname().lower()
    return True


def everywhere(host: str) -> bool:
    """Whether a server bound to `host` answers at every address of the machine."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def local(host: str) -> bool:
    """Whether only this machine reaches a server bound to `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
