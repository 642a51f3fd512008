"""What all tests share: what the processes of a run handed each other is gone at its end, and processes that begin in
another folder find the same library.
"""

import os
import shutil

from benches import shared

if "PYTHONPATH" in os.environ:
    os.environ["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, os.environ["PYTHONPATH"].split(os.pathsep)))


def pytest_sessionfinish(session):
    if not hasattr(session.config, "workerinput"):  # the runner itself, which ends last
        shutil.rmtree(shared(os.getpid()), ignore_errors=True)
