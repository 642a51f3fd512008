"""What this machine lets the process use."""

from __future__ import annotations

import os


def cores() -> int:
    """How many CPU cores this process may run on, at least 1."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
