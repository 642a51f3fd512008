"""Run a training in children of this process, each ended in its own way; says how they ended as JSON.

`python interrupted.py WORDS...`. The children are forked, which saves the time it takes to import everything
(OMP_NUM_THREADS must be 1: threads do not survive it). They end themselves at a given place, so that the moment is the
same each time.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import sys

from sharpen.cli.main import main
from sharpen.loop import Trainer
from sharpen.run import checkpoint
from sharpen.run.directory import RunDir


def end(how: str) -> None:
    """Arrange for the end."""
    describe, sha256, save = Trainer._describe, checkpoint.sha256, RunDir.save

    def described(self, groups):
        if self.ctx.step == 2 and how in ("int", "kill"):
            os.kill(os.getpid(), signal.SIGINT if how == "int" else signal.SIGKILL)
        return describe(self, groups)

    def hashed(path):
        if how == "write" and "000004" in str(path):
            os.kill(os.getpid(), signal.SIGKILL)
        return sha256(path)

    def saved(self, step, *rest):
        if how == "records" and step == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        return save(self, step, *rest)

    Trainer._describe, checkpoint.sha256, RunDir.save = described, hashed, saved


def run(how: str, words: list[str]) -> dict[str, object]:
    """One child."""
    read, write = os.pipe()
    with open(f"{how}.err", "wb") as err:
        child = os.fork()
        if child == 0:
            os.dup2(write, 1)
            os.dup2(err.fileno(), 2)
            os.close(read)
            os.close(write)
            end(how)
            os._exit(main([*words, "--out", how]))
    os.close(write)
    with os.fdopen(read, "rb") as out:
        # the reader of `head` goes away after a line
        said = out.readline() if how == "head" else out.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with open(f"{how}.err") as err:
        return {"status": status, "out": said.decode(), "err": err.read()}


if __name__ == "__main__":
    # what is imported and compiled on first use is then there for every child
    with contextlib.redirect_stdout(io.StringIO()):
        main([*sys.argv[1:], "--out", "warm"])
    print(json.dumps({how: run(how, sys.argv[1:]) for how in ("int", "kill", "write", "records", "head")}))
