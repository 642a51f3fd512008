"""Graphs: hand-checked rewards and steps, and a solver of its own."""

import random
from itertools import pairwise, permutations

import pytest

from sharpen.errors import SharpenError
from sharpen.task import Graph
from sharpen.task.text import said
from sharpen.types import Problem

TASK, ARROWS = Graph(), Graph(directed=True)
# A-B-D-E and A-C-D-E are the ways from A to E
WEB = Problem(
    "graph:A-B A-C B-D C-D D-E,AE",
    "A-B A-C B-D C-D D-E,AE?",
    "ABDE",
    ("A-B", "B-D", "D-E", "#ABDE"),
    {"category": 5, "difficulty": 3, "edges": ("A-B", "A-C", "B-D", "C-D", "D-E"), "start": "A", "goal": "E"},
)
# C>A makes a ring; D>A leads back
RING = Problem(
    "graph:A>B B>C C>A C>D D>A,AD",
    "A>B B>C C>A C>D D>A,AD?",
    "ABCD",
    ("A>B", "B>C", "C>D", "#ABCD"),
    {"category": 4, "difficulty": 3, "edges": ("A>B", "B>C", "C>A", "C>D", "D>A"), "start": "A", "goal": "D"},
)


@pytest.mark.parametrize(
    ("task", "problem", "text", "correct", "form", "steps"),
    [
        (TASK, WEB, "A-B\nB-D\nD-E\n#ABDE", 1, 1, 1),
        (TASK, WEB, "A-C\nC-D\nD-E\n#ACDE", 1, 1, 1),
        (TASK, WEB, "#ACDE", 1, 1, 0),
        (TASK, WEB, "A-B\nB-D\n#ABDE", 1, 1, 2 / 3),
        (TASK, WEB, "A-B\nB-D\nD-E", 0, 0, 1),
        (TASK, WEB, "A-E\n#AE", 0, 1, 0),
        (TASK, WEB, "A-B\nB-D\nD-C\nC-A\n#ABDCA", 0, 1, 1),
        (TASK, WEB, "#ABDCDE", 0, 1, 0),
        (TASK, WEB, "#BDE", 0, 1, 0),
        (TASK, WEB, "#ABD", 0, 1, 0),
        (TASK, WEB, "#EDBA", 0, 1, 0),
        (TASK, WEB, "#abde", 0, 0, 0),
        (TASK, WEB, "#A-B-D-E", 0, 0, 0),
        (TASK, WEB, "#ABDE\n#ACDE", 0, 0, 0),
        (TASK, WEB, "#АBDE", 0, 0, 0),  # the first letter is Cyrillic
        (TASK, WEB, "#" + "AB" * 50_000, 0, 0, 0),
        (TASK, WEB, "A>B\n#ABDE", 1, 0, 0),
        (ARROWS, RING, "A>B\nB>C\nC>D\n#ABCD", 1, 1, 1),
        (ARROWS, RING, "A>D\n#AD", 0, 1, 0),
        (ARROWS, RING, "A-B\n#ABCD", 1, 0, 0),
    ],
)
def test_rewards(task, problem, text, correct, form, steps):
    got = task.verify(problem, said(problem, text))
    assert got == {"correct": correct, "format": form, "steps": pytest.approx(steps)}


@pytest.mark.parametrize(
    ("steps", "valid"),
    [
        (WEB.solution, [True] * 4),
        (["A-C", "C-D", "D-E", "#ABDE"], [True, True, True, False]),
        (["A-D", "D-E", "#ADE"], [False, True, True]),
        (["A-B", "A-C", "C-D"], [True, False, True]),
        (["A-B", "B-A"], [True, False]),
        (["A-B", "B-D", "D-C", "C-A"], [True, True, True, False]),
        (["A-B", "B-D", "D-E", "E-D"], [True, True, True, False]),
        (["B-D"], [False]),
        (["A-B", "hm", "B-D"], [True, False, True]),
        (["A-B", "#AB"], [True, False]),
    ],
)
def test_steps(steps, valid):
    assert TASK.check_steps(WEB, steps) == valid


def all_ways(problem):
    """Every simple way from start to goal, by trying all orders of all nodes."""
    edges, ends = problem.prompt[:-1].split(",")
    pairs = {(e[0], e[2]) for e in edges.split()} | {(e[2], e[0]) for e in edges.split() if e[1] == "-"}
    nodes = sorted({n for pair in pairs for n in pair} - set(ends))
    for k in range(len(nodes) + 1):
        for middle in permutations(nodes, k):
            way = ends[0] + "".join(middle) + ends[1]
            if all(pair in pairs for pair in pairwise(way)):
                yield way


@pytest.mark.parametrize("task", [TASK, ARROWS])
def test_solutions_are_shortest_ways_and_every_way_is_right(task):
    rng = random.Random(1)
    for _ in range(30):
        p = task.draw("test", rng)
        ways = list(all_ways(p))
        assert p.answer in ways
        assert len(p.answer) == min(map(len, ways)) == p.info["difficulty"] + 1 >= 3
        assert len({c for c in p.prompt if c.isupper()}) == p.info["category"]
        for way in ways:
            steps = [f"{a}{'>' if task.directed else '-'}{b}" for a, b in pairwise(way)]
            assert task.check_steps(p, [*steps, f"#{way}"]) == [True] * (len(steps) + 1)
            assert task.verify(p, said(p, "\n".join([*steps, f"#{way}"]))) == {"correct": 1, "format": 1, "steps": 1}


def test_corrupt_jumps_where_no_edge_leads_and_goes_on():
    rng, jumps, clean = random.Random(2), 0, 0
    problems = TASK.fixed("train", 200)
    for p in problems:
        assert TASK.check_steps(p, TASK.corrupt(p, rng, 1.0))[0] is False
        assert TASK.corrupt(p, rng, 0.0) == p.solution
        got = TASK.corrupt(p, rng, 0.3)
        path = got[-1][1:]
        assert got[:-1] == tuple(f"{a}-{b}" for a, b in pairwise(path))
        valid = TASK.check_steps(p, got)
        jumps += valid[0] is False
        clean += got == p.solution
    assert 0.22 < jumps / len(problems) < 0.38
    assert 0.2 < clean / len(problems) < 0.6


def test_too_many_edges_are_refused():
    with pytest.raises(SharpenError, match=r"density \(edges a node\) must be a number from 0.5 to 1.25"):
        Graph(low=4, density=3.0)
