"""Trackers mirror a run's metrics elsewhere. The run's folder stays the record; a tracker only reads along.

Their packages are imported when a tracker is made, never before.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

from sharpen.errors import SharpenError, near


class Tracker(Protocol):
    """What a run tells of itself while it goes on."""

    def start(self, manifest: Mapping[str, Any]) -> None:
        """Before the first iteration, also of a resumed run."""
        ...

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """The numbers of one iteration by name."""
        ...

    def end(self) -> None:
        """After the last iteration, or when the run fails."""
        ...


def _load(module: str, install: str, tracker: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise SharpenError(
            f"The tracker {tracker!r} needs a package that is not installed ({error}). Install it with `pip install "
            f"{install}`, or train without that tracker: metrics.jsonl holds the same numbers."
        ) from error


class TensorBoard:
    """Event files in `RUN/tensorboard`, to be read with `tensorboard --logdir RUN`."""

    def __init__(self, run: Path) -> None:
        self._module = _load("torch.utils.tensorboard", '"sharpen[view]"', "tensorboard")
        self.folder = run / "tensorboard"
        self._writer: Any = None

    def start(self, manifest: Mapping[str, Any]) -> None:
        """Open a new event file; the manifest is its text `manifest`."""
        self._writer = self._module.SummaryWriter(str(self.folder))
        # four spaces make it code, for the text is read as Markdown
        self._writer.add_text("manifest", "    " + json.dumps(manifest, indent=1).replace("\n", "\n    "))

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """One scalar a name."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def end(self) -> None:
        """Close the file."""
        self._writer.close()


class WandB:
    """Weights & Biases. The run's folder name is its name and its id, so that a resumed run goes on in the same place.

    `mode="offline"` keeps everything in `RUN/wandb` for `wandb sync`; None leaves the mode to `WANDB_MODE`.
    """

    def __init__(
        self, run: Path, project: str = "sharpen", mode: Literal["online", "offline", "disabled"] | None = None
    ) -> None:
        self._module = _load("wandb", "wandb", "wandb")
        self.run = run
        self.project = project
        self.mode = mode
        self._run: Any = None

    def start(self, manifest: Mapping[str, Any]) -> None:
        """Begin, or go on with, the run of that id; the manifest is its config."""
        name = self.run.resolve().name
        self._run = self._module.init(
            project=self.project,
            name=name,
            id="".join(c if c.isalnum() or c in "-_." else "-" for c in name),
            resume="allow",
            config=dict(manifest),
            dir=str(self.run),
            mode=self.mode,
        )

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """One step."""
        self._run.log(dict(values), step=step)

    def end(self) -> None:
        """Finish the upload."""
        self._run.finish()


class Trackio:
    """Trackio, which keeps its numbers on this machine unless it is set up otherwise; `trackio show` reads them."""

    def __init__(self, run: Path, project: str = "sharpen") -> None:
        self._module = _load("trackio", "trackio", "trackio")
        self.run = run
        self.project = project
        self._run: Any = None

    def start(self, manifest: Mapping[str, Any]) -> None:
        """Begin, or go on with, the run of the folder's name; the manifest is its config."""
        name = self.run.resolve().name
        self._run = self._module.init(project=self.project, name=name, config=dict(manifest), resume="allow")

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """One step."""
        self._run.log(dict(values), step=step)

    def end(self) -> None:
        """Write what is still waiting."""
        self._run.finish()


TRACKERS: dict[str, type[TensorBoard] | type[WandB] | type[Trackio]] = {
    "tensorboard": TensorBoard,
    "wandb": WandB,
    "trackio": Trackio,
}
"""Trackers by the names the command line knows."""


def tracker(name: str, run: Path, **options: Any) -> Tracker:
    """The tracker of a name for the run in a folder."""
    if name not in TRACKERS:
        raise SharpenError(f"There is no tracker {name!r}. {near(name, TRACKERS)}")
    return TRACKERS[name](run, **options)
