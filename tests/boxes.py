"""Built-in tasks to try, made so that they need nothing that may be missing."""

from sharpen.task import builtin

BOXED = ("code", "tool")
"""Those that run programs: here in the sandbox that is there everywhere."""


def made(name, **fields):
    """A task of this name."""
    if name in BOXED:
        fields = {"sandbox": "process", **fields}
    return builtin()[name](**fields)
