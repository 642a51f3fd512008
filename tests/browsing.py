"""A browser that looks at the page, and notices whatever it should not do."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from sharpen.view.app import app
from sharpen.view.serve import bound

PICTURES = os.environ.get("SHARPEN_PICTURES", "")
"""The folder where pictures of the views are written, if any."""

WIDE, NARROW = {"width": 1200, "height": 800}, {"width": 380, "height": 800}


@contextmanager
def served(folder: Path, token: str = "") -> Iterator[str]:
    """The address of a server for the runs below a folder."""
    sock = bound("127.0.0.1", 0)
    config = uvicorn.Config(app([folder], token=token), log_level="warning", lifespan="off", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{sock.getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join(10)
        sock.close()


class Watched:
    """A page, and everything it did that it should not have: errors, dialogs, requests to elsewhere."""

    def __init__(self, browser: Any, address: str, size: dict[str, int] = WIDE, scheme: str = "light") -> None:
        self.address = address
        self.context = browser.new_context(viewport=size, color_scheme=scheme)
        self.page = self.context.new_page()
        self.page.set_default_timeout(10_000)
        self.wrong: list[str] = []
        self.asked: list[str] = []
        self.meant = "^$"
        self.page.on("pageerror", lambda e: self.wrong.append(f"error {e}"))
        self.page.on("console", lambda m: self.wrong.append(f"console {m.text}") if m.type == "error" else None)
        self.page.on("dialog", lambda d: (self.wrong.append(f"dialog {d.message}"), d.dismiss()))
        self.page.on("popup", lambda p: self.wrong.append(f"popup {p.url}"))
        self.page.on("request", lambda r: self.asked.append(r.url))

    def go(self, path: str) -> Watched:
        self.page.goto(f"{self.address}#{path}")
        return self.at(path)

    def at(self, path: str) -> Watched:
        """Wait for the view of a path."""
        self.page.wait_for_selector(f'#main[data-shown="{path.split("?")[0]}"]')
        return self

    def picture(self, name: str) -> None:
        if PICTURES:
            Path(PICTURES).mkdir(parents=True, exist_ok=True)
            self.page.wait_for_timeout(200)  # charts are drawn once their width is known
            self.page.screenshot(path=str(Path(PICTURES) / f"{name}.png"))

    def texts(self, selector: str) -> list[str]:
        return self.page.locator(selector).all_inner_texts()

    def wide(self) -> int:
        """Pixels that the page is wider than the screen."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))

    def close(self) -> None:
        """Leave; of what went wrong only what matches `meant` was meant to."""
        elsewhere = [u for u in self.asked if not u.startswith(self.address)]
        self.context.close()
        assert [w for w in self.wrong if not re.search(self.meant, w)] == []
        assert elsewhere == []
