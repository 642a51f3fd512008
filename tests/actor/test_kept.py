"""Base models that are made on the spot lie whole in the cache or not at all, and what killed processes left goes."""

import os
import time
from pathlib import Path

from sharpen.actor.nano import keep


def writes(folder: Path) -> None:
    (folder / "config.json").write_text("new")


def test_what_a_killed_process_left_is_removed_a_day_later(tmp_path):
    for name, age in ((".making-old", 90_000), (".making-now", 60)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "half").write_text("")
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    keep(tmp_path / "model", writes)
    assert sorted(os.listdir(tmp_path)) == [".making-now", "model"]
    assert (tmp_path / "model" / "config.json").read_text() == "new"


def test_the_first_of_two_wins(tmp_path):
    keep(tmp_path / "model", writes)
    keep(tmp_path / "model", lambda folder: (folder / "config.json").write_text("other"))
    assert (tmp_path / "model" / "config.json").read_text() == "new"
    assert os.listdir(tmp_path) == ["model"]
