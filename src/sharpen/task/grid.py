"""Walk through a room, in many turns: take the key, open the door, reach the goal."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from sharpen.errors import SharpenError
from sharpen.task.base import RewardSpec
from sharpen.task.procedural import Procedural, share
from sharpen.task.room import ACTIONS, AGENT, DOOR, FLOOR, GOAL, KEY, WALL, Room, RoomWorld, action_of
from sharpen.types import Problem, Trace

HABITS = (("r", "l", 0.7),)
"""A careless teacher mixes up right and left: seven times in ten it says left for right."""


TURNS = (1, 2, 2, 3)
"""How many turns of a walk a lesson shows; each is as likely as it is frequent here."""


@dataclass(frozen=True)
class Grid(Procedural):
    """Sizes are the sides of the square. A turn is one of `u d l r take open`; an episode has `slack` times the turns
    needed.

    With a `door` the room is cut in two by a wall with a closed door in it: the agent and the key are on one side,
    the goal is on the other. Any other cell is a wall with probability `walls`. The worked solution is a shortest
    list of actions, one a turn. `max_tokens` is for one turn. `habits` are what the teacher of `lesson` mixes up: with
    `(("r", "l", 0.6),)` it says `l` for `r` six times in ten.

    `verify` reads what the world left on the trace: the texts and rewards of the trainable segments (one a turn) and
    `trace.info["success"]`; without that entry, a turn that earned 1 is a success.
    """

    low: int = 3
    high: int = 4
    harder_low: int = 5
    harder_high: int = 5
    walls: float = 0.15
    slack: float = 1.5
    door: bool = False
    habits: tuple[tuple[str, str, float], ...] = HABITS

    name = "grid"
    smallest: ClassVar[int] = 3
    largest: ClassVar[int | None] = 20
    falloff: ClassVar[float] = 0.5

    gives = frozenset({"environment", "solution", "steps"})
    rewards = (
        RewardSpec("correct", about="1 when the goal was reached"),
        RewardSpec("format", about="share of turns that name an action"),
        RewardSpec("efficiency", about="turns needed over turns used, where the goal was reached"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        share(self.name, "walls", self.walls, 0.0, 0.5)
        share(self.name, "slack", self.slack, 1.0, 100.0)
        if not isinstance(self.door, bool):
            raise SharpenError(f"Task 'grid': door must be True or False, and it is {self.door!r}.")
        for action, said, chance in self.habits:
            share(self.name, f"the chance of the habit {action!r}", chance)
            if action not in ACTIONS or said not in ACTIONS or action == said:
                raise SharpenError(
                    f"Task 'grid': the habit {action!r} -> {said!r} is not an action and another said for it. Write "
                    f'habits as (("r", "l", 0.6),), with actions out of {", ".join(ACTIONS)}.'
                )
        self.room(8)

    def make(self, size: int, rng: random.Random) -> Problem:
        """A random room, drawn again until it can be solved."""
        while True:
            rows = self.build(size, rng)
            solution = Room(rows).solve()
            if solution is not None and len(solution) >= 2:
                break
        limit = math.ceil(self.slack * len(solution))
        info = {"category": size, "difficulty": len(solution), "rows": rows, "limit": limit}
        prompt = RoomWorld(Room(rows), limit).reset()
        return Problem(f"{self.name}:{'/'.join(rows)}", prompt, None, tuple(solution), info)

    def build(self, size: int, rng: random.Random) -> tuple[str, ...]:
        """A random room that may have no solution."""
        cells = [[WALL if rng.random() < self.walls else FLOOR for _ in range(size)] for _ in range(size)]
        every = [(r, c) for r in range(size) for c in range(size)]
        if self.door:
            cut = rng.randrange(1, size - 1)
            for row in cells:
                row[cut] = WALL
            cells[rng.randrange(size)][cut] = DOOR
            one, other = [(r, c) for r, c in every if c < cut], [(r, c) for r, c in every if c > cut]
            if rng.random() < 0.5:
                one, other = other, one
            agent, key = rng.sample(one, 2)
            cells[key[0]][key[1]] = KEY
            goal = rng.choice(other)
        else:
            agent, goal = rng.sample(every, 2)
        cells[agent[0]][agent[1]] = AGENT
        cells[goal[0]][goal[1]] = GOAL
        if rng.random() < 0.5:
            cells = [list(column) for column in zip(*cells, strict=True)]
        return tuple("".join(row) for row in cells)

    def environment(self, problem: Problem) -> RoomWorld:
        """The problem's room, before anything was done."""
        return RoomWorld(Room(tuple(problem.info["rows"])), problem.info["limit"])

    def verify(self, problem: Problem, trace: Trace) -> Mapping[str, float]:
        """`correct`, `format` and `efficiency` of the turns of an episode."""
        turns = trace.actions
        earned = any(turn.reward >= 1.0 for turn in turns)
        reached = bool(turns) and bool(trace.info.get("success", earned))
        named = sum(action_of(turn.text or "") is not None for turn in turns)
        return {
            "correct": float(reached),
            "format": named / len(turns) if turns else 0.0,
            "efficiency": min(1.0, problem.info["difficulty"] / len(turns)) if reached else 0.0,
        }

    def check_steps(self, problem: Problem, steps: Sequence[str]) -> list[bool]:
        """A turn is valid when it names an action that has an effect where the turns before it have led.

        Turns after the goal was reached are not; the limit does not count.
        """
        room = Room(tuple(problem.info["rows"]))
        place = room.start
        judged = []
        for text in steps:
            action = None if room.at_goal(place) else action_of(text)
            to = place if action is None else room.after(place, action)
            judged.append(to != place)
            place = to
        return judged

    def lesson(self, rng: random.Random) -> tuple[Problem, tuple[str, ...]]:
        """One to three turns of a walk in a room of any size, small ones oftener, none held out.

        The walk has as many turns as are needed there, and the lesson begins anywhere on it: each turn shows the whole
        room, so a short lesson teaches as much a token as a long one. The teacher goes on by a shortest way from where
        it is; by habit, or at the rate `sloppy`, it does something else. The last turn is the lesson's line, and the
        prompt holds those before it as messages.
        """
        problem = self.studied(rng)
        needed = len(problem.solution or ())
        shown = min(needed, rng.choice(TURNS))
        first = rng.randrange(needed - shown + 1)
        world = self.environment(problem)
        said = [{"role": "user", "content": world.reset()}]
        for turn in range(first + shown):
            action = (world.room.solve(world.place) or ACTIONS)[0]
            action = rng.choice(ACTIONS) if rng.random() < self.sloppy else self.habit(action, rng)
            if turn == first + shown - 1:
                break
            seen = {"role": "user", "content": world.step(action)[0]}
            said = [seen] if turn < first else [*said, {"role": "assistant", "content": action}, seen]
        return dataclasses.replace(problem, prompt=said), (action,)

    def habit(self, action: str, rng: random.Random) -> str:
        """What the teacher says this time where it means an action."""
        for meant, said, chance in self.habits:
            if meant == action and rng.random() < chance:
                return said
        return action

    def answer_of(self, text: str) -> str | None:
        """None: an episode has no answer to vote on."""
        return None
