"""Make the stored run of `test_stored_run.py`: one that was killed half-way, as this version writes it.

    python store.py [FOLDER]

FOLDER (default: `stored` beside this file) gets `model`, `data.jsonl`, the killed run in `run` (its report and log left
out) and `expected.json`, the metrics of all iterations of the run that was not killed. Make it anew only together with
a new format of checkpoints, and keep the old one as well: it must stay readable.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
from pathlib import Path

import torch

from sharpen.cli.main import main
from sharpen.loop import Trainer
from toy import nano_actor

WORDS = (
    *("train", "ppo", "--model", "model", "--task", "data.jsonl", "--seed", "5", "--max-tokens", "3"),
    *("--eval-problems", "0", "--checkpoint-every", "2", "--rollouts-every", "2", "--rollout-groups", "1"),
    *("--set", "Loop.iterations=4", "--set", "Loop.problems=4"),
)


class Killed(BaseException):
    """Stands for the end of the process."""


def store(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    os.chdir(folder)
    torch.set_num_threads(1)
    nano_actor(width=8).export(Path("model"))
    rows = [{"prompt": f"{d}+1=", "answer": str(d + 1), "solution": str(d + 1)} for d in range(20)]
    Path("data.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    if main([*WORDS, "--out", "whole"]):
        raise SystemExit("the run failed")
    lines = Path("whole/metrics.jsonl").read_text().splitlines()
    Path("expected.json").write_text(json.dumps([json.loads(x)["metrics"] for x in lines], indent=1))
    step = Trainer._describe

    def killed(self: Trainer, groups: list[object]) -> None:
        if self.ctx.step == 3:
            raise Killed
        step(self, groups)  # type: ignore[arg-type]

    Trainer._describe = killed  # type: ignore[method-assign, assignment]
    with contextlib.suppress(Killed):
        main([*WORDS, "--out", "run"])
    told = json.loads(Path("run/manifest.json").read_bytes())
    told |= {"git": None, "versions": told["versions"] | {"platform": "any"}}  # where it was made is nobody's business
    Path("run/manifest.json").write_text(json.dumps(told, indent=1))
    for gone in ("whole", "run/lock", "run/log.txt", "run/report.html"):
        shutil.rmtree(gone) if Path(gone).is_dir() else Path(gone).unlink(missing_ok=True)


if __name__ == "__main__":
    store(Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).with_name("stored")).absolute())
