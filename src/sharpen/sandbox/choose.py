"""Which sandbox: bubblewrap, or by name the weaker one."""

from __future__ import annotations

import functools
from typing import Literal

from sharpen.errors import SharpenError, near
from sharpen.sandbox.base import Limits, Sandbox
from sharpen.sandbox.bubblewrap import LEAST, Bubblewrap, bwrap, version
from sharpen.sandbox.plain import Process

KINDS = ("auto", "bubblewrap", "process")

_NEED = "Code that a model writes is run in a sandbox"
WEAKER = (
    "Or ask for the sandbox `process`, if you trust what will be run: it limits time, memory and output, and does not "
    "keep a program from reading and writing your files or from the network."
)


def open_sandbox(kind: Literal["auto", "bubblewrap", "process"] | str = "auto") -> Sandbox:
    """A sandbox that works here: it was tried once. `auto` is bubblewrap; the weaker one is taken by name alone.

    SharpenError says what is missing and what to do.
    """
    if kind not in KINDS:
        raise SharpenError(f"There is no sandbox {kind!r}. {near(str(kind), KINDS)}")
    if kind == "process":
        return Process()
    missing = lacking()
    if missing:
        raise SharpenError(missing)
    return Bubblewrap()


@functools.lru_cache(maxsize=1)
def lacking() -> str | None:
    """Why bubblewrap cannot be used here, and what to do, in a paragraph; None where it can. Tried once a process."""
    install = "Install it (`apt install bubblewrap`, `dnf install bubblewrap`, `pacman -S bubblewrap`)."
    try:
        path = bwrap()
        found = version(path)
    except (SharpenError, OSError, ValueError):
        return f"{_NEED}, and bubblewrap (`bwrap`) is not installed. {install} {WEAKER}"
    if found < LEAST:
        said = ".".join(map(str, found))
        return f"{_NEED}, and bubblewrap is too old: it is {said}, and 0.8 is needed. Install a newer one. {WEAKER}"
    try:
        ran = Bubblewrap().run(b"print(6 * 7)", limits=Limits(seconds=30.0, cpu=10))
        if ran.out == b"42\n":
            return None
        why = f"a program that prints 42 ended with {ran.status}, {ran.code}, {ran.err[-300:]!r}."
    except (SharpenError, OSError) as error:
        why = str(error)
    return (
        f"{_NEED}, and bubblewrap is installed but does not work here: {why} "
        "Often user namespaces are forbidden: in a container allow them (`docker run --security-opt "
        "seccomp=unconfined --security-opt apparmor=unconfined`, or `--cap-add SYS_ADMIN`), on Ubuntu set "
        f"`sysctl kernel.apparmor_restrict_unprivileged_userns=0`. {WEAKER}"
    )
