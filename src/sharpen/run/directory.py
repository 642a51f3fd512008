"""The folder of a run.

    manifest.json     what the run is (`sharpen.run.manifest`), written once
    metrics.jsonl     {"step", "metrics", "cost"} an iteration; equal, byte for byte, for a run that was resumed
    timing.jsonl      {"step", ...} seconds and speeds, which differ from run to run
    curve.jsonl       {"step", "cost", "spent", measures...} of held-out problems while it trained (`--measure-every`);
                      as metrics.jsonl for a run that was resumed, but its step counts the iterations that were made
    rollouts/         Parquet files (`sharpen.run.rollouts`)
    checkpoints/      `sharpen.run.checkpoint`
    policy/           the model in the format of its ecosystem
    actors/           other models that were trained: value and reward models, a verifier
    evaluation.json, report.html, log.txt
    engine.log        what a server said that drew the samples (`--engine vllm-server`), or which workers did
                      and which died (`--engine ray`)
    lock              held by the process that trains

A checkpoint of step n stands after n iterations, so `rewind(n)` keeps the records of iterations 0 to n - 1.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shlex
import shutil
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from sharpen.errors import SharpenError
from sharpen.run import checkpoint, lines, rollouts
from sharpen.run.files import TEMPORARY, parent, replace, sync, writing
from sharpen.run.own import part_copies, part_lock, refuse_ways_out
from sharpen.types import Group
from sharpen.visible import visible


class RunDir:
    """A run's folder. Make one with `create` or `open`; write to it only inside `with run.lock():`."""

    writes: ClassVar[bool] = True
    """Whether this process writes it (one of several that train together does)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._writer: rollouts.RolloutWriter | None = None

    @classmethod
    def create(cls, path: Path | str, manifest: Mapping[str, Any]) -> RunDir:
        """A new run in a folder that is empty or not there; SharpenError for one that is used or cannot be written."""
        run = cls(Path(path))
        with writing("the run", run.path):
            run.path.mkdir(parents=True, exist_ok=True)
            run._refuse_used()
        with run.lock():
            run._refuse_used()  # again, for two may have come so far
            with writing("the manifest", run.path, "start again"):
                replace(run.path / "manifest.json", json.dumps(manifest, indent=1, allow_nan=False).encode())
                sync(run.path.parent)
        return run

    @classmethod
    def vacant(cls, path: Path | str) -> None:
        """Raise what `create` would raise, as far as it can be known without writing anything."""
        run = cls(Path(path))
        there = parent(run.path.absolute())
        if not there.is_dir():
            raise SharpenError(f"{there} is a file, so {run.path} can be no folder. Choose another with --out.")
        if not os.access(there, os.W_OK | os.X_OK):
            raise SharpenError(
                f"The run may not be written in {run.path}: {there} is not open to you. Give yourself the right to "
                "write there, or choose another folder with --out."
            )
        if run.path.is_dir():
            run._refuse_used()

    @classmethod
    def open(cls, path: Path | str) -> RunDir:
        """A run that is there, to read it or to go on with it."""
        run = cls(Path(path))
        if not (run.path / "manifest.json").is_file():
            what = "holds no manifest.json, so it is not a run" if run.path.is_dir() else "is not there"
            raise SharpenError(f"The run {run.path} {what}. Give the folder that a training was given with --out.")
        run.manifest()
        return run

    def _refuse_used(self) -> None:
        held = sorted(p.name for p in self.path.iterdir() if p.name != "lock" and not p.name.startswith(TEMPORARY))
        if not held:
            return
        if "manifest.json" in held:
            done = len(self.read_metrics())
            raise SharpenError(
                f"{self.path} holds a run already ({done} iterations). Go on with it by `sharpen train --resume --out "
                f"{shlex.quote(str(self.path))}`, or choose another folder with --out."
            )
        raise SharpenError(
            f"{self.path} is not empty (it holds {', '.join(held[:3])}{', ...' * (len(held) > 3)}), and a run wants a "
            "folder of its own. Choose another with --out."
        )

    @contextmanager
    def lock(self) -> Iterator[RunDir]:
        """Be the only process that writes here; what killed ones left half-written is removed. Others get a
        SharpenError, and so does who finds links. The lock goes with the process, however it ends; the file stays.
        """
        refuse_ways_out(self.path)
        with writing("the lock", self.path):
            part_lock(self.path)
            fd = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            self._take(fd)
            part_copies(self.path)
            with writing("the run", self.path):
                for folder in (self.path, self.checkpoints, self.path / "rollouts", self.actors):
                    checkpoint.clean(folder)
            refuse_ways_out(self.path)  # again: what had been moved aside is back
            yield self
        finally:
            os.close(fd)

    def _take(self, fd: int) -> None:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            who = os.pread(fd, 200, 0).decode(errors="replace").strip() or "another process"
            raise SharpenError(
                f"{self.path} is being written by {who}. Wait until that has ended (or end it), or choose another "
                "folder with --out."
            ) from error
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
                raise
            raise SharpenError(
                f"The file system of {self.path} has no locks, so two trainings could spoil each other's files. "
                "Choose a folder on another one with --out."
            ) from error
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)

    @property
    def checkpoints(self) -> Path:
        """Folder of checkpoints."""
        return self.path / "checkpoints"

    @property
    def policy(self) -> Path:
        """Folder of the exported model."""
        return self.path / "policy"

    @property
    def actors(self) -> Path:
        """Folder of the other models that were trained, one a name."""
        return self.path / "actors"

    @property
    def evaluation(self) -> Path:
        """File of the evaluation's numbers."""
        return self.path / "evaluation.json"

    @property
    def report(self) -> Path:
        """File of the report."""
        return self.path / "report.html"

    def manifest(self) -> dict[str, Any]:
        """What `create` was given."""
        path = self.path / "manifest.json"
        try:
            found = json.loads(path.read_bytes())
            if isinstance(found, dict):
                return found
            wrong = "it holds no object"
        except (OSError, ValueError, RecursionError) as error:
            wrong = str(error)
        raise SharpenError(f"{path} cannot be read ({wrong}). Put back a copy, or start anew with another --out.")

    def identity(self) -> str:
        """What tells this run from others, for its checkpoints: a digest of the manifest's recipe, setup and seed."""
        what = {key: x for key, x in self.manifest().items() if key in ("recipe", "setup", "seed")}
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()

    def append_metrics(self, step: int, metrics: Mapping[str, float], cost: Mapping[str, float]) -> None:
        """One line for an iteration. Numbers that are not finite are written as strings (`sharpen.run.lines`)."""
        record = {"step": step, "metrics": lines.numbers(metrics), "cost": lines.numbers(cost)}
        lines.append(self.path / "metrics.jsonl", record)

    def append_timing(self, step: int, timing: Mapping[str, float]) -> None:
        """Seconds and speeds of an iteration, apart from the metrics because no two runs have the same."""
        lines.append(self.path / "timing.jsonl", {"step": step, **lines.numbers(timing)})

    def append_rollouts(self, step: int, groups: Sequence[Group]) -> None:
        """Take over the traces of an iteration; they reach the disk with `flush` and with each checkpoint."""
        if self._writer is None:
            self._writer = rollouts.RolloutWriter(self.path / "rollouts")
        self._writer.add(step, groups)

    def append_curve(self, record: Mapping[str, Any]) -> None:
        """What was measured after `record["step"]` iterations."""
        lines.append(self.path / "curve.jsonl", lines.valid(record))

    def flush(self) -> None:
        """Everything appended so far is on the disk when this returns."""
        if self._writer is not None:
            self._writer.flush()
        for name in ("metrics.jsonl", "timing.jsonl", "curve.jsonl"):
            if (self.path / name).exists():
                with writing(name, self.path):
                    sync(self.path / name)

    def read_metrics(self) -> list[dict[str, Any]]:
        """The records of `append_metrics`, a half-written last one left out."""
        return lines.read(self.path / "metrics.jsonl")

    def read_timing(self) -> list[dict[str, Any]]:
        """The records of `append_timing`, a half-written last one left out."""
        return lines.read(self.path / "timing.jsonl")

    def read_curve(self) -> list[dict[str, Any]]:
        """The records of `append_curve`, a half-written last one left out."""
        return lines.read(self.path / "curve.jsonl")

    def save(self, step: int, state: Any, keep: int = 2) -> Path:
        """`flush`, then a checkpoint: the records of the iterations it stands after are never behind it."""
        self.flush()
        return checkpoint.save(self.checkpoints, step, state, keep, self.identity())

    def newest(self) -> tuple[int, Any] | None:
        """The newest checkpoint (`sharpen.run.checkpoint.newest`), None before the first."""
        return checkpoint.newest(self.checkpoints, self.identity())

    def rewind(self, step: int) -> None:
        """Forget the iterations from `step` on: metrics, timing, curve and rollouts; half-written lines go too.

        Each file is replaced whole or not at all; what stays is not changed by a byte. Of the checkpoints before that
        of `step` the newest stays.
        """
        self._writer = None
        lines.cut(self.path / "metrics.jsonl", step)
        lines.cut(self.path / "timing.jsonl", step)
        lines.cut(self.path / "curve.jsonl", step + 1)
        rollouts.cut(self.path / "rollouts", step)
        checkpoint.trim(self.checkpoints, step)

    def put_policy(self, export: Callable[[Path], None]) -> None:
        """Replace `policy/` by what `export` writes into the folder it is given: whole, or not at all."""
        self._put(self.policy, export)

    def put_actor(self, name: str, export: Callable[[Path], None]) -> None:
        """The same for another trained model, in `actors/NAME/`."""
        self._put(self.actors / name, export)

    def _put(self, target: Path, export: Callable[[Path], None]) -> None:
        # in the target's own folder, where what a killed process left is given its name back or removed
        beside = target.with_name(f"{TEMPORARY}{target.name}")
        old = target.with_name(f"{TEMPORARY}old-{target.name}")
        with writing("the trained model", self.path):
            target.parent.mkdir(exist_ok=True)
            for left in (beside, old):
                shutil.rmtree(left, ignore_errors=True)
            try:
                export(beside)
                for file in [*beside.iterdir(), beside]:
                    sync(file)
                if target.exists():
                    target.rename(old)
                beside.rename(target)
                sync(target.parent)
            finally:
                if old.exists() and not target.exists():
                    old.rename(target)
                for left in (beside, old):
                    shutil.rmtree(left, ignore_errors=True)

    def read_evaluation(self) -> dict[str, Any]:
        """What `write_evaluation` was given last; empty measures before that."""
        empty: dict[str, Any] = {"splits": {}, "samples": [], "done": []}
        if not self.evaluation.exists():
            return empty
        try:
            found = json.loads(self.evaluation.read_bytes())
            return {key: found[key] for key in empty} | {"done": [*found["done"]]}
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise SharpenError(
                f"{self.evaluation} cannot be read ({type(error).__name__}: {error}). Put back a copy, or delete it to "
                "have the model measured again."
            ) from error

    def write_evaluation(self, evaluation: Mapping[str, Any]) -> None:
        """Replace `evaluation.json`. Numbers that are not finite are written as strings (`sharpen.run.lines`)."""
        with writing("the evaluation", self.path):
            replace(self.evaluation, json.dumps(lines.valid(evaluation), indent=1, allow_nan=False).encode())

    def log(self, line: str) -> None:
        """Add a line to `log.txt`, the one file that tells of all attempts and is never cut back."""
        with writing("log.txt", self.path), open(self.path / "log.txt", "a", encoding="utf-8") as file:
            file.write(visible(line.rstrip("\n")) + "\n")  # a line may quote what anybody wrote
