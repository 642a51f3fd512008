"""The commands `train`, `eval` and `compare` as functions: the same work, the same options by the same names."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypedDict, Unpack

from sharpen.actor.load import ModelSetup
from sharpen.cli.again import repeated
from sharpen.cli.options import find_recipe
from sharpen.errors import SharpenError, near
from sharpen.evaluate import evaluate
from sharpen.evaluation import Comparison, Evaluation
from sharpen.overrides import override
from sharpen.recipe import Method
from sharpen.run import session
from sharpen.run.card import measures_card
from sharpen.run.directory import RunDir
from sharpen.run.foreign import refuse_code
from sharpen.run.frames import evaluations_frame
from sharpen.run.manifest import describe
from sharpen.run.naming import default_out
from sharpen.run.opening import open_policy, open_task, serving
from sharpen.run.setup import Setup, setup_from, setup_to_measure
from sharpen.run.watching import Silent, Watcher
from sharpen.study import Compared, Study, compared, entries

__all__ = [
    "Compared",
    "Measures",
    "ModelOptions",
    "RunOptions",
    "compare",
    "find_recipe",
    "measure",
    "train",
]


class ModelOptions(TypedDict, total=False):
    """How the model is loaded and run: the options of `sharpen train --help` with dashes as underscores."""

    device: str
    dtype: str
    lora: int
    checkpointing: bool
    max_tokens: int
    max_context: int
    lr: float | None
    trust_remote_code: bool


class CompareOptions(ModelOptions, total=False):
    """What every run of a study is given besides: `task_set` is a mapping of task options."""

    task_set: Mapping[str, Any]
    reward: str
    micro_tokens: int
    eval_problems: int
    eval_samples: int
    checkpoint_every: int
    rollouts_every: int
    rollout_groups: int
    measure_every: float
    measure_problems: int
    measure_samples: int


class RunOptions(CompareOptions, total=False):
    """What a single run is given besides: `tracker` is a sequence of names."""

    tracker: Sequence[str]
    engine: str
    workers: int
    ahead: int
    budget: str


class Measures(dict[str, Evaluation]):
    """The measures of a model by split: a dict, which a notebook shows as tables."""

    def to_pandas(self) -> Any:
        """One row a split and measure: `low`, `mean`, `high`. SharpenError without pandas."""
        return evaluations_frame({(split,): e for split, e in self.items()}, ("split",))

    def _repr_html_(self) -> str:
        return measures_card([Comparison(split, None, e) for split, e in self.items()])


def train(
    recipe: str | Method | None = None,
    task: str = "chain",
    model: str | Path = "nano",
    out: str | Path | None = None,
    seed: int = 0,
    *,
    set: Sequence[str] = (),
    resume: bool = False,
    from_run: str | Path | None = None,
    watcher: Watcher | None = None,
    **options: Unpack[RunOptions],
) -> session.Run:
    """`sharpen train`: measure, train, measure again; the finished run.

    `recipe` is a name, `FILE.py:NAME`, or a recipe; `set` changes fields of it, as in `["Sample.n=32"]`. `out` is the
    run's folder, by default a new one under `runs/`. With `resume` the run in `out` goes on as it was set up: task,
    model, seed and options are those it was started with, and a recipe given as an object must be the one it was
    started with. With `from_run` the run in that folder is made again from its manifest, to the bit; only `out`,
    `tracker` and `checkpoint_every` may be given then. A run that trusted the code of its model
    (`trust_remote_code`) is gone on with or made again only where that is given again. `watcher` is told how the run
    goes on (nobody by default).

    Raises SharpenError for whatever the caller can mend, `sharpen.run.session.Stopped` after Ctrl-C.
    """
    _refuse_unknown("train", options, RunOptions)
    if from_run is not None:
        given = {"recipe": recipe, "set": set, "resume": resume, "task": task != "chain", "model": model != "nano"}
        return _repeated(Path(from_run), out, {**given, "seed": seed}, options, watcher)
    if recipe is None:
        raise SharpenError(
            'sharpen.train needs a recipe, like sharpen.train("grpo"), or the run to make again (`from_run`).'
        )
    if resume:
        return _resumed(recipe, out, set, watcher, options.get("trust_remote_code", False))
    chosen = override(recipe if not isinstance(recipe, str) else find_recipe(recipe), set)
    setup = _setup(task, model, seed, options)
    # a recipe given as an object has no name to find it by again; its values stand in the manifest
    own = not isinstance(recipe, str)
    origin = {"recipe": None if own else recipe, "set": [] if own else list(set)}
    return session.train(chosen, setup, Path(out or default_out(chosen, setup)), watcher=watcher, origin=origin)


def compare(
    recipes: Sequence[str | Method],
    tasks: str | Sequence[str] = ("chain",),
    seeds: int = 5,
    budget: str = "100-iterations",
    out: str | Path = "compare",
    model: str | Path = "nano",
    *,
    set: Sequence[str] = (),
    target: float | None = None,
    jobs: int = 0,
    watcher: Watcher | None = None,
    **options: Unpack[CompareOptions],
) -> Compared:
    """`sharpen compare`: every recipe on every task at seeds 0 to `seeds` - 1, until the same budget is spent.

    `set` changes all recipes (`PART.FIELD=VALUE`) or one (`NAME:PART.FIELD=VALUE`), `target` is the accuracy whose cost
    is told, `jobs` processes run at once (0: one a core). What lies finished in `out` is not made again. Recipes given
    as objects must be made of what other processes can import.

    Raises SharpenError for whatever the caller can mend, `sharpen.run.session.Stopped` after Ctrl-C; a run that fails
    is told in `results["errors"]`.
    """
    _refuse_unknown("compare", options, CompareOptions)
    if jobs < 0:
        raise SharpenError(f"jobs={jobs} must be 0 (one a core) or more.")
    names = (tasks,) if isinstance(tasks, str) else tuple(tasks)
    setup = _setup(names[0] if names else "chain", model, 0, options)
    study = Study(entries(recipes, set), names, seeds, budget, setup, target)
    return compared(study, Path(out), jobs=jobs, watcher=watcher)


def _setup(task: str, model: str | Path, seed: int, options: Mapping[str, Any]) -> Setup:
    given: dict[str, Any] = dict(options)
    return Setup(
        task=task,
        task_options=given.pop("task_set", {}),
        model=str(model),
        seed=seed,
        trackers=tuple(given.pop("tracker", ())),
        model_setup=ModelSetup(**{n: given.pop(n) for n in list(given) if n in ModelOptions.__annotations__}),
        **given,
    )


def _repeated(
    run: Path, out: str | Path | None, given: Mapping[str, Any], options: Mapping[str, Any], watcher: Watcher | None
) -> session.Run:
    free = ("tracker", "checkpoint_every", "trust_remote_code")
    others = [name for name, x in given.items() if x] + [x for x in options if x not in free]
    if others:
        raise SharpenError(
            f"`from_run` makes the run in {run} again as it was, and {others[0]!r} might make it another. Leave it "
            "out, or leave `from_run` out. What may be given: out, watcher, tracker, checkpoint_every."
        )
    found = repeated(run, options.get("trust_remote_code", False))
    for text in found.warnings:
        (watcher or Silent()).message(f"Warning: {text}")
    changes = {name: x for name, x in options.items() if name == "checkpoint_every"}
    setup = replace(found.setup, **changes, trackers=tuple(options.get("tracker", ())))
    path = Path(out or default_out(found.recipe, setup))
    return session.train(found.recipe, setup, path, watcher=watcher, origin=found.origin)


def _resumed(
    recipe: str | Method, out: str | Path | None, set: Sequence[str], watcher: Watcher | None, trust: bool
) -> session.Run:
    if out is None:
        raise SharpenError("`resume` needs `out`, the folder of the run to go on with.")
    manifest = RunDir.open(out).manifest()
    setup = setup_from(manifest["setup"])
    refuse_code(Path(out), None, setup, trust)  # the recipe is given here
    chosen = override(recipe if not isinstance(recipe, str) else find_recipe(recipe), set)
    if json.loads(json.dumps(describe(chosen))) != manifest["recipe"]:
        raise SharpenError(
            f"The run in {out} was started with another recipe, or with other values ({manifest['name']!r}; its "
            "manifest.json has them all). Give that one, or another `out` to start a new run."
        )
    return session.train(chosen, setup, Path(out), resume=True, watcher=watcher)


def measure(
    model: str | Path,
    task: str | None = None,
    *,
    split: Sequence[str] = (),
    k: Sequence[int] = (1, 4, 16),
    problems: int = 256,
    temperature: float = 1.0,
    seed: int = 0,
    task_set: Mapping[str, Any] | None = None,
    reward: str = "",
    engine: str = "local",
    workers: int = 0,
    watcher: Watcher | None = None,
    **options: Unpack[ModelOptions],
) -> Measures:
    """`sharpen eval`: the measures of a model or a run by split (all but `train`, unless `split` names some).

    `k` are those of pass@k; the largest is how often each problem is sampled. A run brings its own task and limits,
    and not its `engine`. Raises SharpenError for whatever the caller can mend.
    """
    _refuse_unknown("measure", options, ModelOptions)
    ks = sorted({*k})
    if not ks or ks[0] < 1 or problems < 1 or temperature < 0:
        raise SharpenError(
            f"k={list(k)}, problems={problems}, temperature={temperature} cannot be measured: k are whole numbers from "
            "1 on, problems 1 or more, temperature 0 or more."
        )
    setup = setup_to_measure(
        str(model), ModelSetup(**options), task, task_set or {}, {"reward": reward} if reward else {}, engine, workers
    )
    chosen = open_task(setup)
    for name in split:
        if name not in chosen.splits:
            raise SharpenError(
                f"Task {chosen.name!r} has no split {name!r}; its splits are {', '.join(chosen.splits)}."
            )
    actor = open_policy(setup, chosen, watcher)
    with serving(actor, setup, watcher=watcher):
        return Measures(
            {
                name: evaluate(
                    actor, chosen, name, problems=problems, samples=ks[-1], ks=ks, temperature=temperature, seed=seed
                )[0]
                for name in split or [s for s in chosen.splits if s != "train"] or chosen.splits
            }
        )


def _refuse_unknown(name: str, options: Mapping[str, Any], known: Any) -> None:
    for option in options:
        if option not in (names := {f for c in (ModelOptions, known) for f in c.__annotations__}):
            raise SharpenError(f"sharpen.{name} has no option {option!r}. {near(option, names)}")
