"""The only training loop: online RL, expert iteration, imitation and offline learning differ by the recipe's values."""

from __future__ import annotations

import hashlib
import random
import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sharpen.actor.base import Actor
from sharpen.actor.text import TextActor
from sharpen.actor.value import ValueActor
from sharpen.ahead import Ahead, stages_ahead
from sharpen.budget import Budget, Meter
from sharpen.cost import Cost
from sharpen.ctx import Ctx
from sharpen.errors import SharpenError
from sharpen.learner import Learner
from sharpen.numbers import watch
from sharpen.recipe import Frozen, Method, Policy, Twin, Update, Value, check, recipes_of, update_names, updates_of
from sharpen.task.base import Task
from sharpen.types import Group


@dataclass(frozen=True)
class Iteration:
    """What one iteration did: its number, the groups as they reached the updates, the means of its metrics, all costs
    so far.
    """

    step: int
    groups: list[Group]
    metrics: dict[str, float]
    cost: dict[str, int]


class Trainer:
    """A method at work on a task with a policy. `state` is all a run depends on; `load` takes it over to the bit.

    With a policy that several processes share (`sharpen.parallel`) each of them has a Trainer, and all do the same.
    With `ahead` N samples are drawn while the updates of at most N iterations before are made (`sharpen.ahead`); call
    `rest` in the end. With a `budget` the last recipe goes on until that is spent, however many iterations it asks for,
    and the others make theirs before; no iteration begins once it is spent.
    """

    def __init__(
        self,
        method: Method,
        task: Task,
        policy: Actor,
        *,
        seed: int = 0,
        micro_tokens: int = 8192,
        ahead: int = 0,
        budget: Budget | None = None,
    ) -> None:
        self.method = method
        self.phases = recipes_of(method)
        for recipe in self.phases:
            check(recipe, task)
        self.meter = Meter(budget, self.phases[-1]) if budget else None
        self.bound = ahead
        if ahead and not sum(stages_ahead(recipe) for recipe in self.phases):
            raise SharpenError(
                f"{method.name!r} draws no samples of the policy, so that none can be drawn ahead of its updates. "
                "Leave `--ahead` out."
            )
        self.ahead: Ahead | None = None
        self.total = sum(r.loop.iterations for r in self.phases)
        self.policy = policy
        self.ctx = Ctx(self.phases[0], task, {}, seed, micro_tokens, policy.world)
        self.learners: list[Learner] = []
        self.collecting = 0.0
        """Seconds the last iteration took before its first update: drawing, scoring, judging, and waiting for it."""
        self._begin(0)

    def _begin(self, phase: int) -> None:
        """Actors and optimisers of a recipe; what earlier recipes trained is there already."""
        self.rest()
        self.phase = phase
        self.recipe = recipe = self.phases[phase]
        ctx = self.ctx
        ctx.enter(recipe)
        actors = ctx.actors
        for name, spec in recipe.actors:
            if isinstance(spec, Policy):
                actors[name] = self.policy
        for name, spec in recipe.actors:
            if isinstance(spec, Value) and name not in actors:
                like = _text(actors[spec.of].undivided(), recipe.name)
                actors[name] = ctx.world.spread(ValueActor(like, spec.spread, ctx.gen))
            if isinstance(spec, Twin) and name not in actors:
                actors[name] = actors[spec.of].twin()
        for name, spec in recipe.actors:
            if isinstance(spec, Frozen):
                actors[name] = actors[spec.of].freeze(still=spec.refresh == "never")
        self.learners = [
            Learner(u, n, actors[u.actor]) for u, n in zip(updates_of(recipe), update_names(recipe), strict=True)
        ]
        if self.bound and stages_ahead(recipe):
            self.ahead = Ahead(recipe, ctx, self.bound)
        self._base: dict[str, dict[str, Tensor]] = {}
        if recipe.loop.reset == "base":
            self._base = {
                name: {k: v.clone() for k, v in actors[name].weights().items()}
                for name in {u.actor for u in updates_of(recipe)}
            }

    @property
    def spent(self) -> float:
        """How much of the budget is gone, in its unit; without one, how many iterations are made."""
        return self.meter.spent(self.ctx.cost, self.ctx.step) if self.meter else float(self.ctx.step)

    @property
    def amount(self) -> float:
        """How much there is to spend, in the same unit."""
        return self.meter.budget.amount if self.meter else float(self.total)

    @property
    def done(self) -> bool:
        """Whether the budget is spent; without one, whether every iteration has been made."""
        return self.spent >= self.amount

    def step(self) -> Iteration:
        """One iteration: draw problems, run the stages, make the updates, show the source what became of them."""
        start, before = time.process_time(), self.spent
        made = self._iteration(before)
        if self.meter:
            if self.meter.budget.kind == "seconds":
                # each process has seconds of its own, and all must end together
                mine = self.meter.seconds + time.process_time() - start
                self.meter.seconds = max(self.ctx.world.gather(mine))
            self.meter.watch(before, self.spent, self.recipe.name)
        return made

    def _iteration(self, spent: float) -> Iteration:
        ctx = self.ctx
        last = len(self.phases) - 1
        while ctx.step - ctx.start >= self.recipe.loop.iterations and not (self.meter and self.phase == last):
            self._begin(self.phase + 1)
            if self.meter:
                self.meter.began = spent
        ctx.share = self.meter.share(spent) if self.meter and self.phase == last else None
        recipe = self.recipe
        ctx.touched.clear()
        for name, spec in recipe.actors:
            if isinstance(spec, Frozen) and spec.refresh == "iteration":
                ctx.actors[name].load_weights(ctx.actors[spec.of].weights())
        begun = time.perf_counter()
        groups = self.ahead.take(ctx) if self.ahead else ctx.draw(recipe.loop.problems)
        for stage in recipe.collect[self.ahead.stages if self.ahead else 0 :]:
            groups = stage(groups, ctx)
            watch(groups, stage, ctx)
        self.collecting = time.perf_counter() - begun
        self._describe(groups)
        if ctx.step == ctx.start and "reference" not in recipe.waive:
            self._check_reference(groups)
        for name, weights in self._base.items():
            ctx.actors[name].load_weights(weights)
            ctx.touched.add(name)  # it is no longer the policy that drew this iteration's samples
        learners = iter(self.learners)
        for update in recipe.updates:
            if isinstance(update, Update):
                learner = next(learners)
                if self._base:
                    learner.reset()
                learner.learn(groups, ctx)
            else:
                groups = update(groups, ctx)
                watch(groups, update, ctx)
        ctx.observe(groups)
        ctx.last = ctx.metrics.take()
        ctx.world.alike(lambda: [ctx.cost.as_dict(), _digest(ctx)], f"iteration {ctx.step}")
        ctx.step += 1
        return Iteration(ctx.step - 1, groups, ctx.last, ctx.cost.as_dict())

    def rest(self) -> None:
        """Draw nothing ahead any more: the policy has its engine back."""
        if self.ahead:
            self.ahead.rest()
            self.ahead = None

    def trained(self) -> dict[str, Actor]:
        """The actors besides the policy that recipes so far have trained, by name."""
        names = {u.actor for r in self.phases[: self.phase + 1] for u in updates_of(r)}
        return {n: a for n, a in self.ctx.actors.items() if n in names and a is not self.policy}

    def _describe(self, groups: list[Group]) -> None:
        judged = [g for g in groups if g.traces and all(t.solved is not None for t in g.traces)]
        for g in judged:
            share = sum(bool(t.solved) for t in g.traces) / len(g.traces)
            self.ctx.log("solved", share, len(g.traces))
            self.ctx.log("group/all_failed", float(share == 0))
            self.ctx.log("group/all_solved", float(share == 1))

    def _check_reference(self, groups: list[Group]) -> None:
        """Before the first update the reference is the policy, so their log-probs are the same."""
        pairs = [
            (s.cols["logp_ref"] - s.cols["logp_old"]).abs()
            for g in groups
            for t in g.traces
            for s in t.actions
            if "logp_ref" in s.cols and "logp_old" in s.cols and s.by.startswith("policy@") and not s.moved
        ]
        if not pairs:
            return
        gap = float(torch.cat(pairs).mean())
        self.ctx.log("reference/gap", gap)
        limit = self.ctx.actors["policy"].agreement
        if not gap <= limit:
            raise SharpenError(
                "Before the first update the reference must be the policy itself, yet their log-probs differ by "
                f"{gap:.2g} on "
                f"average (limit {limit:.2g}). The reference was loaded from other weights or scores at another "
                "temperature."
            )

    # ------------------------------------------------------------------ state

    def _changing(self) -> list[str]:
        """The actors whose weights are not those the run began with."""
        # in the first recipe a still copy is one of the model the run began with; later it is of something trained
        still = {n for n, s in self.recipe.actors if isinstance(s, Frozen) and s.refresh == "never" and not self.phase}
        return sorted(self.ctx.actors.keys() - still)

    def state(self) -> dict[str, Any]:
        """Everything the rest of the run depends on, as plain data and tensors; whole in the main process."""
        ctx = self.ctx
        return {
            "recipe": self.method.name,
            "phase": self.phase,
            "step": ctx.step,
            "start": ctx.start,
            "seed": ctx.seed,
            "rng": ctx.rng.getstate(),
            "gen": ctx.gen.get_state(),
            "states": ctx.states,
            "stores": dict(ctx.stores),
            "knobs": ctx.knobs,
            "last": ctx.last,
            "cost": ctx.cost.as_dict(),
            "weights": {name: ctx.actors[name].weights() for name in self._changing()},
            "base": self._base,
            "learners": {x.name: x.state() for x in self.learners},
            "ahead": self.ahead.state() if self.ahead else None,
            **({"meter": self.meter.state()} if self.meter else {}),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on exactly where `state` was taken."""
        ctx = self.ctx
        if state["recipe"] != self.method.name or state["phase"] >= len(self.phases):
            raise SharpenError(
                f"The checkpoint is of recipe {state['recipe']!r}, and this run is of {self.method.name!r}. Resume "
                "with the recipe the run was started with."
            )
        for phase in range(1, state["phase"] + 1):  # actors of earlier recipes are there too
            self._begin(phase)
        for what, there, here in (
            ("memories of the parts", state["states"], ctx.states),
            ("optimisers", state["learners"], [x.name for x in self.learners]),
            ("weights of the actors", state["weights"], self._changing()),
        ):
            if there.keys() != set(here):
                raise SharpenError(
                    f"The checkpoint holds {what} {sorted(there)}, and this recipe has {sorted(here)}. Resume with the "
                    "recipe the run was started with."
                )
        ctx.step, ctx.start, ctx.seed = state["step"], state["start"], state["seed"]
        ctx.rng = random.Random()
        ctx.rng.setstate(state["rng"])
        ctx.gen.set_state(state["gen"])
        ctx.states = state["states"]
        ctx.stores.clear()
        ctx.stores.update(state["stores"])
        ctx.knobs, ctx.last = state["knobs"], state["last"]
        ctx.cost = Cost(**state["cost"])
        for name, weights in state["weights"].items():
            ctx.actors[name].load_weights(weights)
        self._base = state["base"]
        for learner in self.learners:
            learner.load(state["learners"][learner.name])
        if self.ahead and state.get("ahead"):
            self.ahead.load(state["ahead"])
        if self.meter and state.get("meter"):
            self.meter.load(state["meter"])


def _digest(ctx: Ctx) -> str:
    """What tells one course of random numbers from another."""
    return hashlib.sha256(repr(ctx.rng.getstate()).encode() + bytes(ctx.gen.get_state().tolist())).hexdigest()


def _text(actor: Actor, recipe: str) -> TextActor:
    if not isinstance(actor, TextActor):
        raise SharpenError(
            f"Recipe {recipe!r}: a value model is made of a language model, not of a {type(actor).__name__}."
        )
    return actor
