"""The command line: one file a command, one paragraph an error."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from sharpen import __version__
from sharpen.errors import SharpenError, near

COMMANDS = {
    "train": "train a model with a recipe; `sharpen train grpo` is the demo",
    "eval": "measure a model or a run on a task",
    "recipes": "list the methods",
    "show": "print a recipe as a composition, with its source and where each default comes from",
    "tasks": "list the tasks and what each gives",
    "check": "validate a task: does its verifier accept solutions and refuse everything else",
    "export": "write a run's policy as a Hugging Face folder",
}


def parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    from sharpen.cli import evaluating, looking, training

    top = argparse.ArgumentParser(prog="sharpen", description=__doc__.splitlines()[0], allow_abbrev=False)
    top.add_argument("--version", action="version", version=f"sharpen {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, text in COMMANDS.items():
        sub = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        sub.add_argument("--json", action="store_true", help="print one JSON document instead of text")
        sub.add_argument("--traceback", action="store_true", help="show where an error arose")
        module = {"train": training, "eval": evaluating, "export": evaluating}.get(name, looking)
        getattr(module, f"add_{name}")(sub)
        sub.set_defaults(run=getattr(module, f"run_{name}"))
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit status is 0, 2 for an error the user can mend, 130 after Ctrl-C."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words and not words[0].startswith("-") and words[0] not in COMMANDS:
        print(f"sharpen: there is no command {words[0]!r}. {near(words[0], COMMANDS)}", file=sys.stderr)
        return 2
    args = parser().parse_args(words)
    from sharpen.run.session import Stopped

    try:
        status: int = args.run(args) or 0
        sys.stdout.flush()
        return status
    except SharpenError as error:
        if args.traceback:
            raise
        print(f"sharpen: {error}", file=sys.stderr)
        return 2
    except Stopped as stop:
        print(f"sharpen: {stop}", file=sys.stderr)
        return 130
    except KeyboardInterrupt:
        print(
            "sharpen: stopped at once; the last checkpoint is whole, and `--resume` goes on from it.", file=sys.stderr
        )
        return 130
    except BrokenPipeError:
        # the reader went away (`| head`); nothing is left to say, also not at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
