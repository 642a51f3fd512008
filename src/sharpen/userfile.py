"""Something of the user's own, by `FILE.py:NAME`: a recipe, a task."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from sharpen.errors import SharpenError, near


def is_named(spec: str) -> bool:
    """Whether a text has the form `FILE.py:NAME`."""
    path, colon, name = spec.rpartition(":")
    return bool(colon) and path.endswith(".py") and name.isidentifier()


def find(spec: str, kind: type, what: str) -> Any:
    """What `FILE.py:NAME` names: an instance or a subclass of `kind`, which messages call `what`.

    Raises `SharpenError` for a file that is not there or cannot be run, and for a name that is no such thing.
    """
    path, _, name = spec.rpartition(":")
    module = load(path, what)

    def fits(x: object) -> bool:
        return isinstance(x, kind) or (isinstance(x, type) and issubclass(x, kind))

    found = getattr(module, name, None)
    if not fits(found):
        known = [n for n, v in vars(module).items() if fits(v) and not n.startswith("_")]
        raise SharpenError(f"{path} has no {what} {name!r}. {near(name, known)}")
    return found


def load(path: str, what: str) -> ModuleType:
    """The module of a file, run once more each time."""
    if not Path(path).is_file():
        raise SharpenError(f"There is no file {path} to take the {what} from. Give the path of a Python file.")
    # no import finds a name with a colon, so the file replaces no module, whatever it is called
    name = f"file:{Path(path).stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # dataclasses, type hints and the manifest look definitions up by the name of their module
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except SharpenError:
        raise
    except Exception as error:
        line = error.__traceback__
        while line is not None and line.tb_next is not None:
            line = line.tb_next
        at = f" at line {line.tb_lineno}" if line is not None else ""
        raise SharpenError(
            f"{path} could not be read{at}: {type(error).__name__}: {error}. Mend the file, or try it with `python "
            f"{path}`."
        ) from error
    return module
