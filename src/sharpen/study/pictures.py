"""Curves of a study as pictures, by matplotlib."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sharpen.errors import SharpenError
from sharpen.run.files import writing
from sharpen.run.naming import task_name

KINDS = ("png", "svg")


class NoPictures(SharpenError):  # noqa: N818 - it is what there is not
    """There is nothing to draw with."""


def draw(told: Mapping[str, Any], out: Path) -> list[Path]:
    """`curves-TASK.png` and `.svg` in a folder: the mean over seeds against generated tokens, with its band.

    NoPictures without matplotlib.
    """
    try:
        import matplotlib as mpl
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise NoPictures(
            "Curves are drawn as PNG and SVG by matplotlib, which is not installed; everything else was written. "
            "Install it with `pip install 'sharpen[plots]'` and give the same command again."
        ) from error
    made = []
    for task, of in told["tasks"].items():
        if not of["curves"]:
            continue
        # ids in the SVG that are the same each time
        with mpl.rc_context({"svg.hashsalt": "sharpen"}):
            figure = Figure(figsize=(7.0, 4.2), layout="constrained")
            FigureCanvasAgg(figure)
            ax = figure.add_subplot()
            for name, b in of["curves"].items():
                at = b["at"]
                (line,) = ax.plot(at, [100 * y for y in b["mean"]], label=name)
                low, high = ([100 * y for y in b[side]] for side in ("low", "high"))
                ax.fill_between(at, low, high, color=line.get_color(), alpha=0.16, linewidth=0)
            if of["target"] is not None:
                ax.axhline(100 * of["target"], color="0.5", linestyle=":", linewidth=1)
            # a dollar sign would begin a formula
            ax.set_title(task.replace("$", r"\$"))
            ax.set_xlabel("generated tokens")
            ax.set_ylabel("held-out accuracy, %")
            ax.grid(alpha=0.3)
            ax.legend()
            for kind in KINDS:
                path = out / f"curves-{task_name(task)}.{kind}"
                with writing("the curves", out):
                    figure.savefig(path, dpi=150, metadata={"Date": None} if kind == "svg" else None)
                made.append(path)
    return made
