from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from nano_models import build


@pytest.fixture(scope="session")
def models() -> Callable[[str], Any]:
    return cache(build)
