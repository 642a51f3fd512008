"""Collection ahead of the updates: while the policy learns from one iteration, the samples of later ones are drawn.

With a bound of N the samples of iteration k are those of the policy as it was before iteration k - N: not older, and
not newer either, however long anything takes. So a run is the same each time, and resumes to the bit. One thread
collects, iteration after iteration, on an engine with a copy of the weights; of a recipe it runs the stages up to the
last that draws, and the verification behind it. All else is the trainer's.

    trainer      | learn k      | learn k + 1  | learn k + 2  |
    collector    | draw k + 1   | draw k + 2   | draw k + 3   |      N = 1

Before its samples are learnt from, the trainer scores them with its weights of now: `logp_old` becomes the proximal
policy's log-prob, to which ratios are taken and clipped, and `mismatch` is what lies between it and the log-prob they
were drawn with. `sharpen.reduction.trust` weighs by that ratio, truncated. This is the decoupled objective of PPO-EWMA
(2110.00641, section 3) with the policy of the moment as the proximal one, as in AReaL (2505.24298).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from sharpen.actor.engine.proof import ENOUGH, Rescored, fingerprints, rescore, same_policy, same_weights
from sharpen.actor.language import LanguageActor
from sharpen.core import Part, walk
from sharpen.cost import Cost
from sharpen.ctx import Ctx
from sharpen.errors import SharpenError
from sharpen.numbers import watch
from sharpen.recipe import Recipe
from sharpen.reward.verify import Verify
from sharpen.types import Group, Segment, Trace


def stages_ahead(recipe: Recipe) -> int:
    """How many of a recipe's collecting stages can run ahead of its updates; 0 where it draws nothing.

    SharpenError for a recipe in which drawing needs what the updates change besides the policy.
    """
    late = next((p for p in walk(recipe.updates) if p.draws), None)
    if late is not None:
        raise _refused(recipe, f"{type(late).__name__} draws between its updates")
    where = [i for i, stage in enumerate(recipe.collect) if any(p.draws for p in walk(stage))]
    if not where:
        return 0
    count = where[-1] + 1
    while count < len(recipe.collect) and isinstance(recipe.collect[count], Verify):
        count += 1
    for part in walk(recipe.collect[:count]):
        others = [name for name in part.asks if name != "policy"]
        if others:
            raise _refused(recipe, f"before its last samples are drawn {type(part).__name__} asks {others[0]!r}")
        if part.init() is not None:
            raise _refused(recipe, f"{type(part).__name__}, which comes before its last samples, remembers things")
    return count


def _refused(recipe: Recipe, why: str) -> SharpenError:
    return SharpenError(
        f"Recipe {recipe.name!r} cannot be collected ahead of its updates: {why}. Leave `--ahead` out; the engine then "
        "draws when the updates are made."
    )


@dataclass
class Collected:
    """What was drawn for one iteration, and what came with it: metrics, costs, and groups the source is to be shown."""

    step: int
    groups: list[Group]
    metrics: dict[str, tuple[float, float]]
    cost: dict[str, int]
    seen: list[list[Group]]


@dataclass
class Job:
    """A collection under way: the weights it draws with (the policy's own, which prove it), and its result to come."""

    step: int
    weights: dict[str, Tensor]
    coming: Future[Collected]


class Ahead:
    """The collections of one recipe that are ahead of its updates, at most `bound` iterations."""

    def __init__(self, recipe: Recipe, ctx: Ctx, bound: int) -> None:
        policy = ctx.actors["policy"]
        if not isinstance(policy, LanguageActor):
            raise _refused(recipe, f"only language models have engines, and its policy is a {type(policy).__name__}")
        self.recipe = recipe
        self.stages = stages_ahead(recipe)
        self.bound = bound
        self.policy = policy
        self.next = ctx.step
        self.waited = 0.0
        self._jobs: deque[Job | Collected] = deque()
        self._lent: LanguageActor | None = None
        self._thread: ThreadPoolExecutor | None = None

    # ------------------------------------------------------------------ the trainer's side

    def take(self, ctx: Ctx) -> list[Group]:
        """The groups of this iteration, ready for the stages that are left; those of later ones are begun.

        `waited` is the time this took in seconds, which the updates were idle.
        """
        last = ctx.start + self.recipe.loop.iterations - 1
        ends = ctx.share is None  # a run with a budget does not know its last iteration
        while self.next <= (min(ctx.step + self.bound, last) if ends else ctx.step + self.bound):
            self._begin(ctx)
        start = time.perf_counter()
        done = self._finished(self._jobs.popleft())
        self.waited = time.perf_counter() - start
        assert done.step == ctx.step
        ctx.metrics.join(done.metrics)
        ctx.cost.add(Cost(**done.cost))
        for groups in done.seen:
            ctx.observe(groups)
        by = _drawn_in(done.step)
        drawn = {id(s): s for t in _traces(done.groups, by) for s in t.actions if _stands(s, by)}
        untold = [s for s in drawn.values() if "entropy" not in s.cols]  # what the engine did not know when it drew
        ctx.cost.scored_tokens += catch_up(self.policy, done.groups, by)
        for s in untold:
            ctx.log("entropy", float(s.cols["entropy"].mean()), len(s))
        return done.groups

    def _begin(self, ctx: Ctx) -> None:
        if self.policy.engine.exact:
            raise SharpenError(
                "Samples cannot be drawn ahead of the updates by an engine that shares the trainer's weights. Use "
                "`--ahead` with an engine that has its own: `--engine ray`, `vllm` or `vllm-server`."
            )
        if self._lent is None or self._thread is None:
            self._lent, self._thread = self.policy.lend(), ThreadPoolExecutor(1, "collector")
        groups = ctx.draw(self.recipe.loop.problems)
        apart = Apart(ctx, self.next, self._lent, ctx.rng.getrandbits(62))
        weights, sent = _copies(self.policy.weights(), self.policy.served())
        coming = self._thread.submit(self._collect, groups, apart, sent, self._lent)
        self._jobs.append(Job(self.next, weights, coming))
        self.next += 1

    def _finished(self, job: Job | Collected) -> Collected:
        """The result of a job, proved to be drawn with its weights."""
        if isinstance(job, Collected):
            return job
        done = job.coming.result()
        assert self._lent is not None
        prove(self.policy, job.weights, done.groups, _drawn_in(done.step), self._lent.engine.agreement)
        return done

    def rest(self) -> None:
        """Wait for no more collections, and give the policy its engine back. What was not taken is lost."""
        self._jobs.clear()
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)
        if self._lent is not None:
            self.policy.take_back(self._lent)
        self._lent = self._thread = None

    def state(self) -> dict[str, Any]:
        """All that was begun, finished: plain data."""
        self._jobs = deque(self._finished(job) for job in self._jobs)
        plain = [{f: getattr(done, f) for f in Collected.__dataclass_fields__} for done in self._jobs]
        return {"next": self.next, "done": plain}

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `state` gave once."""
        self.next = state["next"]
        self._jobs = deque(Collected(**done) for done in state["done"])

    # ------------------------------------------------------------------ the thread's side

    def _collect(self, groups: list[Group], apart: Apart, sent: dict[str, Tensor], lent: LanguageActor) -> Collected:
        same_weights(fingerprints(sent), lent.engine.sync(sent))
        for stage in self.recipe.collect[: self.stages]:
            groups = stage(groups, apart)
            watch(groups, stage, apart)
        return Collected(apart.step, groups, apart.metrics.told(), asdict(apart.cost), apart.seen)


class Apart(Ctx):
    """What stages may touch in the collecting thread: nothing that the trainer writes meanwhile.

    Random numbers are the iteration's own, progress and knobs are those of its own number and of the moment it was
    begun. Groups for the source are kept until their iteration comes.
    """

    def __init__(self, ctx: Ctx, step: int, policy: LanguageActor, seed: int) -> None:
        super().__init__(ctx.recipe, ctx.task, _Only("actor", policy=policy), seed, ctx.micro_tokens)
        self.step, self.start, self.share = step, ctx.start, ctx.share
        self.knobs, self.last = _Still(recipe=ctx.recipe, of=ctx.knobs), dict(ctx.last)
        self.stores = _Only("store")  # type: ignore[assignment]
        self.seen: list[list[Group]] = []

    def state(self, part: Part) -> dict[str, Any]:
        """None: what a part remembers is the trainer's."""
        raise _refused(self.recipe, f"while samples are drawn {type(part).__name__} is asked, which remembers things")

    def observe(self, groups: list[Group]) -> None:
        """Shown to the source when the iteration is learnt from."""
        self.seen.append(groups)


class _Only(dict[str, Any]):
    """What there is for the collecting thread; SharpenError for what there is not."""

    def __init__(self, kind: str, **there: Any) -> None:
        super().__init__(there)
        self.kind = kind

    def __missing__(self, name: str) -> Any:
        raise SharpenError(
            f"While samples are drawn ahead of the updates something asked for the {self.kind} {name!r}, which the "
            "updates change meanwhile. Leave `--ahead` out; the engine then draws when the updates are made."
        )


class _Still(dict[str, float]):
    """Knobs that nobody may turn in the collecting thread: the trainer would not see it."""

    def __init__(self, recipe: Recipe, of: Mapping[str, float]) -> None:
        super().__init__(of)
        self.recipe = recipe

    def __setitem__(self, name: str, value: float) -> None:
        raise _refused(self.recipe, f"a stage before its last samples turns the knob {name!r}")


# ---------------------------------------------------------------------- what older weights drew


def _copies(*several: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
    """The same tensors on the CPU, where no update writes them; what stands in several is copied once."""
    made = {w.data_ptr(): w for each in several for w in each.values()}
    made = {place: w.to("cpu", copy=True) for place, w in made.items()}
    return [{n: made[w.data_ptr()] for n, w in each.items()} for each in several]


def _drawn_in(step: int) -> str:
    return f"policy@{step}"


def _traces(groups: Sequence[Group], by: str) -> list[Trace]:
    return [t for g in groups for t in g.traces if any(_stands(s, by) for s in t.actions)]


def _stands(segment: Segment, by: str) -> bool:
    """Whether it was drawn by `by` where it stands."""
    return segment.by == by and not segment.moved and len(segment) > 0


def _rescored(actor: LanguageActor, traces: Sequence[Trace], by: str) -> list[tuple[Segment, Rescored]]:
    """Each segment once that was drawn by `by` and stands where it was drawn."""
    found: dict[int, tuple[Segment, Rescored]] = {}
    for trace, said in zip(traces, rescore(actor, traces), strict=True):
        for s, x in zip([s for s in trace.actions if len(s)], said, strict=True):
            if _stands(s, by):
                found.setdefault(id(s), (s, x))
    return list(found.values())


def catch_up(actor: LanguageActor, groups: Sequence[Group], by: str) -> int:
    """Score what was drawn by `by` with the weights of now: `logp_old` and `entropy` become theirs, and `mismatch` is
    log pi_now - log pi_drawn (none where the draw was greedy). Returns the number of tokens that were scored.
    """
    traces = _traces(groups, by)
    for segment, said in _rescored(actor, traces, by):
        segment.cols |= {"logp_old": said.logp, "entropy": said.entropy}
        if segment.drawn is not None and segment.drawn.temperature > 0:
            segment.cols["mismatch"] = said.mismatch
    return sum(actor.size(t) for t in traces)


@torch.no_grad()
def prove(actor: LanguageActor, weights: dict[str, Tensor], groups: Sequence[Group], by: str, limit: float) -> None:
    """SharpenError unless what `by` drew was drawn with these weights: some of it, spread over all groups, is scored
    with them. The actor's own weights are put back to the bit.
    """
    traces = _traces(groups, by)
    enough = 4 * ENOUGH
    step = max(1, sum(t.length for t in traces) // enough)
    some = traces[:: min(step, max(1, len(traces) // 4))]
    if not some:
        return
    now = {n: w.clone() for n, w in actor.weights().items()}
    actor.load_weights(weights)
    try:
        same_policy([x for _, x in _rescored(actor, some, by)], limit)
    finally:
        actor.load_weights(now)
