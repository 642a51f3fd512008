"""Grids: rules by hand, rewards of played traces, shortest solutions by another search."""

import random

import pytest

from sharpen.errors import SharpenError
from sharpen.task import Grid
from sharpen.task.room import Place, Room, RoomWorld
from sharpen.task.text import said
from sharpen.task.worlds import played
from sharpen.types import Problem

TASK = Grid(4, 5, 6, 7, slack=3.0, door=True)
ROWS = ("@.x.", "k.DG", "..x.", "..x.")
SHORTEST = ("d", "take", "r", "open", "r", "r")
ROOM = Problem(
    "grid:" + "/".join(ROWS),
    "\n".join(ROWS),
    None,
    SHORTEST,
    {"category": 4, "difficulty": 6, "rows": ROWS, "limit": 18},
)


def rewards(turns):
    return TASK.verify(ROOM, played(ROOM, TASK.environment(ROOM), turns))


@pytest.mark.parametrize(
    ("turns", "correct", "form", "efficiency"),
    [
        (SHORTEST, 1, 1, 1),
        (["d\n", " take ", "r", "open", "r", "r"], 1, 1, 1),
        (["d", "fly", "take", "r", "open", "r", "r"], 1, 6 / 7, 6 / 7),
        (["u", "l", *SHORTEST], 1, 1, 6 / 8),
        (["d", "take", "r", "r", "r"], 0, 1, 0),
        (["d", "r", "open", "r", "r"], 0, 1, 0),
        (["d", "take", "open", "r", "r", "r"], 0, 1, 0),
        (["u"] * 17 + list(SHORTEST), 0, 1, 0),
        (["u"] * 12 + list(SHORTEST), 1, 1, 6 / 18),
        (["u"] * 13 + list(SHORTEST), 0, 1, 0),
        (["U", "take open", "", "d d", "١"], 0, 0, 0),
        ([], 0, 0, 0),
    ],
)
def test_rewards(turns, correct, form, efficiency):
    assert rewards(turns) == {
        "correct": correct,
        "format": pytest.approx(form),
        "efficiency": pytest.approx(efficiency),
    }


def test_success_is_what_the_trace_says_else_what_turns_earned():
    trace = said(ROOM, *SHORTEST)
    assert TASK.verify(ROOM, trace)["correct"] == 0
    trace.actions[-1].reward = 1.0
    assert TASK.verify(ROOM, trace)["correct"] == 1
    trace.info["success"] = False
    assert TASK.verify(ROOM, trace)["correct"] == 0
    assert TASK.verify(ROOM, said(ROOM)) == {"correct": 0, "format": 0, "efficiency": 0}


def test_what_is_seen_turn_by_turn():
    world = TASK.environment(ROOM)
    assert world.reset() == "@.x.\nk.DG\n..x.\n..x."
    assert world.step("d") == ("..x.\nK.DG\n..x.\n..x.", 0.0, False)
    assert world.step("jump") == ("!\n..x.\nK.DG\n..x.\n..x.", 0.0, False)
    assert world.step("take") == ("..x.\n@.DG\n..x.\n..x.", 0.0, False)
    assert world.step("r") == ("..x.\n.@DG\n..x.\n..x.", 0.0, False)
    assert world.step("r") == ("..x.\n.@DG\n..x.\n..x.", 0.0, False)
    assert world.step("open") == ("..x.\n.@.G\n..x.\n..x.", 0.0, False)
    assert world.step("r") == ("..x.\n..@G\n..x.\n..x.", 0.0, False)
    assert world.state == (ROWS, Place(1, 2, True, True), 11)
    assert world.step("r") == ("", 1.0, True)
    assert world.step("l") == ("", 0.0, True)
    assert world.state == (ROWS, Place(1, 3, True, True), 10)


def test_the_limit_ends_the_episode():
    world = RoomWorld(Room(ROWS), 2)
    assert [world.step("u")[1:], world.step("u")[1:], world.step("d")[1:]] == [(0.0, False), (0.0, True), (0.0, True)]


def test_copies_go_their_own_way():
    world = TASK.environment(ROOM)
    world.step("d")
    other = world.copy()
    assert other.state == world.state
    world.step("take")
    assert other.state == (ROWS, Place(1, 0, False, False), 17)
    other.step("take")
    assert other.state == world.state
    assert hash(other.state) == hash(world.state)


@pytest.mark.parametrize(
    ("turns", "valid"),
    [
        (SHORTEST, [True] * 6),
        (["u", "d", "take", "take"], [False, True, True, False]),
        (["d", "open", "r", "r"], [True, False, True, False]),
        ([*SHORTEST, "l"], [True] * 6 + [False]),
        (["go", "d\n"], [False, True]),
    ],
)
def test_steps(turns, valid):
    assert TASK.check_steps(ROOM, turns) == valid


def distance(rows):
    """Turns needed from the start to the goal, by relaxing all situations until nothing changes."""
    cells = {(r, c): s for r, row in enumerate(rows) for c, s in enumerate(row) if s != "x"}
    start, goal = (next(at for at, s in cells.items() if s == sign) for sign in "@G")
    far = {(start, 0): 0}  # stages: 0 without key, 1 with key, 2 with the door open
    while True:
        before = dict(far)
        for (at, stage), cost in before.items():
            near = [(at[0] + 1, at[1]), (at[0] - 1, at[1]), (at[0], at[1] + 1), (at[0], at[1] - 1)]
            options = [(n, stage) for n in near if n in cells and (cells[n] != "D" or stage == 2)]
            options += [(at, 1)] if cells[at] == "k" and stage == 0 else []
            options += [(at, 2)] if stage == 1 and any(cells.get(n) == "D" for n in near) else []
            for option in options:
                far[option] = min(far.get(option, 10**9), cost + 1)
        if far == before:
            return min((cost for (at, _), cost in far.items() if at == goal), default=None)


@pytest.mark.parametrize("task", [TASK, Grid(low=3, high=4, harder_low=5, harder_high=5, slack=3.0, walls=0.3)])
def test_solutions_are_shortest(task):
    rng = random.Random(1)
    for split in task.splits:
        for _ in range(25):
            p = task.draw(split, rng)
            rows = p.prompt.split("\n")
            assert p.key == "grid:" + "/".join(rows)
            assert len(p.solution) == distance(rows) == p.info["difficulty"]
            assert p.info["limit"] == 3 * len(p.solution)
            assert len(rows) == len(rows[0]) == p.info["category"]
            assert ("D" in p.prompt, "k" in p.prompt) == (task.door, task.door)
            trace = played(p, task.environment(p), p.solution)
            assert task.verify(p, trace) == {"correct": 1, "format": 1, "efficiency": 1}


def test_a_room_without_a_way_has_no_solution():
    assert Room(("@x", "xG")).solve() is None
    assert Room(("@.", "DG")).solve() == ["r", "d"]


def begun(p):
    """The world of a lesson without a door where the lesson begins: its first message is the picture of that place."""
    world = TASK.environment(p)
    rows = p.prompt[0]["content"].split("\n")
    world.place = next(Place(r, row.index("@")) for r, row in enumerate(rows) if "@" in row)
    assert p.prompt[0] == {"role": "user", "content": world.room.picture(world.place)}
    return world


def test_lessons_without_slips_are_stretches_of_worked_solutions():
    rng = random.Random(2)
    for _ in range(100):
        p, shown = Grid(sloppy=0.0, habits=()).lesson(rng)
        done = [m["content"] for m in p.prompt if m["role"] == "assistant"]
        world = TASK.environment(p)
        pictures = [world.reset(), *(world.step(turn)[0] for turn in p.solution)]
        first = pictures.index(p.prompt[0]["content"])
        assert (*done, *shown) == p.solution[first : first + len(done) + 1]


def test_habits_are_said_at_their_own_rate():
    rng, meant = random.Random(3), []
    for _ in range(400):
        p, shown = Grid(sloppy=0.0, habits=(("r", "take", 0.6),)).lesson(rng)
        said = [*(m["content"] for m in p.prompt if m["role"] == "assistant"), *shown]
        world = begun(p)
        for turn in said:
            best = world.room.solve(world.place)[0]
            assert turn == best or (best, turn) == ("r", "take")
            meant += [turn] if best == "r" else []
            world.step(turn)
    assert 0.54 < meant.count("take") / len(meant) < 0.66


@pytest.mark.parametrize("habit", [("r", "r", 0.5), ("r", "jump", 0.5), ("x", "l", 0.5), ("r", "l", 1.5)])
def test_habits_that_are_none_are_refused(habit):
    with pytest.raises(SharpenError, match=f"habit '{habit[0]}'"):
        Grid(habits=(habit,))


def test_no_votes():
    assert TASK.answer_of("u") is None
