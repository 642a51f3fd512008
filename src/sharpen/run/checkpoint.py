"""Checkpoints: one folder an iteration, complete or absent, checked by hashes when they are read.

`checkpoints/000120/` holds `state.json` and `tensors.safetensors` (see `sharpen.run.plain`) and `manifest.json`,
written last: format version, step, of which run it is, and size and SHA-256 of the two. The folder is written under a
temporary name, synced to the disk, and renamed; older ones go only after that.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from sharpen.errors import SharpenError
from sharpen.run.files import TEMPORARY, sha256, sync, write_file, writing
from sharpen.run.plain import decode, encode

FORMAT = 1
"""Version of the layout of a checkpoint. Another version is refused, never guessed at."""

FILES = ("state.json", "tensors.safetensors")
"""What a manifest vouches for."""

KEYS = {"format", "step", "run", "files"}
"""What a manifest holds. A version that adds something has another format, so anything else is damage."""

_STEP = re.compile(r"[0-9]{6}|[1-9][0-9]{6,}")


def save(folder: Path, step: int, state: Any, keep: int = 2, run: str = "") -> Path:
    """Write the state after `step` iterations to `folder/STEP` and remove all but the `keep` newest up to it.

    `run` tells the run from others (`RunDir.identity`); a checkpoint that was put among those of another is refused.
    `state` is plain data and tensors (`sharpen.run.plain`). When this fails (SharpenError: full disk, no right to
    write, something that is not plain) the earlier checkpoints are as they were. Only the process that holds the
    run's lock may call this. A checkpoint of the same step is replaced.
    """
    if keep < 1:
        raise SharpenError(f"{keep} checkpoints were to be kept, and a run goes on from the newest. Keep 1 or more.")
    tree, tensors = encode(state)
    final = folder / f"{step:06d}"
    new = folder / f"{TEMPORARY}new-{final.name}"
    with writing(f"the checkpoint of iteration {step}", folder):
        folder.mkdir(parents=True, exist_ok=True)
        clean(folder)
        try:
            new.mkdir()
            write_file(new / FILES[0], json.dumps(tree, allow_nan=False).encode())
            save_file(tensors, new / FILES[1])
            sync(new / FILES[1])
            files = {name: {"bytes": (new / name).stat().st_size, "sha256": sha256(new / name)} for name in FILES}
            manifest = {"format": FORMAT, "step": step, "run": run, "files": files}
            write_file(new / "manifest.json", json.dumps(manifest, indent=1).encode())
            sync(new)
            if final.exists():
                os.rename(final, folder / f"{TEMPORARY}old-{final.name}")
            os.rename(new, final)
            sync(folder)
        except BaseException:
            shutil.rmtree(new, ignore_errors=True)
            restore(folder)
            raise
        clean(folder)
    trim(folder, step, keep)
    return final


def trim(folder: Path, step: int, keep: int = 2) -> None:
    """Remove all but the `keep` newest up to the one of `step`, which must be good.

    A process that is killed between a new one and this leaves one too many. Only the process that holds the run's lock
    may call this.
    """
    with writing("the checkpoints", folder):
        for old in [p for p in kept(folder) if int(p.name) < step][: -(keep - 1) or None]:
            _remove(old)


def newest(folder: Path, run: str = "") -> tuple[int, Any] | None:
    """`(step, state)` of the newest checkpoint, or None where there is none.

    One that is damaged, incomplete, of another run or of another format raises SharpenError, which says what is wrong
    with it, which is the newest good one and how to go on from there: an older state is never taken in silence.
    """
    found = kept(folder)
    return load(found[-1], run) if found else None


def load(path: Path, run: str = "") -> tuple[int, Any]:
    """`(step, state)` of one checkpoint, checked; the tensors are on the CPU and independent of the file."""
    wrong = fault(path, run)
    if wrong is None:
        try:
            tree = json.loads((path / FILES[0]).read_bytes())
            tensors = {name: tensor.clone() for name, tensor in load_file(path / FILES[1]).items()}
            return int(path.name), decode(tree, tensors)
        except (OSError, ValueError, SafetensorError, SharpenError, RecursionError) as error:
            wrong = f"its content cannot be read: {str(error).rstrip('.')}"
    raise refused(path, wrong, run)


def refused(path: Path, wrong: str, run: str = "") -> SharpenError:
    """What to raise of a checkpoint with which something is wrong: which is the newest good one, and what to type."""
    good = [p for p in kept(path.parent) if p != path and fault(p, run) is None]
    bad = [p.name for p in kept(path.parent) if good and int(p.name) > int(good[-1].name)] or [path.name]
    if good:
        remedy = (
            f"The newest good one is {good[-1].name}: delete {', '.join(bad)} in {path.parent} and run again with "
            f"--resume to go on from iteration {int(good[-1].name)}."
        )
    else:
        remedy = (
            "There is no other good one: start anew with another --out, or put back a copy of this folder and run "
            "again with --resume."
        )
    return SharpenError(f"Checkpoint {path} cannot be used: {wrong}. {remedy}")


def kept(folder: Path) -> list[Path]:
    """The folders of checkpoints, oldest first, good or bad."""
    if not folder.is_dir():
        return []
    return sorted((p for p in folder.iterdir() if _STEP.fullmatch(p.name) and p.is_dir()), key=lambda p: int(p.name))


def fault(path: Path, run: str = "") -> str | None:
    """What is wrong with a checkpoint of a run; None for a good one.

    Checkpoints of earlier versions do not say of which run they are; that they are of another is then not seen.
    """
    try:
        manifest = json.loads((path / "manifest.json").read_bytes())
        version = manifest["format"]
        if type(version) is not int or version != FORMAT:
            return (
                f"it has format {version!r} and this version of sharpen reads {FORMAT}; the version that wrote it "
                f"can go on from it"
            )
        if type(manifest["step"]) is not int or manifest["step"] != int(path.name):
            return f"its manifest says iteration {manifest['step']}, so it was renamed or mixed with another"
        if not KEYS - {"run"} <= set(manifest) <= KEYS:
            return "manifest.json is not one that sharpen wrote"
        if run and manifest.get("run", run) != run:
            return "it is of another run (another recipe, setup or seed), or this run's own manifest.json was changed"
        for name in FILES:
            told = manifest["files"][name]
            if not (path / name).is_file():
                return f"{name} is missing"
            size = (path / name).stat().st_size
            if size != told["bytes"]:
                return f"{name} has {size} bytes instead of {told['bytes']}, so it was cut off or changed"
            if sha256(path / name) != told["sha256"]:
                return (
                    f"the content of {name} is not what was written (its SHA-256 differs), so it was changed or "
                    f"the disk is failing"
                )
    except FileNotFoundError:
        return "manifest.json is missing, so it is not complete or not a checkpoint of sharpen"
    except OSError as error:
        return f"{Path(error.filename).name if error.filename else 'a file'} cannot be read ({error.strerror})"
    except (ValueError, KeyError, TypeError, RecursionError):
        return "manifest.json is not one that sharpen wrote"
    return None


def clean(folder: Path) -> None:
    """Remove what killed processes left half-written. Only the process that holds the run's lock may call this."""
    restore(folder)
    if folder.is_dir():
        for left in [p for p in folder.iterdir() if p.name.startswith(TEMPORARY)]:
            shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()


def restore(folder: Path) -> None:
    """Give a checkpoint that was moved aside its name back, unless the one that was to replace it is there."""
    for old in folder.glob(f"{TEMPORARY}old-*"):
        final = folder / old.name.removeprefix(f"{TEMPORARY}old-")
        if not old.is_symlink() and not os.path.lexists(final):  # we move no links aside: somebody else made it
            os.rename(old, final)


def _remove(path: Path) -> None:
    # renamed first: one that is killed half-way through must not look like a damaged checkpoint
    gone = path.with_name(f"{TEMPORARY}gone-{path.name}")
    os.rename(path, gone)
    shutil.rmtree(gone)
