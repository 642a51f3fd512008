"""Progress as a reader of a log and a person at a terminal see it."""

from __future__ import annotations

import io
import math
import re

import pytest
from rich.console import Console
from rich.text import Text

from sharpen.cli import main
from sharpen.cli.progress import Bar, Measuring, Progress, duration, packed, sparkline
from sharpen.cli.screen import Screen
from sharpen.errors import SharpenError
from sharpen.run.directory import RunDir
from sharpen.task import validate
from sharpen.task.checks import Check
from sharpen.task.validate import Report

METRICS = {
    "reward/total": 0.5,
    "solved": 0.25,
    "groups/signal": 0.5,
    "length": 81.4,
    "entropy": 0.4,
    "kl": 0.0123,
    "grad_norm": 0.75,
}


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def stream(terminal: bool = False, width: int = 160) -> tuple[Console, io.StringIO]:
    file = io.StringIO()
    return Console(file=file, force_terminal=terminal, width=width, color_system=None, legacy_windows=False), file


def lines(seconds: float, total: int, steps: int, **more) -> list[str]:
    console, file = stream(width=80)
    clock = Clock()
    with Progress(total, "run", console=console, clock=clock, **more) as progress:
        for k in range(1, steps + 1):
            clock.now += seconds
            progress.update(k, METRICS, 1234.0)
    return file.getvalue().splitlines()


def test_plain_line_has_every_figure_on_one_line():
    out = lines(2.0, 20, 1)
    assert out == [
        "run",
        " 1/20   5 %  reward   0.500  solved  25.0 %  signal  50.0 %  length    81  entropy  0.400  KL  0.0123  "
        "grad   0.750  tok/s   1.2k  left 38 s",
    ]


def test_plain_lines_come_every_tenth_or_five_seconds():
    assert len(lines(0.01, 100, 100)) == 1 + 11
    assert [x.split("/")[0].strip() for x in lines(0.01, 100, 100)[1:4]] == ["1", "10", "20"]
    assert [x.split("/")[0].strip() for x in lines(2.0, 1000, 10)[1:]] == ["1", "4", "7", "10"]
    assert len(lines(60.0, 1000, 5)) == 1 + 5


def test_the_last_step_of_an_interrupted_run_is_told():
    assert lines(0.01, 100, 7)[-1].startswith("  7/100   7 %")


def test_plain_lines_are_aligned_without_control_characters():
    console, file = stream()
    clock = Clock()
    with Progress(3, "a\x1b[31m\u202eb", console=console, clock=clock) as progress:
        for k, metrics in enumerate((METRICS, {}, {"solved": math.nan, "kl": None, "length": "x"}), 1):
            clock.now += 10
            progress.update(k, metrics)
        progress.message("first\nsecond\x07")
    text = file.getvalue()
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202e]", text)
    out = text.splitlines()
    assert out[0] == "a⟨U+001B⟩[31m⟨U+202E⟩b"
    places = [[m.start() for m in re.finditer("reward|solved|KL|left", x)] for x in out[1:4]]
    assert places[0] == places[1] == places[2]
    assert out[3] == (
        "3/3 100 %  reward       -  solved       -  signal       -  length     -  entropy      -  KL       -  "
        "grad       -  tok/s      -  left 0 s"
    )
    assert out[4:] == ["first", "second⟨U+0007⟩"]


def test_time_left_counts_only_steps_done_here():
    clock = Clock()
    console, _ = stream()
    progress = Progress(100, "resumed", start=50, console=console, clock=clock)
    assert progress.left is None
    with progress:
        clock.now += 10
        progress.update(55, {})
        assert progress.left == pytest.approx(90.0)


def test_quiet_says_nothing():
    console, file = stream(terminal=True)
    with Progress(2, "run", quiet=True, console=console) as progress:
        progress.update(1, METRICS)
        progress.message("hello")
    assert file.getvalue() == ""


def test_live_panel():
    console, file = stream(terminal=True, width=150)
    clock = Clock()
    with Progress(10, "grpo", console=console, clock=clock, refreshes=0) as progress:
        for k in range(1, 5):
            clock.now += 30
            progress.update(k, METRICS | {"reward/total": k / 10}, 1.5e6)
        progress.message("A warning [bold]as written[/bold].")
    with console.capture() as shown:
        console.print(progress.render())
    panel = shown.get()
    assert panel.splitlines()[0].strip() == "grpo"
    assert "4/10 2 min 00 s gone, 3 min 00 s left" in panel
    assert panel.splitlines()[2].rstrip() == (
        "  reward 0.400  solved 25.0 %  signal 50.0 %  length 81  entropy 0.400  KL 0.0123  grad 0.750  "
        "tok/s 1.5M  ▁▃▆█"
    )
    assert "A warning [bold]as written[/bold]." in file.getvalue()
    # the cursor is given back
    assert file.getvalue().rstrip("\n").endswith("\x1b[?25h")


def test_live_panel_leaves_out_what_is_missing():
    console, _ = stream(terminal=True)
    progress = Progress(10, "grpo", console=console, clock=Clock(), refreshes=0)
    with console.capture() as before:
        console.print(progress.render())
    assert "0/10 0 s gone" in before.get()
    progress.quiet = True
    progress.update(1, {"solved": 0.5})
    with console.capture() as shown:
        console.print(progress.render())
    assert shown.get().splitlines()[2].strip() == "solved 50.0 %  ▁"


def test_the_panel_goes_away_after_an_error():
    console, file = stream(terminal=True)
    with pytest.raises(KeyError), Progress(10, "grpo", console=console, refreshes=0):
        raise KeyError("x")
    assert "\x1b[?25h" in file.getvalue()


def test_live_by_default_only_on_a_terminal():
    assert Progress(1, "x", console=stream(terminal=True)[0]).live
    assert not Progress(1, "x", console=stream()[0]).live


def test_values_are_not_broken_on_a_narrow_terminal():
    parts = [Text("reward 0.5"), Text("solved 25.0 %"), Text("KL 0.1")]
    assert [x.plain for x in packed(parts, 27)] == ["  reward 0.5  solved 25.0 %", "  KL 0.1"]
    assert [x.plain for x in packed(parts, 26)] == ["  reward 0.5", "  solved 25.0 %  KL 0.1"]
    assert [x.plain for x in packed(parts, 5)] == ["  reward 0.5", "  solved 25.0 %", "  KL 0.1"]


def test_bar_with_loss():
    console, file = stream()
    clock = Clock()
    with Bar(100, "Training the base model", console=console, clock=clock) as bar:
        clock.now += 1
        bar.update(50, 2.34567, 800.0)
        clock.now += 1
        bar.update(100)
    assert file.getvalue().splitlines() == [
        "Training the base model",
        " 50/100  50 %  loss   2.3457  tok/s    800  left 1 s",
        "100/100 100 %  loss        -  tok/s      -  left 0 s",
    ]
    assert list(bar.curve()) == [2.34567]


def test_a_stream_without_unicode_gets_escapes():
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding="ascii")
    with Progress(1, "größe", console=Console(file=file), clock=Clock()):
        pass
    file.flush()
    assert raw.getvalue() == b"gr\\xf6\\xdfe\n"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59 s"), (200, "3 min 20 s"), (3600, "1 h 00 min"), (7500, "2 h 05 min"), (273600, "3 d 04 h")],
)
def test_durations(seconds: float, text: str):
    assert duration(seconds) == text


def test_sparklines():
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7]) == "▁▂▃▄▅▆▇█"
    assert sparkline([2, 2, math.nan]) == "▁▁"
    assert sparkline([]) == ""
    assert sparkline([0, 0, 1, 1], most=2) == "▁█"


def test_an_evaluation_shows_the_share_of_right_answers():
    console, file = stream()
    with Measuring(2, "measuring", console=console, clock=Clock()) as shown:
        shown.update(1, 0.25)
        shown.update(2, 0.5)
    assert file.getvalue().splitlines() == [
        "measuring",
        "1/2  50 %  accuracy  25.0 %  left 0 s",
        "2/2 100 %  accuracy  50.0 %  left 0 s",
    ]


EVIL = "said \x1b]0;title\x07\x1b[2J\r\u202e\ud800 [link=http://x]here[/link]"
SEEN = "said ⟨U+001B⟩]0;title⟨U+0007⟩⟨U+001B⟩[2J⟨U+000D⟩⟨U+202E⟩⟨U+D800⟩ [link=http://x]here[/link]"


@pytest.mark.parametrize("terminal", [True, False])
def test_a_message_before_any_display_is_text(terminal):
    out = io.StringIO()
    Screen(Console(file=out, force_terminal=terminal, width=200)).message(EVIL)
    assert out.getvalue() == SEEN + "\n"


def test_an_error_is_text(capsys, monkeypatch):
    def refuse(words):
        raise SharpenError(EVIL + "\nand more")

    monkeypatch.setattr(main, "parsed", refuse)
    assert main.main(["tasks"]) == 2
    assert capsys.readouterr().err == f"sharpen: {SEEN} and more\n"


def test_a_report_of_a_task_is_text(capsys, monkeypatch):
    report = Report("mine", (Check("gold", False, "about", example=EVIL),))
    monkeypatch.setattr(validate, "validate", lambda *a, **k: report)
    assert main.main(["check", "chain", "--problems", "2"]) == 1
    assert f"     e.g. {SEEN}\n" in capsys.readouterr().out


def test_a_line_of_the_log_is_text(tmp_path):
    """Half a character could not be written at all, which ended the run."""
    RunDir(tmp_path).log(EVIL)
    assert (tmp_path / "log.txt").read_text(encoding="utf-8") == SEEN + "\n"
