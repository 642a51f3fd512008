"""The command line: one file a command, one paragraph an error."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NoReturn

from sharpen import __version__
from sharpen.errors import Elsewhere, SharpenError, near
from sharpen.visible import one_line

COMMANDS = {
    "train": "train a model with a recipe; `sharpen train grpo` is the demo",
    "eval": "measure a model or a run on a task",
    "recipes": "list the methods",
    "show": "print a recipe as a composition, with its source and where each default comes from",
    "tasks": "list the tasks and what each gives",
    "check": "validate a task: does its verifier accept solutions and refuse everything else",
    "compare": "compare methods at equal budget over seeds and tasks, with intervals and curves",
    "claim": "list what papers claim, or test one at toy scale, at equal budget over seeds",
    "export": "write a run's policy as a Hugging Face folder",
    "view": "look at runs in a browser, while they train and after",
}


class Parser(argparse.ArgumentParser):
    """A parser whose refusals are paragraphs like any other."""

    def error(self, message: str) -> NoReturn:
        """Refuse a command line."""
        text = message[0].upper() + message[1:]
        raise SharpenError(f"{text.rstrip('.')}. `{self.prog} --help` lists what there is.")


def parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    from sharpen.cli import claiming, comparing, evaluating, looking, training, viewing

    top = Parser(prog="sharpen", description=__doc__.splitlines()[0], allow_abbrev=False)
    top.add_argument("--version", action="version", version=f"sharpen {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, text in COMMANDS.items():
        sub = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        sub.add_argument("--json", action="store_true", help="print one JSON document instead of text")
        sub.add_argument("--traceback", action="store_true", help="show where an error arose")
        module = {
            "train": training,
            "eval": evaluating,
            "export": evaluating,
            "claim": claiming,
            "compare": comparing,
            "view": viewing,
        }.get(name, looking)
        getattr(module, f"add_{name}")(sub)
        sub.set_defaults(run=getattr(module, f"run_{name}"), known=sorted(sub._option_string_actions))
    return top


def parsed(words: Sequence[str]) -> argparse.Namespace:
    """The command and its options. Raises SharpenError, with near names."""
    if words and not words[0].startswith("-") and words[0] not in COMMANDS:
        raise SharpenError(f"There is no command {words[0]!r}. {near(words[0], COMMANDS)}")
    args, rest = parser().parse_known_args(words)
    # options are never abbreviated, so these are the ones that were given, be it with their usual values
    args.given = frozenset(w.partition("=")[0] for w in words if w.startswith("--"))
    if rest:
        name = rest[0].partition("=")[0]
        if name.startswith("-"):
            raise SharpenError(f"`sharpen {args.command}` has no option {name}. {near(name, args.known)}")
        raise SharpenError(f"`sharpen {args.command}` was given {name!r}, which is one word too many.")
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    The exit status is 0, 2 for an error the user can mend, 1 for a failed check or a defect, 130 after Ctrl-C. Errors
    are one paragraph on standard error, also with `--json`.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    speaks = os.environ.get("RANK", "0") == "0"  # of processes that have not met yet, one
    try:
        args = parsed(words)
        if args.command != "train" and os.environ.get("WORLD_SIZE", "1") != "1":
            raise SharpenError(f"`sharpen {args.command}` runs in one process. Start it without `torchrun`.")
        speaks = True
        status: int = args.run(args) or 0
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # the reader went away (`| head`); nothing is left to say, also not at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return _say("stopped at once.", 130)
    except Elsewhere:
        return 2  # the process where it happened has told it
    except Exception as error:
        if "--traceback" in words:
            traceback.print_exc()
        text, status = _told(error)
        return _say(text, status) if speaks else status


def _say(text: str, status: int) -> int:
    # names and words of files that somebody else wrote may be in it: nothing in them may act on a terminal
    print(f"sharpen: {one_line(text)}", file=sys.stderr)
    return status


def _told(error: Exception) -> tuple[str, int]:
    """What to say of an error, and the exit status."""
    from sharpen.run.ending import Stopped

    if isinstance(error, SharpenError):
        return str(error), 2
    if isinstance(error, Stopped):
        return str(error), 130
    first = f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"
    if type(error).__name__ == "OutOfMemoryError" or isinstance(error, MemoryError):
        return (
            f"There was not enough memory ({first}). Use a smaller `--micro-tokens` (it only rounds otherwise), "
            "`--checkpointing`, `--lora`, fewer samples, or a smaller model.",
            2,
        )
    own = [f for f in traceback.extract_tb(error.__traceback__) if _is_own(f.filename)]
    if own:
        return (
            f"{own[-1].filename} failed at line {own[-1].lineno}: {first}. `--traceback` shows the whole way there.",
            2,
        )
    return f"{first}. This is a defect of sharpen; please report it with what `--traceback` shows.", 1


def _is_own(file: str) -> bool:
    """Whether a file is the user's: neither this library's, nor an installed package's, nor Python's."""
    path = Path(file)
    homes: Iterable[Path] = (Path(__file__).parents[1], Path(os.__file__).parent)
    return path.is_file() and "site-packages" not in path.parts and not any(path.is_relative_to(h) for h in homes)


if __name__ == "__main__":
    sys.exit(main())
