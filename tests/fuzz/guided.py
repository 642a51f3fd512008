"""The fuzz tests with inputs that are led by coverage: `pip install atheris`, then

    PYTHONPATH=tests python tests/fuzz/guided.py [--seconds 60] [-k EXPRESSION]

A process for each property. Atheris (libFuzzer) changes the bytes that hypothesis draws its choices from, and keeps
what reaches a branch of sharpen that nothing reached before. Exits with 1 where a property failed; its input is then
told in full.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import os
import re
import subprocess
import sys
import tempfile
from functools import wraps
from pathlib import Path

import pytest

HERE = Path(__file__).parent
FILES = [str(HERE / f"test_fuzz_{name}.py") for name in ("answers", "readers", "tasks")]
READ = (
    "task",
    "task.files",
    "task.confident",
    "task.judge",
    "task.match",
    "task.extract",
    "task.expression",
    "task.hf",
    "task.preferences",
    "actor.engine.wire",
    "latents",
    "overrides",
    "budget",
    "rollout.verdicts",
    "run.plain",
    "run.lines",
)
"""Modules whose branches lead."""

LONGEST = 4096
"""Bytes of an input."""


def one(test: str, seconds: int) -> None:
    """Lead one property until time is up; the process ends here."""
    import atheris

    with atheris.instrument_imports(include=["sharpen"], enable_loader_override=False):
        for name in READ:
            importlib.import_module(f"sharpen.{name}")

    import fuzzing

    def led(few: int = 0, share: float = 1.0):
        def around(given):
            @wraps(given)
            def run(**fixtures):
                if fixtures:
                    pytest.skip("hypothesis leads no test with fixtures")
                options = [f"-max_total_time={seconds}", f"-max_len={LONGEST}", "-len_control=0"]
                options.append(f"-artifact_prefix={tempfile.gettempdir()}/")
                atheris.Setup([sys.argv[0], *options], given.hypothesis.fuzz_one_input)
                atheris.Fuzz()

            run.__signature__ = inspect.signature(given)
            return run

        return around

    fuzzing.fuzz = led
    without = [word for plugin in ("cacheprovider", "xdist", "hypothesispytest") for word in ("-p", f"no:{plugin}")]
    sys.exit(pytest.main([test, "-q", "-s", *without, "-W", "ignore"]))


def main() -> int:
    """All properties, a line each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=60, help="for each property")
    parser.add_argument("-k", default="", help="which ones, as pytest has it")
    parser.add_argument("--one", default="", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        one(args.one, args.seconds)
    words = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *FILES]
    found = subprocess.run([*words, *(["-k", args.k] if args.k else [])], stdout=subprocess.PIPE, text=True)
    failed = 0
    for test in re.findall(r"^\S+::.+$", found.stdout, re.MULTILINE):
        words = [sys.executable, __file__, "--one", test, "--seconds", str(args.seconds)]
        env = os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])}
        done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors="replace", env=env)
        ran = re.findall(r"^#(\d+)\s.*?cov: (\d+) ft: (\d+)", done.stdout, re.MULTILINE)
        figures = "{} inputs, {} branches, {} features".format(*ran[-1]) if ran else "not led: it has fixtures"
        print(f"{'ok    ' if done.returncode == 0 else 'FAILED'} {test.rpartition('/')[2]}: {figures}", flush=True)
        if done.returncode:
            failed += 1
            print(done.stdout[-3000:])
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
