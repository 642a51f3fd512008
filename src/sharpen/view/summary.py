"""What a run is and how it stands, for the list of runs and for its own page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sharpen.errors import SharpenError
from sharpen.evaluation import NAMES, Comparison, Interval, by_problem, comparisons, deciding
from sharpen.recipe import Method, Program, Recipe
from sharpen.recipes import all_recipes
from sharpen.run.diagnose import diagnose
from sharpen.run.manifest import rebuild
from sharpen.run.remedies import Known
from sharpen.run.samples import kind, sorted_samples
from sharpen.run.telling import known
from sharpen.run.verdict import verdict
from sharpen.view.records import every, thinned, values
from sharpen.view.shelf import Shelved

SPARKS = ("solved", "reward/total", "reward/correct", "loss")
"""Metrics a small curve of a run may show, the best first."""

POINTS = 48
"""Points of a small curve."""

SAMPLES_MOST = 24
"""Solutions before and after training that are sent."""

TOLD = ("name", "task", "seed", "created", "max_tokens", "versions", "git", "origin")
"""What a run's page shows of its manifest besides the recipe and the setup."""


def line(run: Shelved) -> dict[str, Any]:
    """A run in the list; `problem` says what is wrong where it cannot be read whole."""
    out: dict[str, Any] = {"id": run.id, "folder": run.name, "problem": None}
    try:
        manifest = run.run.manifest()
        out |= {"name": manifest.get("name"), "task": manifest.get("task"), "seed": manifest.get("seed")}
        out["created"] = manifest.get("created")
        out["total"] = total(manifest)
        out["status"] = run.status()
        records, broken = every(run.file("metrics.jsonl"))
        out["problem"] = broken[0] if broken else None
        out["iterations"] = int(records[-1]["step"]) + 1 if records else 0
        metric = next((m for m in SPARKS if values(records, m)), None)
        out["metric"] = metric
        out["spark"] = thinned(values(records, metric), POINTS) if metric else []
        out |= accuracies(run)
    except SharpenError as error:
        out["problem"] = str(error).replace(str(run.path), run.name)
    except OSError as error:  # one run that is being moved must not hide the others
        out["problem"] = f"A file of the run cannot be read ({type(error).__name__})."
    return out


def measured(run: Shelved) -> dict[str, Any]:
    """What evaluation.json holds. Raises SharpenError where it is not as it was written."""
    data = run.run.read_evaluation()
    samples = data["samples"]
    if isinstance(data["splits"], Mapping) and isinstance(samples, list) and all(map(_is_sample, samples)):
        return data
    raise SharpenError("evaluation.json does not hold what sharpen writes there. Put back a copy.")


def _is_sample(x: Any) -> bool:
    return isinstance(x, Mapping) and all(isinstance(x.get(k, {}), Mapping) for k in ("before", "after"))


def compared(splits: Mapping[str, Any]) -> list[Comparison]:
    """The measures by split. Raises SharpenError."""
    try:
        return comparisons(splits)
    except (AttributeError, TypeError, ValueError) as error:
        raise SharpenError(
            f"evaluation.json does not hold measures as sharpen writes them ({error}). Put back a copy."
        ) from error


def total(manifest: Mapping[str, Any]) -> int | None:
    """How many iterations the run is to have, as far as its manifest says."""
    try:
        fields = manifest["recipe"]["fields"]
        recipes = [r["fields"] for r in fields["recipes"]] if "recipes" in fields else [fields]
        return sum(int(r["loop"]["fields"]["iterations"]) for r in recipes)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def accuracies(run: Shelved) -> dict[str, Any]:
    """Accuracy before and after training, `[low, mean, high]`, on the split that decides, and how it moved."""
    pairs = compared(measured(run)["splits"])
    if not pairs:
        return {"split": None, "before": None, "after": None, "move": None, "by": None}
    main = deciding([p.split for p in pairs])
    pair = next(p for p in pairs if p.split == main)
    before, after = (e.accuracy if e else None for e in (pair.before, pair.after))
    return {"split": pair.split, "before": before, "after": after, **_move(pair, "accuracy")}


def overview(run: Shelved) -> dict[str, Any]:
    """A run's own page."""
    manifest = run.run.manifest()
    records, broken = every(run.file("metrics.jsonl"))
    timing, more = every(run.file("timing.jsonl"))
    seconds = [t["seconds"] for t in timing if isinstance(t.get("seconds"), (int, float))]
    setup = manifest.get("setup") or {}
    return line(run) | {
        "manifest": {key: manifest[key] for key in TOLD if key in manifest},
        "setup": setup.get("fields", {}) if isinstance(setup, Mapping) else {},
        "cost": records[-1].get("cost", {}) if records else {},
        "seconds": sum(seconds),
        "broken": [*broken, *more],
    }


def method(manifest: Mapping[str, Any]) -> Method | None:
    """The recipe of a run; None where it has parts or functions of the user's own, which are not imported here."""
    try:
        found = rebuild(manifest["recipe"])
    except (SharpenError, KeyError):
        return None
    return found if isinstance(found, Recipe | Program) else None


def findings(run: Shelved) -> dict[str, Any]:
    """What went wrong in a run, in words, as its report has it."""
    manifest = run.run.manifest()
    recipe = method(manifest)
    facts = known(recipe, manifest) if recipe else Known(recipes=frozenset(all_recipes()), options={})
    pairs = compared(measured(run)["splits"])
    before, after = ({p.split: e for p in pairs if (e := getattr(p, when))} for when in ("before", "after"))
    records, broken = every(run.file("metrics.jsonl"))
    found = diagnose(records, before, after, facts)
    return {"findings": [vars(f) for f in found], "broken": broken, "iterations": len(records)}


def evaluation(run: Shelved) -> dict[str, Any]:
    """Measures before and after by split, curves of pass@k, and solutions side by side."""
    data = measured(run)
    pairs = compared(data["splits"])
    samples = [{**s, "kind": kind(s)} for s in sorted_samples(data["samples"])[:SAMPLES_MOST]]
    return {
        "verdict": verdict(pairs) if any(p.before and p.after for p in pairs) else None,
        "splits": [_split(p) for p in pairs],
        "samples": samples,
    }


def _split(pair: Comparison) -> dict[str, Any]:
    sides = {"before": pair.before, "after": pair.after}
    return {
        "split": pair.split,
        "about": NAMES.get(pair.split, ""),
        "rows": [{"name": n, "before": a, "after": b, **_move(pair, n)} for n, a, b in pair.rows()],
        "means": [{"name": n, "before": a, "after": b} for n, a, b in pair.means()],
        "pass": {side: _curve(e.pass_at) for side, e in sides.items() if e},
        "maj": {side: _curve(e.maj_at) for side, e in sides.items() if e},
        "problems": {side: e.problems for side, e in sides.items() if e},
        "samples": {side: e.samples for side, e in sides.items() if e},
        "length": {side: e.length for side, e in sides.items() if e},
        "paired": by_problem([pair]),
    }


def _move(pair: Comparison, measure: str) -> dict[str, Any]:
    """How a measure moved, and by how much problem by problem where that is known: `[low, mean, high]`."""
    move = pair.moved(measure)
    return {"move": move and move.change, "by": move and move.by}


def _curve(at: Mapping[int, Interval]) -> Sequence[tuple[int, Interval]]:
    return [(k, at[k]) for k in sorted(at)]
