"""Running a claim: arms by seeds, each result on disk as soon as it is there, none made twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from sharpen.claims import store
from sharpen.claims.base import Claim
from sharpen.claims.jobs import Pool
from sharpen.claims.store import Result
from sharpen.errors import SharpenError
from sharpen.run.ending import Stopped

Watch = Callable[[Result, int, int], None]
"""Told of each result: how many jobs are done with it, and how many there are."""


def run(
    claim: Claim,
    folder: Path,
    *,
    seeds: int = 0,
    arms: Sequence[str] = (),
    jobs: int = 1,
    fresh: bool = False,
    watch: Watch | None = None,
    teach: Callable[[int, float], None] | None = None,
) -> list[Result]:
    """Every arm (or those named) at seeds 0 to `seeds` - 1 (0: as many as the claim asks for); all results there are.

    What was done before is not done again, unless it failed, the claim has changed since, or `fresh`. `jobs` processes
    run at once, of one thread each, so their number changes no figure. A job that fails is recorded with its message
    and the others go on. `teach(step, loss)` sees the base being made, once. Raises SharpenError for what the caller
    can mend, Stopped after Ctrl-C: then the jobs that ran are lost, and nothing else.
    """
    for name in arms:
        claim.arm(name)
    seeds = seeds or claim.seeds
    if seeds < 1 or jobs < 1:
        raise SharpenError(f"{seeds} seeds by {jobs} jobs at once cannot be run: give 1 or more of each.")
    asked = [(a.name, s) for s in range(seeds) for a in claim.arms if a.name in arms or not arms]
    with store.held(folder, claim):
        done = [r for r in store.load(folder, claim) if (r.arm, r.seed) not in asked or not (fresh or r.error)]
        there = {(r.arm, r.seed) for r in done}
        todo = [job for job in asked if job not in there]
        pool = Pool(claim, jobs)
        try:
            if todo:
                pool.teach(teach)
            for k, result in enumerate(pool.results(todo), start=len(asked) - len(todo) + 1):
                done.append(result)
                store.save(folder, claim, done)
                if watch:
                    watch(result, k, len(asked))
        except KeyboardInterrupt as error:
            raise Stopped(
                f"Stopped; {len(done)} results are kept in {store.path(folder, claim)}. The same command goes on "
                "(leave out --fresh)."
            ) from error
        finally:
            pool.close()
        return store.current(claim, done)
