"""Rollout programs: plain `async def` functions that await samples, run at batch speed.

A program sees one `Play`: its problem, its own random numbers, and `sample`. Many programs run at once; when all of
them wait for a sample, everything they wait for is drawn in one batch. Seeds are dealt before the first program
starts, and requests are ordered by arrival, so a run's order is the same each time.
"""

from __future__ import annotations

import asyncio
import dataclasses
import math
import random
import threading
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from sharpen.actor.base import Actor, Request
from sharpen.actor.scoring import scores
from sharpen.cost import Cost
from sharpen.numbers import NotFinite, diverged
from sharpen.task.base import Environment, Task
from sharpen.types import Problem, Sampling, Segment, Trace

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])
QUIET_PASSES = 4
"""Passes of the event loop without a new request after which every program is taken to be waiting."""


@dataclasses.dataclass(frozen=True)
class Question:
    """What does a model say at the end of this context? `want` is an extra it can score."""

    context: tuple[Segment, ...]
    want: str


class Scheduler:
    """Collects requests until no program can go on, then draws them together."""

    def __init__(self, actors: Mapping[str, Actor], cost: Cost | None = None) -> None:
        self._actors = actors
        self._cost = cost
        self._waiting: list[tuple[str, Request | Question, asyncio.Future[Any]]] = []
        self._armed = False

    def run(self, programs: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
        """The results of coroutines, in order. The first failure ends the others and is raised."""

        results: list[T] = []

        async def main() -> None:  # without a result: asyncio writes that of a finished task out, tensors and all
            tasks = [asyncio.ensure_future(p) for p in programs]
            try:
                results.extend(await asyncio.gather(*tasks))
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

        _outside_loop(main)
        return results

    async def ask(self, actor: str, request: Request | Question) -> Any:
        """Wait for one segment, or for one number."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._waiting.append((actor, request, future))
        if not self._armed:
            self._armed = True
            loop.call_soon(self._settle, loop, len(self._waiting), 0)
        return await future

    def _settle(self, loop: asyncio.AbstractEventLoop, seen: int, quiet: int) -> None:
        quiet = quiet + 1 if len(self._waiting) == seen else 0
        if quiet < QUIET_PASSES:
            loop.call_soon(self._settle, loop, len(self._waiting), quiet)
            return
        self._armed = False
        waiting, self._waiting = self._waiting, []
        for name, kind in dict.fromkeys((actor, type(r)) for actor, r, _ in waiting):
            mine = [(r, f) for actor, r, f in waiting if actor == name and type(r) is kind and not f.done()]
            asked: list[Any] = [r for r, _ in mine]
            try:
                told = self._draw(name, asked) if kind is Request else self._judge(name, asked)
            except BaseException as error:  # handed to the program that waits, which has the traceback a user needs
                own = getattr(error, "item", None)  # the one sample that is at fault; the others are ended with it
                for i, (_, future) in enumerate(mine):
                    if own in (None, i):
                        future.set_exception(error)
                continue
            for (_, future), result in zip(mine, told, strict=True):
                future.set_result(result)

    def _draw(self, name: str, requests: Sequence[Request]) -> list[Segment]:
        drawn = self._actors[name].sample(requests)
        if self._cost is not None:
            self._cost.generated_tokens += sum(len(s) for s in drawn)
            self._cost.prompt_tokens += sum(len(s) for r in requests for s in r.context)
            if self._actors[name].rescores:
                self._cost.scored_tokens += sum(len(s) for s in drawn) + sum(
                    len(s) for r in requests for s in r.context
                )
        return drawn

    def _judge(self, name: str, questions: Sequence[Question]) -> list[float]:
        """What a model says at the last atom of each context; equal contexts are scored once."""
        actor = self._actors[name]
        keys = [(q.want, *(id(s) for s in q.context)) for q in questions]
        once = dict(zip(keys, questions, strict=True))
        found: dict[Any, float] = {}
        for want in dict.fromkeys(q.want for q in questions):
            mine = {k: Trace(Problem("", ""), _ending(q.context)) for k, q in once.items() if q.want == want}
            said = scores(actor, list(mine.values()), want)
            found |= {k: float(x[0]) for k, x in zip(mine, said, strict=True)}
            if self._cost is not None:
                self._cost.scored_tokens += sum(actor.size(t) for t in mine.values())
        return [found[k] for k in keys]


def _ending(context: Sequence[Segment]) -> list[Segment]:
    """A context whose last atom alone is scored."""
    start = max((i for i, s in enumerate(context) if s.fresh), default=0)
    *before, last = [s for s in context[start:] if len(s)]
    given = [dataclasses.replace(s, trainable=False, fresh=False) for s in before]
    return [*given, Segment(last.atoms[:-1]), Segment(last.atoms[-1:], trainable=True)]


def _outside_loop(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a coroutine function to its end, in a thread of its own where a loop is running already (a notebook)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(main())
        return
    failure: list[BaseException] = []

    def work() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]


@dataclasses.dataclass
class Play:
    """What one run of a program may touch. Its random numbers are its own."""

    problem: Problem
    task: Task
    sampling: Sampling
    actor: str
    rng: random.Random
    actors: Mapping[str, Actor]
    scheduler: Scheduler
    step: int = 0

    def prompt(self, problem: Problem | None = None) -> list[Segment]:
        """The context the problem (or another one) starts with."""
        return self.actors[self.actor].prompt(problem or self.problem)

    def start(self) -> list[Segment]:
        """What a draw begins with besides the prompt: the starting noise of a flow policy, nothing elsewhere."""
        return self.actors[self.actor].start(self.rng)

    def say(self, text: str, role: str = "user") -> Segment:
        """Given text that follows: an observation, a critique."""
        return self.actors[self.actor].say(text, role)

    def environment(self) -> Environment:
        """A fresh world for the problem."""
        return self.task.environment(self.problem)

    async def sample(self, context: Sequence[Segment], actor: str | None = None, **changes: Any) -> Segment:
        """Draw one segment after `context`.

        `changes` replace fields of the sampling (temperature, stop, max_tokens, ...).
        """
        name = actor or self.actor
        sampling = dataclasses.replace(self.sampling, **changes) if changes else self.sampling
        request = Request(tuple(context), sampling, self.rng.getrandbits(62), f"{name}@{self.step}")
        try:
            drawn: Segment = await self.scheduler.ask(name, request)
        except NotFinite as error:
            if error.item is None:
                raise
            raise NotFinite(f"{error} It was {self._asked(name, context)}.") from None
        if drawn.logp is not None and bool(drawn.logp.isinf().any()):  # NaN is what an engine may not know
            raise diverged("The log-prob of a sample is infinite", self._asked(name, [*context, drawn]))
        return drawn

    async def judge(self, context: Sequence[Segment], actor: str = "value", want: str = "score") -> float:
        """What a value or reward model says of everything up to the end of `context`."""
        said: float = await self.scheduler.ask(actor, Question(tuple(context), want))
        if not math.isfinite(said):
            raise diverged(f"The {want} that a model gives is {said!r}", self._asked(actor, context))
        return said

    def _asked(self, actor: str, context: Sequence[Segment]) -> str:
        """Who was asked, when, and about what, in words."""
        text = "".join(s.text or "" for s in context if s.role == "assistant")
        return f"actor {actor!r} in iteration {self.step}, on problem {self.problem.key!r}, text {text[:120]!r}"


Program = Callable[[Play], Awaitable[Trace | list[Trace]]]
"""An `async def` from a Play to a trace, or to the traces of one episode."""


def gives(n: int) -> Callable[[F], F]:
    """Declare that a program gives `n` traces a run (1 where nothing is declared), so that plans count them."""

    def mark(program: F) -> F:
        program.traces = n  # type: ignore[attr-defined]
        return program

    return mark


async def answer(play: Play) -> Trace:
    """One answer to the problem."""
    context = [*play.prompt(), *play.start()]
    return _ended(play, context, await play.sample(context))


@gives(2)
async def twins(play: Play) -> list[Trace]:
    """Two answers to the problem from one beginning (D3PO, 2311.13231: both chains of a pair start at one noise)."""
    context = [*play.prompt(), *play.start()]
    return [_ended(play, context, s) for s in await asyncio.gather(play.sample(context), play.sample(context))]


def _ended(play: Play, context: list[Segment], drawn: Segment) -> Trace:
    return Trace(play.problem, [*context, drawn], end="length" if drawn.info.get("end") == "length" else "stop")


async def episode(play: Play) -> Trace:
    """Turns in the task's environment until it ends.

    Each turn's reward stands on its segment, the state it was taken in too. An episode that outgrows the model's
    context ends there, without success.
    """
    room = play.actors[play.actor].max_context
    world = play.environment()
    world.reset()
    context = play.prompt()
    done = False
    while not done:
        if room and sum(map(len, context)) >= room:
            return Trace(play.problem, context[:-1], end="length", info={"success": False})
        state = world.state
        turn = await play.sample(context)
        turn.state = state
        if turn.info.get("end") == "length":
            return Trace(play.problem, [*context, turn], end="length", info={"success": False})
        observation, turn.reward, done = world.step(turn.text or "")
        context = [*context, turn] if done else [*context, turn, play.say(observation)]
    return Trace(play.problem, context, info={"success": sum(s.reward for s in context) > 0})


def run_programs(
    program: Program | Sequence[Program],
    problems: Sequence[Problem],
    sampling: Sampling,
    *,
    task: Task,
    actors: Mapping[str, Actor],
    actor: str,
    rng: random.Random,
    step: int = 0,
    cost: Cost | None = None,
) -> list[list[Trace]]:
    """Run a program once for every problem (or each problem's own), all at batch speed; each run's traces, in order.

    Seeds are dealt in order from `rng` before anything runs.
    """
    scheduler = Scheduler(actors, cost)

    own = [program] * len(problems) if callable(program) else list(program)

    async def one(program: Program, play: Play) -> list[Trace]:
        out = await program(play)
        traces = out if isinstance(out, list) else [out]
        for trace in traces:
            trace.agent = trace.agent if trace.agent != "policy" else actor
        return traces

    plays = [
        Play(p, task, sampling, actor, random.Random(rng.getrandbits(62)), actors, scheduler, step) for p in problems
    ]
    return scheduler.run([one(program, play) for program, play in zip(own, plays, strict=True)])


def natural(task: Task) -> Program:
    """The program a task asks for: an episode where it has an environment, else one answer."""
    return episode if "environment" in task.gives else answer
