"""What all tests share: what the processes of a run handed each other is gone at its end."""

import os
import shutil

from benches import shared


def pytest_sessionfinish(session):
    if not hasattr(session.config, "workerinput"):  # the runner itself, which ends last
        shutil.rmtree(shared(os.getpid()), ignore_errors=True)
