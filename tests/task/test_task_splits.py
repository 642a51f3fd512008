"""What all built-in tasks share: names, fields, splits, fixed sets, characters."""

import itertools
import random
import subprocess
import sys

import pytest

from boxes import BOXED, made
from sharpen.errors import SharpenError
from sharpen.task import Chain, Code, Countdown, Deduce, Digits, Graph, Grid, Points, Taste, Tool, builtin, task
from sharpen.task.procedural import digest

ALL = [made(name) for name in builtin()]
names = pytest.mark.parametrize("one", ALL, ids=[t.name for t in ALL])


def test_names():
    assert list(builtin()) == [
        "chain",
        "code",
        "countdown",
        "deduce",
        "digits",
        "graph",
        "grid",
        "points",
        "taste",
        "tool",
    ]
    assert task("chain", low=2, high=3) == Chain(2, 3)
    kinds = [Chain, Code, Countdown, Deduce, Digits, Graph, Grid, Points, Taste, Tool]
    assert list(builtin().values()) == kinds
    assert [type(task(n)) for n in builtin() if n not in BOXED] == [k for k in kinds if k not in (Code, Tool)]


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: task("chian"), "There is no built-in task 'chian'. Did you mean chain?"),
        (lambda: task("chain", lwo=3), "Task 'chain' has no field 'lwo'. Did you mean low?"),
        (lambda: task("chain", low="3"), "low must be a whole number at least 1, and it is '3'"),
        (lambda: Chain(low=True), "low must be a whole number at least 1, and it is True"),
        (lambda: Chain(low=3, high=2), "low <= high < harder_low <= harder_high, and they are 3, 2, 8, 10"),
        (lambda: Chain(high=8), "and they are 5, 8, 8, 10"),
        (lambda: Graph(harder_high=27), "harder_high must be a whole number from 3 to 26, and it is 27"),
        (lambda: Grid(walls=0.9), "walls must be a number from 0 to 0.5, and it is 0.9"),
        (lambda: Chain(test_share=0), "leaves the train or the test split empty"),
        (lambda: Chain(sloppy=1.5), "sloppy must be a number from 0 to 1"),
        (lambda: Chain().draw("dev", random.Random(0)), "has no split 'dev'. Known: harder, test, train."),
        (lambda: Chain().fixed("train", -1), "n must be a whole number at least 0"),
        (
            lambda: Countdown(2, 2, 3, 3, top=1, ops="+").draw("train", random.Random(0)),
            "none of 20000 problems drawn belongs to the split 'train'",
        ),
    ],
)
def test_what_is_refused(make, told):
    with pytest.raises(SharpenError) as caught:
        make()
    assert told in str(caught.value)


@names
def test_splits_never_meet(one):
    rng = random.Random(1)
    keys = {s: {one.draw(s, rng).key for _ in range(400)} | {p.key for p in one.fixed(s, 100)} for s in one.splits}
    assert list(keys) == ["train", "test"] + ["harder"] * ("latent" not in one.gives)
    assert all(a.isdisjoint(b) for a, b in itertools.combinations(keys.values(), 2))


def test_splits_of_a_small_space_are_all_of_it():
    small = Chain(1, 1, 2, 2)
    found = {s: {p.key for p in small.fixed(s, 1000)} for s in ("train", "test")}
    every = {f"chain:{a}{op}{b}" for a in range(10) for op in "+-*" for b in range(10)}
    assert found["train"] | found["test"] == every
    assert found["train"] & found["test"] == set()
    assert found["test"] == {k for k in every if digest(k) < 0.2 * 2**64}
    assert 40 < len(found["test"]) < 80


def test_other_sizes_leave_the_split_as_it_is():
    rng, wide, narrow = random.Random(2), Chain(1, 9, 10, 10), Chain(3, 3, 4, 4)
    for _ in range(100):
        p = narrow.draw("test", rng)
        assert wide.split_of(p) == "test"


@names
def test_fixed_sets_are_the_same_and_begin_alike(one):
    for split in one.splits:
        some = one.fixed(split, 30)
        assert some == made(one.name).fixed(split, 30)
        assert some[:10] == one.fixed(split, 10)
        assert len({p.key for p in some}) == 30
    assert one.fixed("train", 0) == []


def test_fixed_sets_are_the_same_in_another_process():
    code = "from sharpen.task import task; print([p.key for p in task('chain').fixed('test', 3)])"
    seen = {subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout}
    assert seen == {f"{[p.key for p in Chain().fixed('test', 3)]}\n"}


@names
def test_draws_depend_on_the_generator_alone(one):
    a, b = random.Random(3), random.Random(3)
    random.seed(0)
    first = [one.draw("train", a) for _ in range(10)]
    random.seed(1)
    assert first == [one.draw("train", b) for _ in range(10)]


@names
def test_texts_are_printable_ascii(one):
    rng = random.Random(4)
    for split in one.splits:
        for _ in range(50):
            p = one.draw(split, rng)
            text = p.prompt + "\n".join(p.solution or ())
            assert all(c == "\n" or " " <= c <= "~" for c in text)
            assert p.key.startswith(f"{one.name}:")
            assert isinstance(p.info["category"], int)
            if "latent" in one.gives:
                continue
            assert p.info["difficulty"] == len(p.solution) - ("environment" not in one.gives)


def test_sizes_are_drawn_alike():
    rng, sizes = random.Random(5), []
    for _ in range(600):
        sizes.append(Chain(3, 5, 6, 6).draw("train", rng).info["category"])
    assert all(150 < sizes.count(k) < 250 for k in (3, 4, 5))
