"""Progress of a run: a live panel on a terminal, plain aligned lines in a log, nothing for `--json`."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sharpen.visible import one_line, printable, visible

Cell = tuple[str, str, int]
"""A label, its value as text, and the width its column keeps in plain lines."""

LINE_SECONDS = 5.0
"""A plain line at most this often, so that a log of a long run stays readable ..."""

LINES_SHARE = 0.1
"""... but one for every tenth of the work, so that a short run shows its course."""

SPARKS = "▁▂▃▄▅▆▇█"
SPARKS_MOST = 24
"""Bars of the small curve; a longer history is averaged into them."""

UNKNOWN = "-"
"""What stands for a metric that was not recorded."""


def sparkline(values: Sequence[float], most: int = SPARKS_MOST) -> str:
    """The course of finite values as at most `most` bars between their least and their greatest."""
    known = [v for v in values if math.isfinite(v)]
    if not known:
        return ""
    size = math.ceil(len(known) / most)
    means = [sum(known[k : k + size]) / len(known[k : k + size]) for k in range(0, len(known), size)]
    low, high = min(means), max(means)
    if high - low < 1e-12:
        return SPARKS[0] * len(means)
    return "".join(SPARKS[min(7, int(8 * (m - low) / (high - low)))] for m in means)


def duration(seconds: float) -> str:
    """Seconds as `45 s`, `3 min 20 s`, `2 h 05 min` or `3 d 04 h`."""
    s = max(0, round(seconds))
    if s < 60:
        return f"{s} s"
    if s < 3600:
        return f"{s // 60} min {s % 60:02d} s"
    return f"{s // 3600} h {s % 3600 // 60:02d} min" if s < 86400 else f"{s // 86400} d {s % 86400 // 3600:02d} h"


def packed(parts: Sequence[Text], width: int) -> list[Text]:
    """Parts in lines of at most `width`, two spaces apart and none broken (a longer one has a line of its own)."""
    out: list[Text] = []
    for part in parts:
        if out and len(out[-1]) + 2 + len(part) <= width:
            out[-1].append("  ").append_text(part)
        else:
            out.append(Text("  ").append_text(part))
    return out


def _number(value: object, digits: int) -> str:
    ok = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return f"{value:.{digits}f}" if ok else UNKNOWN


def _share(value: object) -> str:
    text = _number(100 * value if isinstance(value, (int, float)) else None, 1)
    return text if text == UNKNOWN else f"{text} %"


def _rate(value: object) -> str:
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        return UNKNOWN
    return f"{value / 1e6:.1f}M" if value >= 1e6 else f"{value / 1e3:.1f}k" if value >= 1e3 else f"{value:.0f}"


class Display:
    """Work of `total` steps, shown while it is done. Use it as a context manager.

    `live` None decides by the console. `start` are steps done before (a resumed run); the time left is extrapolated
    from the steps done here. `quiet` shows nothing. `refreshes` is how often a second the live panel is redrawn by
    itself (0: only on news). `clock` gives seconds.
    """

    def __init__(
        self,
        total: int,
        title: str,
        live: bool | None = None,
        *,
        start: int = 0,
        quiet: bool = False,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
        refreshes: float = 2.0,
    ) -> None:
        self.total = max(1, total)
        self.title = one_line(title)
        self.quiet = quiet
        self.console = console or Console()
        self.live = (self.console.is_terminal and not self.console.is_dumb_terminal) if live is None else live
        self.clock = clock
        self.refreshes = refreshes
        self.first = self.step = start
        self.began = clock()
        self._latest = self.began
        self._line_at = -math.inf
        self._line_step = -1
        self._panel: Live | None = None

    def __enter__(self) -> Self:
        self.began = self._latest = self.clock()
        if self.quiet:
            return self
        if self.live:
            auto = self.refreshes > 0
            # a redraw asks `render` anew, so that the clock moves on while an iteration takes its time
            self._panel = Live(
                get_renderable=self.render,
                console=self.console,
                auto_refresh=auto,
                refresh_per_second=self.refreshes if auto else 1.0,
            )
            self._panel.start(refresh=True)
        else:
            self._print(self.title)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._panel is not None:
            self._panel.stop()
            self._panel = None
        elif not self.quiet and self.step > self._line_step and self.step > self.first:
            self._line()

    def message(self, text: str) -> None:
        """Print a paragraph above the panel, or between the lines."""
        if self.quiet:
            return
        if self._panel is not None:
            self._panel.console.print(Padding(Text(visible(text)), (0, 0, 1, 0)))
        else:
            self._print(visible(text))

    def cells(self) -> list[Cell]:
        """What is shown besides how far the work is."""
        return []

    def curve(self) -> Sequence[float]:
        """Values of the small curve of the live panel."""
        return ()

    @property
    def left(self) -> float | None:
        """Seconds left, if the steps to come take as long as those done here; None before the first of them."""
        done = self.step - self.first
        if done <= 0:
            return None
        return (self._latest - self.began) / done * max(0, self.total - self.step)

    def render(self) -> RenderableType:
        """The live panel: title, a bar with the time, and labelled values in as many lines as they need."""
        left = self.left
        waited = self.clock() - self._latest
        times = f"{duration(self.clock() - self.began)} gone"
        times += "" if left is None else f", {duration(left - waited)} left"
        head = Table.grid(padding=(0, 1))
        head.add_row(
            Text(" "),
            ProgressBar(total=self.total, completed=self.step, width=24),
            Text(f"{self.step}/{self.total}"),
            Text(times, style="dim"),
        )
        rows: list[RenderableType] = [Text(self.title, style="bold", no_wrap=True, overflow="ellipsis"), head]
        shown = [(label, value.strip()) for label, value, _ in self.cells() if value.strip() != UNKNOWN]
        parts = [Text.assemble((f"{label} ", "dim"), (value, "bold")) for label, value in shown]
        # a small curve cannot be written to a terminal that knows ASCII only
        if self.curve() and not self.console.options.ascii_only:
            parts.append(Text(sparkline(self.curve()), style="green"))
        return Group(*rows, *packed(parts, self.console.width))

    def _advance(self, step: int) -> None:
        self.step = step
        self._latest = self.clock()
        if self.quiet:
            return
        if self._panel is not None:
            self._panel.refresh()
        elif self._due():
            self._line()

    def _due(self) -> bool:
        if self.step >= self.total or self._line_step < 0:
            return True
        tenth = LINES_SHARE * self.total
        crossed = int(self.step / tenth + 1e-9) > int(self._line_step / tenth + 1e-9)
        return crossed or self._latest - self._line_at >= LINE_SECONDS

    def _line(self) -> None:
        width = len(str(self.total))
        parts = [f"{self.step:>{width}}/{self.total} {100 * self.step / self.total:3.0f} %"]
        parts += [f"{label} {value:>{size}}" for label, value, size in self.cells()]
        left = self.left
        parts.append(f"left {UNKNOWN if left is None else duration(left)}")
        self._line_at, self._line_step = self._latest, self.step
        self._print("  ".join(parts))

    def _print(self, text: str) -> None:
        # not through rich, which would wrap at 80 columns and colour numbers
        file = self.console.file
        print(printable(text, getattr(file, "encoding", None)), file=file, flush=True)


class Progress(Display):
    """Progress of training by reinforcement: `update` after each iteration."""

    def __init__(self, total: int, title: str, live: bool | None = None, **rest: object) -> None:
        super().__init__(total, title, live, **rest)  # type: ignore[arg-type]
        self.metrics: Mapping[str, object] = {}
        self.rate: float | None = None
        self.rewards: list[float] = []

    def update(self, step: int, metrics: Mapping[str, object], tokens_per_second: float | None = None) -> None:
        """Show an iteration: `step` of them are done (1 after the first). Metrics that are missing show as `-`."""
        self.metrics, self.rate = dict(metrics), tokens_per_second
        reward = self.metrics.get("reward/total", self.metrics.get("solved"))
        if isinstance(reward, (int, float)):
            self.rewards.append(float(reward))
        self._advance(step)

    def cells(self) -> list[Cell]:
        """Reward, share solved, groups with signal, length, entropy, KL, gradient norm, tokens a second."""
        m = self.metrics
        return [
            ("reward", _number(m.get("reward/total"), 3), 7),
            ("solved", _share(m.get("solved")), 7),
            ("signal", _share(m.get("groups/signal")), 7),
            ("length", _number(m.get("length"), 0), 5),
            ("entropy", _number(m.get("entropy"), 3), 6),
            ("KL", _number(m.get("kl"), 4), 7),
            ("grad", _number(m.get("grad_norm"), 3), 7),
            ("tok/s", _rate(self.rate), 6),
        ]

    def curve(self) -> Sequence[float]:
        """The reward of every iteration."""
        return self.rewards


class Bar(Display):
    """Progress of a task with a loss, such as supervised training: `update` after each step."""

    def __init__(self, total: int, title: str, live: bool | None = None, **rest: object) -> None:
        super().__init__(total, title, live, **rest)  # type: ignore[arg-type]
        self.loss: float | None = None
        self.rate: float | None = None
        self.losses: list[float] = []

    def update(self, step: int, loss: float | None = None, tokens_per_second: float | None = None) -> None:
        """Show a step: `step` of them are done (1 after the first)."""
        self.loss, self.rate = loss, tokens_per_second
        if loss is not None:
            self.losses.append(loss)
        self._advance(step)

    def cells(self) -> list[Cell]:
        """Loss and tokens a second."""
        return [("loss", _number(self.loss, 4), 8), ("tok/s", _rate(self.rate), 6)]

    def curve(self) -> Sequence[float]:
        """The loss of every step."""
        return self.losses


class Measuring(Display):
    """Progress of an evaluation: `update` after each split."""

    def __init__(self, total: int, title: str, live: bool | None = None, **rest: object) -> None:
        super().__init__(total, title, live, **rest)  # type: ignore[arg-type]
        self.accuracy: float | None = None

    def update(self, step: int, accuracy: float | None = None) -> None:
        """Show a split: `step` of them are measured, the last with this share of right answers."""
        self.accuracy = accuracy
        self._advance(step)

    def cells(self) -> list[Cell]:
        """Share of right answers on the last split."""
        return [("accuracy", _share(self.accuracy), 7)]
