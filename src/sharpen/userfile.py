"""Something of the user's own, by `FILE.py:NAME`: a recipe, a task."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from sharpen.errors import SharpenError, near


def is_meant(spec: str) -> bool:
    """Whether a text is meant as `FILE.py:NAME`, be it complete or not."""
    return spec.endswith(".py") or spec.rpartition(":")[0].endswith(".py")


def file_of(spec: str) -> str:
    """The file that a text names which is meant so (`is_meant`): `FILE.py` of `FILE.py:NAME`."""
    return spec if spec.endswith(".py") else spec.rpartition(":")[0]


def find(spec: str, kind: type | tuple[type, ...], what: str) -> Any:
    """What `FILE.py:NAME` names: an instance or a subclass of `kind`, which messages call `what`.

    Raises `SharpenError` for a file that is not there or cannot be run, and for a name that is no such thing.
    """
    path, _, name = spec.rpartition(":")
    if spec.endswith(".py"):
        path, name = spec, ""
    module = load(path, what)
    kinds = kind if isinstance(kind, tuple) else (kind,)

    def fits(x: object) -> bool:
        return x not in kinds and (isinstance(x, kind) or (isinstance(x, type) and issubclass(x, kind)))

    found = getattr(module, name, None) if name else None
    if fits(found):
        return found
    known = [n for n, v in vars(module).items() if fits(v) and not n.startswith("_")]
    listed = f"It has {', '.join(known)}." if known else f"It has no {what}; write one at its top level."
    if not name:
        raise SharpenError(f"Name the {what} of {path} as {path}:NAME. {listed}")
    if name in vars(module):
        raise SharpenError(f"{name!r} in {path} is a {type(found).__name__}, not a {kinds[0].__name__}. {listed}")
    raise SharpenError(f"{path} has no {what} {name!r}. {near(name, known) if known else listed}")


def load(path: str, what: str) -> ModuleType:
    """The module of a file, run once more each time."""
    if not Path(path).is_file():
        raise SharpenError(f"There is no file {path} to take a {what} from. Write FILE.py:NAME.")
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
    except SharpenError as error:
        raise SharpenError(f"{path}{_line(error, path)}: {error}") from error
    except Exception as error:
        words = error.msg if isinstance(error, SyntaxError) else str(error)
        raise SharpenError(
            f"{path} could not be read{_line(error, path)}: {type(error).__name__}: {words}. Mend it there."
        ) from error
    return module


def _line(error: Exception, path: str) -> str:
    """The last line of a file that had a part in an error."""
    file = str(Path(path).absolute())
    if isinstance(error, SyntaxError) and error.filename == file:
        return f" at line {error.lineno}"
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == file]
    return f" at line {lines[-1]}" if lines else ""
