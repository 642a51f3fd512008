"""`sharpen claim`: what papers claim, tested at toy scale."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from sharpen.claims import all_claims, claim, outcomes, run, store, verdict
from sharpen.claims.base import Claim
from sharpen.claims.report import arm_rows, number, outcome_rows, plain, remarks
from sharpen.claims.store import Result
from sharpen.cli.looking import table
from sharpen.cli.screen import Screen
from sharpen.errors import SharpenError
from sharpen.run.watching import Silent, Watcher


def add_claim(p: argparse.ArgumentParser) -> None:
    """Options of `claim`."""
    p.add_argument("claim", nargs="?", metavar="NAME", help="the claim to test (without it they are listed)")
    p.add_argument("--seeds", type=int, default=0, metavar="N", help="seeds 0 to N-1 (default: as the claim asks)")
    p.add_argument("--jobs", type=int, default=1, metavar="N", help="processes at once, of one thread each")
    p.add_argument("--arm", action="append", default=[], metavar="A", help="run this arm only, repeatable")
    p.add_argument("--dir", type=Path, default=Path("claims"), metavar="DIR", help="where results are kept")
    p.add_argument("--fresh", action="store_true", help="run again what is there already")


def run_claim(args: argparse.Namespace) -> int:
    """List the claims, or test one; the status is 1 if a job failed."""
    if not args.claim:
        return _list(args)
    if args.seeds < 0 or args.jobs < 1:
        raise SharpenError(f"`--seeds {args.seeds} --jobs {args.jobs}` must be 1 or more each.")
    chosen = claim(args.claim)
    screen = Screen(Console())
    told = Told(chosen, Silent() if args.json else screen)
    try:
        results = run(
            chosen,
            args.dir,
            seeds=args.seeds,
            arms=args.arm,
            jobs=args.jobs,
            fresh=args.fresh,
            watch=told.result,
            teach=told.teach,
        )
    finally:
        screen.close()
    if args.json:
        print(json.dumps(plain(chosen, results, args.seeds)))
    else:
        _show(chosen, results, args.seeds)
    return int(any(r.error for r in results))


def _list(args: argparse.Namespace) -> int:
    rows = []
    for c in all_claims().values():
        results = store.load(args.dir, c)
        rows.append((c.name, c.statement, verdict(outcomes(c, results)) if results else "not run"))
    if args.json:
        print(json.dumps([dict(zip(("name", "statement", "verdict"), row, strict=True)) for row in rows]))
    else:
        table(("claim", "what it says", "verdict"), rows)
    return 0


def _show(chosen: Claim, results: Sequence[Result], seeds: int) -> None:
    found = outcomes(chosen, results, seeds)
    arms, compared = arm_rows(chosen, results), outcome_rows(found)
    print(f"{chosen.statement} ({chosen.source})")
    for heads, *rows in (arms, compared):
        # without a terminal there are no heads, and figures without names say nothing
        table(heads, rows if Console().is_terminal else [heads, *rows])
    for text in remarks(chosen, results, found):
        print(text)
    print(f"{chosen.name}: {verdict(found)}")


class Told:
    """What a person is told while a claim runs: how the base learns where it must be made, and each result."""

    def __init__(self, chosen: Claim, watcher: Watcher) -> None:
        self.claim = chosen
        self.watcher = watcher
        self.begun = False

    def teach(self, step: int, loss: float) -> None:
        """The base has learnt a step."""
        if not self.begun:
            self.watcher.phase("training the nano base model (once, then kept)", self.claim.base.nano.steps)
            self.begun = True
        self.watcher.update(step, {"loss": loss})

    def result(self, done: Result, k: int, total: int) -> None:
        """A job has ended."""
        values = [f"{name} {number(done.numbers[name])}" for name in self.claim.metrics if name in done.numbers]
        said = done.error or f"{', '.join(values)} ({done.seconds:.0f} s)"
        self.watcher.message(f"{k}/{total} {done.arm}, seed {done.seed}: {said}")
