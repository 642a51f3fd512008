"""What a model made from scratch is taught: sizes, nothing held out, answers the verifier reads, stable identities."""

import json
import random
from collections import Counter
from pathlib import Path

import pytest

from boxes import made
from sharpen.actor.nano import CHARACTERS, SPECIAL, _encoded, legible
from sharpen.errors import SharpenError
from sharpen.task import Graph, Grid, builtin
from sharpen.task.extract import RULES, shortest
from sharpen.task.files import Files
from sharpen.task.room import Place
from sharpen.task.text import said
from sharpen.task.userfn import UserReward, with_reward
from sharpen.types import Problem

ROOT = Path(__file__).parents[2]
CODE = {c: i for i, c in enumerate([*SPECIAL, *CHARACTERS])}


@pytest.mark.parametrize("name", [name for name, kind in builtin().items() if "latent" not in kind.gives])
def test_lessons_have_all_sizes_small_ones_oftener_and_nothing_held_out(name):
    task, rng = made(name), random.Random(0)
    seen = [task.lesson(rng)[0] for _ in range(1000)]
    assert not any(task.held_out(p) for p in seen)
    sizes = [p.info["category"] for p in seen]
    found = range(task.simplest, task.harder_high + 1)
    assert sorted(set(sizes)) == list(found)
    every = sum(task.falloff**k for k in range(len(found)))
    for k, size in enumerate(found):
        assert sizes.count(size) / 1000 == pytest.approx(task.falloff**k / every, abs=0.08)
    assert all(task.held_out(p) for split in ("test", "harder") for p in task.fixed(split, 50))


def test_what_is_held_out_of_the_larger_sizes_is_harder_and_the_rest_in_no_split():
    task, rng = builtin()["chain"](), random.Random(1)
    places = [(task.held_out(p), task.split_of(p)) for p in (task.make(9, rng) for _ in range(300))]
    assert set(places) == {(True, "harder"), (False, None)}
    assert 40 <= places.count((True, "harder")) <= 80


def test_lessons_of_a_graph_begin_where_its_density_is_possible():
    # four nodes have six edges, 1.5 a node; one pair must be left without: 1.25. Three nodes: 2/3
    assert [Graph(low=5, density=d, high=5, harder_low=6, harder_high=6).simplest for d in (0.5, 0.7, 1.25, 1.3)] == [
        3,
        4,
        4,
        5,
    ]


def test_the_teacher_of_a_grid_goes_on_from_where_a_slip_led():
    task, rng, slips, every = Grid(sloppy=0.5, habits=()), random.Random(2), 0, 0
    shown, begun = Counter(), 0
    for _ in range(200):
        p, last = task.lesson(rng)
        turns = [m["content"] for m in p.prompt if m["role"] == "assistant"] + list(last)
        world = task.environment(p)
        picture = p.prompt[0]["content"]
        begun += picture == world.reset()
        rows = picture.split("\n")
        world.place = next(Place(r, row.index("@")) for r, row in enumerate(rows) if "@" in row)
        assert world.room.picture(world.place) == picture
        shown[len(turns)] += 1
        seen = []
        for turn in turns:
            best = len(world.room.solve(world.place))
            seen.append(world.step(turn)[0])
            slips += len(world.room.solve(world.place)) != best - 1
        assert [m["content"] for m in p.prompt if m["role"] == "user"][1:] == seen[:-1]
        every += len(turns)
    assert 0.5 * 0.6 < slips / every < 0.5  # most of the six actions do not lead on
    # a quarter, a half and a quarter, but a room that needs two turns shows no third
    assert sorted(shown) == [1, 2, 3]
    assert 35 <= shown[1] <= 65
    assert shown[3] < 50 < shown[2]
    assert 40 < begun < 160  # the others begin further on


def test_lessons_of_a_grid_with_a_door_reach_every_part_of_the_walk():
    task, rng = Grid(door=True, habits=(), sloppy=0.0), random.Random(3)
    taught = Counter(task.lesson(rng)[1][0] for _ in range(300))
    assert taught["take"] > 15
    assert taught["open"] > 15


def test_the_shortest_text_that_states_an_answer():
    assert shortest("7") == "#7"
    assert shortest("7", ("tag",)) == "<answer>7</answer>"
    assert shortest("#7", ("tag", "#")) == "<answer>#7</answer>"
    assert shortest("a\nb", ("#", "phrase")) is None
    assert shortest(" 7 ", RULES) == "# 7 "


def rows(path, n=40, answer="answer"):
    path.write_text("".join(json.dumps({"prompt": f"{i}+1?", answer: i + 1}) + "\n" for i in range(n)))
    return str(path)


def test_lessons_of_a_file_are_answers_its_rules_read(tmp_path):
    for rules, form in ((RULES, "#{}"), (("boxed", "tag"), "\\boxed{{{}}}")):
        task, rng, right = Files(rows(tmp_path / "a.jsonl"), rules=rules), random.Random(3), 0
        for _ in range(400):
            p, shown = task.lesson(rng)
            verdict = task.verify(p, said(p, "\n".join(shown)))["correct"]
            assert verdict == (shown == (form.format(p.answer),))
            assert p in task.fixed("train", 99)
            right += verdict
        assert 280 <= right <= 330  # three in four, and one in thirty-six of the rest


def test_a_file_is_known_by_its_rows(tmp_path):
    one, same, other = (
        Files(rows(tmp_path / "a.jsonl")),
        Files(rows(tmp_path / "b.jsonl"), workers=2),
        Files(rows(tmp_path / "c.jsonl", 41)),
    )
    known = one.identity()
    one.judge.rewards([])
    assert one.identity() == known == {**same.identity(), "name": "a.jsonl"}
    assert other.identity()["rows"] != known["rows"]
    assert Files(one.path, rules=("tag",)).identity() != known


def test_a_reward_of_ones_own_leaves_lessons_and_identity_as_they_are():
    plain = builtin()["chain"]()
    with UserReward(f"{ROOT / 'examples' / 'reward.py'}:tidy") as user:
        task = with_reward(plain, user)
        assert task.identity() == plain.identity()
        assert task.lesson(random.Random(4)) == plain.lesson(random.Random(4))
        p = plain.fixed("test", 1)[0]
        texts = (f"#{p.answer}", "\n".join(p.solution), "#x", "", f"{p.answer}", f"1\n2\n3\n#{p.answer}")
        assert [task.verify(p, said(p, t))["tidy"] for t in texts] == [1, 0, 0, 0, 0, 1]
        assert [task.solved(task.verify(p, said(p, t))) for t in texts] == [True, False, False, False, False, True]


def test_the_example_file_is_what_it_says():
    path = ROOT / "examples" / "problems.jsonl"
    task = Files(str(path))
    assert path.stat().st_size < 40_000
    assert [len(task.fixed(s, 999)) for s in task.splits] == [len(task.table.splits[s]) for s in ("train", "test")]
    for p in (*task.fixed("train", 999), *task.fixed("test", 999)):
        (a, b), (c, d) = (map(int, x) for x in p.prompt[:-1].split("+"))
        assert p.answer == str(10 * (a + c) + b + d)
        low, carry = b + d, (b + d) // 10
        assert p.solution == (f"{b}+{d}={low}", f"{a}+{c}+{carry}={a + c + carry}", f"#{p.answer}")


@pytest.mark.parametrize(
    ("prompt", "answer", "told"),
    [
        ("é?", "1", "has the character 'é', and it knows printable ASCII and line feeds only"),
        ("1?", "½", "has the character '½'"),
        ("a\tb", "1", r"has the character '\\t'"),
        ("x" * 600, "1", "has a prompt of 602 characters, and its context holds 512"),
    ],
)
def test_what_a_nano_model_cannot_read_is_refused(tmp_path, prompt, answer, told):
    path = tmp_path / "odd.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"{prompt}{i}", "answer": answer}) + "\n" for i in range(9)))
    with pytest.raises(SharpenError, match=rf"cannot read task 'odd.jsonl': problem 'odd.jsonl/.*' .* {told}"):
        legible(Files(str(path)), 512)


def test_all_turns_of_the_assistant_are_learnt():
    talk = [
        {"role": "user", "content": "ab"},
        {"role": "assistant", "content": "c"},
        {"role": "user", "content": "d"},
    ]
    ids, labels = _encoded(Problem("p", talk), ("e", "f"), CODE, 99)
    a, b, c, d, e, f, new = (CODE[x] for x in "abcdef\n")
    assert ids == [1, a, b, new, c, 2, d, new, e, new, f, 2]
    assert labels == [-100, -100, -100, -100, c, 2, -100, -100, e, new, f, 2]
    assert _encoded(Problem("p", "ab"), ("c",), CODE, 5) == ([1, a, b, new, c], [-100] * 4 + [c])
