"""A room of square cells as text, with walls, a key, a door and a goal: the rules of the `grid` task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from sharpen.task.base import Environment

WALL, FLOOR, AGENT, KEY, ON_KEY, DOOR, GOAL = "x.@kKDG"
MOVES = {"u": (-1, 0), "d": (1, 0), "l": (0, -1), "r": (0, 1)}
ACTIONS = (*MOVES, "take", "open")


class Place(NamedTuple):
    """Where the agent is, whether it has the key, and whether the door was opened."""

    row: int
    col: int
    key: bool = False
    open: bool = False


@dataclass(frozen=True)
class Room:
    """A room as it is before anything was done: rows of equal length over `x.@kDG`, with one agent and one goal."""

    rows: tuple[str, ...]

    def find(self, sign: str) -> tuple[int, int] | None:
        """The first cell with a sign."""
        return next(((r, row.index(sign)) for r, row in enumerate(self.rows) if sign in row), None)

    @property
    def start(self) -> Place:
        """The agent's first place."""
        at = self.find(AGENT)
        assert at is not None
        return Place(*at)

    def at_goal(self, place: Place) -> bool:
        """Whether the agent stands on the goal."""
        return self.rows[place.row][place.col] == GOAL

    def after(self, place: Place, action: str) -> Place:
        """The place after one of the `ACTIONS`; the same place where it has no effect.

        `take` needs the key underfoot, `open` the key in hand and the closed door in one of the four cells beside.
        """
        here = (place.row, place.col)
        if action == "take":
            return place._replace(key=True) if self.find(KEY) == here else place
        if action == "open":
            door = self.find(DOOR)
            beside = door is not None and abs(door[0] - here[0]) + abs(door[1] - here[1]) == 1
            return place._replace(open=True) if place.key and beside else place
        row, col = here[0] + MOVES[action][0], here[1] + MOVES[action][1]
        if not (0 <= row < len(self.rows) and 0 <= col < len(self.rows[0])):
            return place
        cell = self.rows[row][col]
        free = cell != WALL and (cell != DOOR or place.open)
        return place._replace(row=row, col=col) if free else place

    def picture(self, place: Place) -> str:
        """The room now: a key that was taken is gone, an open door is floor, `K` is the agent on top of the key."""
        out = []
        for r, row in enumerate(self.rows):
            cells = row.replace(AGENT, FLOOR)
            cells = cells.replace(KEY, FLOOR) if place.key else cells
            cells = cells.replace(DOOR, FLOOR) if place.open else cells
            if r == place.row:
                sign = ON_KEY if cells[place.col] == KEY else AGENT
                cells = cells[: place.col] + sign + cells[place.col + 1 :]
            out.append(cells)
        return "\n".join(out)

    def solve(self, place: Place | None = None) -> list[str] | None:
        """A shortest list of actions to the goal, by breadth-first search over places; None where there is none.

        From a place, or from the start.
        """
        first = place or self.start
        actions = ACTIONS if self.find(KEY) else tuple(MOVES)  # without a key the others have no effect
        last = [first]
        came: dict[Place, tuple[Place, str] | None] = {first: None}
        while last:
            ahead = []
            for place in last:
                if self.at_goal(place):
                    return trail(came, place)
                for action in actions:
                    to = self.after(place, action)
                    if to not in came:
                        came[to] = (place, action)
                        ahead.append(to)
            last = ahead
        return None


def trail(came: dict[Place, tuple[Place, str] | None], place: Place) -> list[str]:
    """The actions that led to a place."""
    actions = []
    while (before := came[place]) is not None:
        place, action = before
        actions.append(action)
    return actions[::-1]


def action_of(text: str) -> str | None:
    """The action a turn's text names, blanks and line feeds around it aside; None for any other text."""
    word = text.strip(" \n")
    return word if word in ACTIONS else None


class RoomWorld(Environment):
    """A room one acts in. Every turn counts, at most `limit`; the turn that reaches the goal earns 1, all others 0.

    Observations are the picture of the room; a line `!` before it says that the last text was no action. After the end
    they are empty, and nothing changes any more.
    """

    def __init__(self, room: Room, limit: int) -> None:
        self.room = room
        self.limit = limit
        self.place = room.start
        self.left = limit

    @property
    def over(self) -> bool:
        """Whether the goal was reached or no turn is left."""
        return self.left == 0 or self.room.at_goal(self.place)

    def reset(self) -> str:
        """The room before anything was done."""
        self.place, self.left = self.room.start, self.limit
        return self.room.picture(self.place)

    def step(self, text: str) -> tuple[str, float, bool]:
        """One turn."""
        if self.over:
            return "", 0.0, True
        self.left -= 1
        action = action_of(text)
        if action is not None:
            self.place = self.room.after(self.place, action)
        if self.over:
            return "", float(self.room.at_goal(self.place)), True
        warning = "!\n" if action is None else ""
        return warning + self.room.picture(self.place), 0.0, False

    @property
    def state(self) -> tuple[tuple[str, ...], Place, int]:
        """The room, the agent's place, and the turns left. Without the last, situations of different turns are one."""
        return self.room.rows, self.place, self.left

    def copy(self) -> RoomWorld:
        """Another world in the same state."""
        other = RoomWorld(self.room, self.limit)
        other.place, other.left = self.place, self.left
        return other
