"""Programs that a model wrote, run where they can harm nothing: `open_sandbox("auto").run(b"print(1)")`."""

from __future__ import annotations

from sharpen.sandbox.base import Job, Limits, Ran, Sandbox, run_many
from sharpen.sandbox.calls import Called, Odd, Question, call, call_many, same
from sharpen.sandbox.choose import open_sandbox

__all__ = [
    "Called",
    "Job",
    "Limits",
    "Odd",
    "Question",
    "Ran",
    "Sandbox",
    "call",
    "call_many",
    "open_sandbox",
    "run_many",
    "same",
]
