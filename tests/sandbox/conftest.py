"""A ground to attack, and the sandboxes there are."""

from __future__ import annotations

import pytest

from escapes import Ground
from sharpen.sandbox import open_sandbox
from sharpen.sandbox.choose import lacking


@pytest.fixture
def ground(tmp_path):
    made = Ground(tmp_path)
    yield made
    made.close()


@pytest.fixture
def bubblewrap():
    if why := lacking():
        pytest.skip(why)
    return open_sandbox("bubblewrap")


@pytest.fixture(params=["bubblewrap", "process"])
def sandbox(request):
    if request.param == "bubblewrap" and (why := lacking()):
        pytest.skip(why)
    return open_sandbox(request.param)
