"""What a run is given besides its recipe: a task, a model, a seed, limits. `opening` makes objects of these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from sharpen.actor.engine.choose import known, spreads
from sharpen.actor.load import ModelSetup
from sharpen.budget import Budget, budget
from sharpen.errors import SharpenError, option
from sharpen.run.directory import RunDir
from sharpen.run.foreign import refuse_code
from sharpen.run.manifest import rebuild


@dataclass(frozen=True)
class Setup:
    """Everything a run is given besides its recipe.

    With a `budget` (`2M-tokens`, `200-steps`, `50-iterations`, `300s`) it goes on until that is spent, whatever number
    of iterations its recipe asks for. With `measure_every` the policy is measured on the first `measure_problems`
    held-out problems, `measure_samples` samples each, at the start, at the end, and whenever so much more is done: a
    share of the budget (of all iterations where there is none) below 1, or a number of iterations.
    """

    task: str = "chain"
    task_options: Mapping[str, Any] = field(default_factory=dict)
    model: str = "nano"
    model_setup: ModelSetup = field(default_factory=ModelSetup)
    reward: str = ""
    reward_timeout: float = 10.0
    reward_workers: int = 1
    seed: int = 0
    micro_tokens: int = 8192
    eval_problems: int = 128
    eval_samples: int = 16
    checkpoint_every: int = 25
    rollouts_every: int = 5
    rollout_groups: int = 4
    trackers: tuple[str, ...] = ()
    engine: str = "local"
    workers: int = 0
    ahead: int = 0
    budget: str = ""
    measure_every: float = 0.0
    measure_problems: int = 32
    measure_samples: int = 4

    def __post_init__(self) -> None:
        known(self.engine)
        if self.workers < 0:
            raise SharpenError(f"`--workers {self.workers}` must be 0 (as many as fit) or more.")
        if self.workers and not spreads(self.engine):
            raise SharpenError(
                f"`--workers {self.workers}` are those of a cluster, and `--engine {self.engine}` has none. Leave it "
                "out, or use `--engine ray`."
            )
        if self.ahead < 0 or (self.ahead and self.engine == "local"):
            raise SharpenError(
                f"`--ahead {self.ahead}` must be 0, or with an engine that has weights of its own a number of "
                "iterations: the local engine draws with the very weights that are being updated. Give `--engine ray`, "
                "for instance, or leave `--ahead` out."
            )
        self.spend()
        every = self.measure_every
        if every < 0 or (every >= 1 and every != int(every)):
            raise SharpenError(
                f"`--measure-every {every}` must be 0 (never), a share of the budget below 1, or a whole number of "
                "iterations."
            )
        for name in (
            "micro_tokens",
            "eval_samples",
            "checkpoint_every",
            "rollouts_every",
            "reward_workers",
            "measure_problems",
            "measure_samples",
        ):
            if getattr(self, name) < 1:
                raise SharpenError(f"`{option(name)} {getattr(self, name)}` must be 1 or more.")
        if self.eval_problems < 0 or self.rollout_groups < 0:
            raise SharpenError("`--eval-problems` and `--rollout-groups` must be 0 (none) or more.")
        if not 0 < self.reward_timeout < 1e6:
            raise SharpenError(f"`--reward-timeout {self.reward_timeout}` must be a number of seconds above 0.")
        if not 0 <= self.seed < 2**63:
            raise SharpenError(f"`--seed {self.seed}` must be 0 or more, and below 2^63.")

    def spend(self) -> Budget | None:
        """The budget, if there is one."""
        return budget(self.budget) if self.budget else None


SAME = ("checkpoint_every", "reward_timeout", "reward_workers")
"""Fields of a setup that change no bit of what a run computes: how often it is kept, and who computes its rewards (as
long as no text is lost to the limit of their time)."""

HOW = ("micro_tokens", *SAME)
"""Fields that decide how the work is done, not what is computed: a sum in other parts is the same but for rounding."""

NEWER: dict[str, Any] = {
    "engine": "local",
    "workers": 0,
    "ahead": 0,
    "budget": "",
    "measure_every": 0.0,
    "measure_problems": 32,
    "measure_samples": 4,
}
"""Options that runs of earlier versions do not have, and what they did."""


def setup_from(plain: Any) -> Setup:
    """The setup that a manifest holds as JSON. Raises SharpenError for one that is not of this version or before."""
    if isinstance(plain, dict) and isinstance(plain.get("fields"), dict):
        plain = plain | {"fields": NEWER | plain["fields"]}
    found = rebuild(plain, classes=(Setup, ModelSetup))
    if not isinstance(found, Setup):
        raise SharpenError(
            "The manifest's `setup` is none. Put back a copy of manifest.json, or start a run of your own."
        )
    return found


def setup_to_measure(
    model: str,
    limits: ModelSetup,
    task: str | None,
    task_options: Mapping[str, Any],
    reward: Mapping[str, Any],
    engine: str = "local",
    workers: int = 0,
) -> Setup:
    """What to measure a model with. A run's folder brings its own task, reward and limits; what is given replaces them.

    `reward` holds the fields `reward`, `reward_timeout`, `reward_workers` of a setup, as far as they are given. Raises
    SharpenError for a run that is not finished.
    """
    path = Path(model)
    if not (path / "manifest.json").exists():
        return Setup(
            task=task or "chain",
            task_options=task_options,
            model=model,
            model_setup=limits,
            engine=engine,
            workers=workers,
            **reward,
        )
    own_setup = setup_from(RunDir.open(path).manifest().get("setup"))
    if not (path / "policy" / "config.json").exists():
        raise SharpenError(
            f"The run in {path} has no policy yet: it is not finished. Go on with `sharpen train --resume --out "
            f"{path}`."
        )
    theirs = replace(own_setup, task="chain" if task else own_setup.task)
    refuse_code(
        path, None, replace(theirs, reward="") if task or reward.get("reward") else theirs, limits.trust_remote_code
    )
    changes: dict[str, Any] = {"task": task, "task_options": task_options} if task else {}
    if reward.get("reward"):
        changes |= reward
    elif task:
        changes["reward"] = ""
    if task_options and not task:
        changes["task_options"] = {**own_setup.task_options, **task_options}
    usual = ModelSetup()
    own = {f.name: getattr(limits, f.name) for f in fields(limits) if getattr(limits, f.name) != getattr(usual, f.name)}
    fit = replace(own_setup.model_setup, **{"device": "auto", **own, "lora": 0})
    drawn: dict[str, Any] = {"engine": engine, "workers": workers, "ahead": 0}
    return replace(own_setup, model=str(path / "policy"), model_setup=fit, **drawn, **changes)
