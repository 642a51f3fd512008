"""A reward function of the user's own, in processes of its own, and a task that is judged by it."""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from sharpen.errors import SharpenError
from sharpen.task.base import Environment, Preference, RewardSpec, Task
from sharpen.task.lost import LOST, Tally
from sharpen.task.pool import Failure, Pool
from sharpen.types import Problem, Trace

log = logging.getLogger(__name__)


class UserReward:
    """The function of `path/file.py:function`, called in `workers` processes.

    The function is one of, each sync or async:

        f(text, problem)    -> float | bool | dict of floats
        f(texts, problems)  -> a list of those, one a text (known by its first parameter's name, `texts`)

    `text` is what the model wrote; `problem` has `key`, `prompt`, `answer`, `info`, as attributes and as items
    (values that JSON has no word for arrive as their text, tuples as lists). A batch function gets all items of a
    call of `scores` at once, whatever the number of workers; an async function of single texts runs up to
    `concurrent` of them together in each worker. One call may take `timeout` seconds (a batch is one call); then its
    process is killed, with what it started, and replaced. What the function prints goes to standard error. Names of
    rewards are the keys of the dict, or the name of the function.
    """

    def __init__(self, spec: str, *, workers: int = 1, timeout: float = 10.0, concurrent: int = 64) -> None:
        path, found, name = spec.rpartition(":")
        if not found or not path or not name.isidentifier():
            raise SharpenError(
                f"The reward {spec!r} does not name a function. Write path/file.py:function, for example "
                f"rewards.py:score."
            )
        if not Path(path).is_file():
            raise SharpenError(
                f"There is no file {path!r}, which the reward {spec!r} names. Give the path of a Python file."
            )
        if workers < 1 or concurrent < 1 or not 0 < timeout < 1e6:
            raise SharpenError(
                f"The reward {spec!r} needs at least one worker, one concurrent call and a timeout above 0 s, and "
                f"was given "
                f"workers={workers}, concurrent={concurrent}, timeout={timeout}."
            )
        self.spec = spec
        self.path = path
        self.name = name
        self.concurrent = concurrent
        self.tally = Tally()
        self.pool = Pool(path, name, workers=workers, timeout=timeout, rewards=True)

    def scores(self, items: Sequence[tuple[str, Problem]]) -> list[dict[str, float]]:
        """The named rewards of each (text, problem), in order.

        Raises `SharpenError` about the first item, in order, for which the function fails or returns what is no reward.
        """
        out = []
        for found in self.attempts(items):
            if isinstance(found, SharpenError):
                raise found
            out.append(found)
        return out

    def attempts(
        self, items: Sequence[tuple[str, Problem]], patience: int = 0
    ) -> list[dict[str, float] | SharpenError]:
        """The same; where the function overran or its process died, the error that says so stands for that item.

        After more than `patience` of those the rest may be missing. What the function raises, or returns that is no
        reward, is its author's mistake and raises here too, as do a function that cannot be loaded (again, after a
        process died) and a batch function that overran or died: nobody knows at which of its texts.
        """
        if not items:
            return []
        failure = None if self.pool.kind else self.pool.open()
        if failure is not None:
            raise self._error(failure, None)
        batch = self.pool.kind["batch"]
        size = len(items) if batch else self.concurrent if self.pool.kind["async"] else 1
        known: dict[int, dict[str, float]] = {}
        lost: dict[int, SharpenError] = {}
        # of async calls that ran together one may hold up others or take them along when it dies: what has no value
        # then is asked again, each by itself, to find those that are lost
        for together in (size, 1):
            todo = [i for i in range(len(items)) if i not in known and i not in lost]
            if not todo or len(lost) > patience:
                break
            chunks = [todo[i : i + together] for i in range(0, len(todo), together)]
            calls = [[[items[i][0], _plain(items[i][1])] for i in chunk] for chunk in chunks]
            for chunk, answer in zip(chunks, self.pool.run(calls, patience - len(lost)), strict=False):
                for i, x in zip(chunk, [answer] * len(chunk) if isinstance(answer, Failure) else answer, strict=True):
                    if not isinstance(x, Failure):
                        known[i] = x if isinstance(x, dict) else {self.name: x}
                    elif x.kind in ("raised", "start") or (batch and len(items) > 1):
                        raise self._error(x, items[chunk[x.index]])
                    elif len(chunk) == 1:
                        lost[i] = self._error(x, items[i])
        both = known | lost
        return [both[i] for i in sorted(both)]

    def _error(self, failure: Failure, item: tuple[str, Problem] | None) -> SharpenError:
        at = f", at line {failure.line}" + (f" ({failure.source})" if failure.source else "") if failure.line else ""
        if failure.kind == "start":
            return SharpenError(
                f"The reward function {self.name!r} of {self.path} could not be loaded{at}: {failure.message}. "
                "Mend the file; it must define f(text, problem) or f(texts, problems)."
            )
        what = {
            "raised": f"failed{at}: {failure.message}",
            "timeout": f"{failure.message}{at}, and was stopped",
            "died": f"ended the process it ran in{at}: {failure.message}",
        }[failure.kind]
        todo = {
            "raised": "Make it return a finite number, a bool or a dict of numbers for any text a model may write.",
            "timeout": "Make it faster or bounded, or give it a longer timeout.",
            "died": "Make it survive any text a model may write.",
        }[failure.kind]
        assert item is not None
        text, problem = item
        shown = repr(text[:200]) + (f" (the first 200 of {len(text)} characters)" if len(text) > 200 else "")
        return SharpenError(
            f"The reward function {self.name!r} of {self.path} {what}. The problem was {problem.key!r}, the text "
            f"{shown}. {todo}"
        )

    def close(self) -> None:
        """End the processes; another call of `scores` starts new ones."""
        self.pool.close()

    def __enter__(self) -> UserReward:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _plain(problem: Problem) -> dict[str, Any]:
    """A problem as JSON; what JSON cannot hold becomes its text."""
    fields = {"key": problem.key, "prompt": problem.prompt, "answer": problem.answer, "info": problem.info}
    return {name: _json(value) for name, value in fields.items()}


def _json(value: Any) -> Any:
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if isinstance(value, Mapping):
        return {str(k): _json(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json(v) for v in value]
    return str(value)


@dataclass(frozen=True)
class Rewarded(Task):
    """A task judged also by a user's reward function; make one with `with_reward`.

    A trace solves its problem when the user's `main` reward reaches `threshold`.
    """

    task: Task
    user: UserReward
    names: tuple[str, ...]
    main: str
    threshold: float = 1.0

    def __post_init__(self) -> None:
        user = tuple(RewardSpec(n, float("-inf"), float("inf"), f"{self.user.spec}") for n in self.names)
        object.__setattr__(self, "rewards", (*self.task.rewards, *user))
        for name in ("name", "gives", "splits", "max_tokens"):
            object.__setattr__(self, name, getattr(self.task, name))

    def draw(self, split: str, rng: random.Random) -> Problem:
        """One problem of the task."""
        return self.task.draw(split, rng)

    def fixed(self, split: str, n: int) -> list[Problem]:
        """The fixed problems of the task."""
        return self.task.fixed(split, n)

    def verify(self, problem: Problem, trace: Trace) -> dict[str, float]:
        """The task's rewards and the user's. Raises `SharpenError` when the user's function fails."""
        return self.verify_many([(problem, trace)])[0]

    def verify_many(self, pairs: Sequence[tuple[Problem, Trace]]) -> list[dict[str, float]]:
        """`verify` of every pair, in order, with all workers at once.

        A text on which the function overruns its time, or its process dies, is lost: it gets the least of each of the
        user's rewards among the others, at most 0, and an entry `lost`, is never solved, and is told in the log of
        `sharpen.task.userfn`. `LostError` where more than 1 % are lost, and three at least: of these pairs, or of all
        that the user's function has judged in this process (`Tally`).
        """
        ours = self.task.verify_many(pairs)
        tally = self.user.tally
        theirs = self.user.attempts([(trace.text, problem) for problem, trace in pairs], tally.patience(len(pairs)))
        tally.add(theirs, len(pairs))
        lost = [x for x in theirs if isinstance(x, SharpenError)]
        known = [x for x in theirs if not isinstance(x, SharpenError)]
        for (problem, _), scores in zip(pairs, theirs, strict=True):
            if not isinstance(scores, SharpenError) and set(scores) != set(self.names):
                raise SharpenError(
                    f"The reward function {self.user.name!r} of {self.user.path} gave {', '.join(sorted(scores))} "
                    f"for problem "
                    f"{problem.key!r} and {', '.join(self.names)} before. Return the same names for every text."
                )
        for error in lost:
            log.warning("One text is lost and counts as not solved. %s", error)
        least = {name: min([0.0, *(x[name] for x in known)]) for name in self.names}
        return [
            {**a, **least, LOST: 1.0} if isinstance(b, SharpenError) else {**a, **b}
            for a, b in zip(ours, theirs, strict=True)
        ]

    def lesson(self, rng: random.Random) -> tuple[Problem, tuple[str, ...]]:
        """The task's lesson."""
        return self.task.lesson(rng)

    def identity(self) -> dict[str, Any]:
        """The task's: what its problems and lessons are does not depend on the reward."""
        return self.task.identity()

    def check_steps(self, problem: Problem, steps: Sequence[str]) -> list[bool]:
        """The task's check of single steps."""
        return self.task.check_steps(problem, steps)

    def environment(self, problem: Problem) -> Environment:
        """The task's world."""
        return self.task.environment(problem)

    def pairs(self, split: str) -> Sequence[Preference]:
        """The task's preferences."""
        return self.task.pairs(split)

    def solved(self, rewards: Mapping[str, float]) -> bool:
        """Whether the user's main reward reaches the threshold; a text that was lost solves nothing."""
        return not rewards.get(LOST) and rewards[self.main] >= self.threshold

    def answer_of(self, text: str) -> str | None:
        """The task's final answer of a text."""
        return self.task.answer_of(text)


def with_reward(
    task: Task, user: UserReward, *, names: Sequence[str] = (), main: str | None = None, threshold: float = 1.0
) -> Rewarded:
    """`task` with the user's rewards added and one of them as the main one.

    `names` are those of the rewards, in order; without them the function is asked once, with an empty text and a
    problem of the task, so that a broken function stops a run before it starts. `main` is the one that decides what
    is solved: the only one, or the one named `reward`, or the first. Raises `SharpenError` for names that clash with
    the task's, and for the name `lost` in either, which marks lost texts.
    """
    if not names:
        split = task.splits[0]
        probe = task.fixed(split, 1)
        if not probe:
            raise SharpenError(
                f"Task {task.name!r} has no problem in its split {split!r}, so no reward can be tried on it."
            )
        names = tuple(user.scores([("", probe[0])])[0])
    clash = [n for n in names if any(r.name == n for r in task.rewards)]
    if clash:
        raise SharpenError(
            f"The reward function {user.name!r} of {user.path} gives a reward named {clash[0]!r}, and so does task "
            f"{task.name!r}. "
            "Rename the function, or the key of its dict."
        )
    if LOST in names or any(r.name == LOST for r in task.rewards):
        whose = f"The reward function {user.name!r} of {user.path}" if LOST in names else f"Task {task.name!r}"
        raise SharpenError(
            f"{whose} gives a reward named {LOST!r}, which is the mark of a text that a reward function never came "
            "back from. Give the reward another name: that of the function, or a key of the dict it returns."
        )
    chosen = main or ("reward" if "reward" in names else names[0])
    if chosen not in names:
        raise SharpenError(
            f"The main reward {chosen!r} is not one that {user.name!r} of {user.path} gives: {', '.join(names)}."
        )
    return Rewarded(task, user, tuple(names), chosen, threshold)
