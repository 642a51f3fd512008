"""What all tests share: what the processes of a run handed each other is gone at its end, and processes that begin in
another folder find the same library.
"""

import os
import shutil
from pathlib import Path

from benches import shared

# and the helpers of the tests, which workers of a cluster import
FOLDERS = [str(Path(__file__).parent), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(map(os.path.abspath, FOLDERS)))


def pytest_sessionfinish(session):
    if not hasattr(session.config, "workerinput"):  # the runner itself, which ends last
        shutil.rmtree(shared(os.getpid()), ignore_errors=True)
