"""Validation: built-in tasks pass, broken ones fail in the right place; every verifier is fuzzed."""

import random
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boxes import BOXED
from sharpen.errors import SharpenError
from sharpen.task import Chain, Grid, builtin
from sharpen.task.base import RewardSpec
from sharpen.task.checks import in_range
from sharpen.task.room import RoomWorld
from sharpen.task.text import said
from sharpen.task.validate import validate
from sharpen.task.worlds import played

TEXTS = [
    kind() for n, kind in builtin().items() if n not in ("taste", *BOXED) and not {"environment", "latent"} & kind.gives
]
LATENTS = {name for name, kind in builtin().items() if "latent" in kind.gives}
PROBLEMS = {t.name: t.fixed("train", 4) for t in TEXTS}


def outcome(task, n=20):
    report = validate(task, n, rng=random.Random(0))
    return report, {c.name: c for c in report.checks}


@pytest.mark.parametrize("name", [n for n in builtin() if n not in BOXED])
def test_built_in_tasks_pass(name):
    report, checks = outcome(builtin()[name](), 30)
    assert report.passed, report.text()
    # latents have no tokens, and taste no steps
    assert name == "taste" or all(c.passed or (c.name == "room" and name in LATENTS) for c in report.checks)
    if name == "grid":
        assert list(checks) == [
            "splits",
            "repeats",
            "room",
            "oracle",
            "idle",
            "garbage",
            "long texts",
            "copies",
            "steps",
        ]
    elif name in LATENTS:
        own = ["targets", "other targets", "words", "odd latents", "noise", "examples"]
        assert list(checks) == ["splits", "repeats", "room", *own]
        assert checks["room"].passed is None
        assert checks["words"].figures["main"] == 0
    elif name != "taste":
        assert checks["empty"].figures["main"] == 0
        assert checks["shuffled lines"].figures["main"] == 0
        assert checks["bare answer"].figures["correct"] == 1
        assert checks["bare answer"].figures["steps"] == 0
        assert checks["long texts"].figures["tried"] == 12


def broken(task):
    return {c.name for c in outcome(task)[0].checks if c.passed is False}


class Lenient(Chain):
    """Takes the last digit of any text for an answer."""

    def verify(self, problem, trace):
        digits = [c for c in trace.text if c.isdigit()]
        right = bool(digits) and digits[-1] == problem.answer
        return {"correct": float(right), "format": 1.0, "steps": float(right)}


class Generous(Chain):
    """Gives more than its range allows."""

    def verify(self, problem, trace):
        return {**super().verify(problem, trace), "steps": float(len(trace.text))}


class Fragile(Chain):
    """Raises for what is no number."""

    def verify(self, problem, trace):
        int(trace.text.rpartition("#")[2] or 0)
        return super().verify(problem, trace)


class Blind(Chain):
    """Finds every step valid."""

    def check_steps(self, problem, steps):
        return [True] * len(steps)


class Mixed(Chain):
    """Draws whatever comes, in every split."""

    def draw(self, split, rng):
        return self.make(1, rng)


class Fickle(Chain):
    """Draws from a generator of its own."""

    def draw(self, split, rng):
        return super().draw(split, random.SystemRandom())


class Wrong(Chain):
    """Writes wrong solutions."""

    def make(self, size, rng):
        p = super().make(size, rng)
        return replace(p, solution=(*p.solution[:-1], "#x"))


class Tight(Chain):
    """Leaves too little room."""

    def __post_init__(self):
        super().__post_init__()
        self.room(5)


class Stuck(Chain):
    """Draws nothing."""

    def draw(self, split, rng):
        raise ValueError("no luck")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (Lenient, {"shuffled lines", "shuffled steps"}),
        (Generous, {"bare answer", "garbage", "long texts"}),
        (Fragile, {"empty", "garbage", "long texts"}),
        (Blind, {"steps"}),
        (Mixed, {"splits"}),
        (Fickle, {"repeats"}),
        (Wrong, {"gold", "steps"}),
        (Tight, {"room", "lessons"}),
        (Stuck, {"draw"}),
    ],
)
def test_what_is_broken_is_found(kind, expected):
    task = kind()
    got = broken(task)
    assert expected <= got
    if kind in (Blind, Fickle, Tight, Stuck):
        assert got == expected


class Shared(RoomWorld):
    """A copy that is the same world."""

    def copy(self):
        return self


@dataclass(frozen=True)
class Twins(Grid):
    """Worlds that cannot be copied."""

    def environment(self, problem):
        world = super().environment(problem)
        return Shared(world.room, world.limit)


def test_copies_that_share_are_found():
    report, checks = outcome(Twins())
    assert [c.name for c in report.checks if c.passed is False] == ["copies"]
    assert "'independent': False" in checks["copies"].example


def test_report_says_what_broke():
    report, _ = outcome(Stuck())
    assert report.text() == "task chain: FAILED\nFAIL draw: problems can be drawn\n     e.g. ValueError: no luck"
    assert not report.passed
    assert "FAIL room: " in outcome(Tight())[0].text()


@dataclass(frozen=True)
class Plain(Chain):
    """A task with answers alone."""

    gives = frozenset({"answer"})
    splits = ("train",)
    rewards = (RewardSpec("correct"),)

    def make(self, size, rng):
        return replace(super().make(size, rng), solution=None)

    def verify(self, problem, trace):
        return {"correct": super().verify(problem, trace)["correct"]}


def test_what_does_not_apply_is_left_out():
    report, _ = outcome(Plain())
    assert report.passed
    assert {c.name for c in report.checks if c.passed is None} == {
        "room",
        "gold",
        "shuffled lines",
        "shuffled steps",
        "other solution",
        "bare answer",
        "steps",
    }


def test_validation_repeats():
    def figures():
        return [
            (c.name, c.passed, {k: v for k, v in c.figures.items() if "seconds" not in k})
            for c in outcome(Chain())[0].checks
        ]

    assert figures() == figures()


def test_too_few_problems_are_refused():
    with pytest.raises(SharpenError, match="at least 2 problems of each split, and n is 1"):
        validate(Chain(), 1, rng=random.Random(0))


pieces = st.one_of(
    st.text(max_size=20),
    st.text(alphabet="0123456789+-*/=()#\n", max_size=30),
    st.text(alphabet="abcABC->#\n ,;?", max_size=30),
    st.sampled_from(["#", "\n", "#yes", "#no", "٣", "７", "²", "-0", "00", "9" * 5000, "\u2028", "\ud800", "\x00"]),
)


@pytest.mark.parametrize("task", TEXTS, ids=[t.name for t in TEXTS])
@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_verifiers_take_any_text(task, data):
    p = data.draw(st.sampled_from(PROBLEMS[task.name]))
    parts = data.draw(st.lists(st.one_of(pieces, st.sampled_from([*p.solution, p.prompt])), max_size=8))
    text = data.draw(st.sampled_from(["\n", ""])).join(parts)
    rewards = task.verify(p, said(p, text))
    assert in_range(task, rewards)
    assert rewards["correct"] in (0.0, 1.0)
    assert rewards["format"] in (0.0, 1.0)
    vote = task.answer_of(text)
    # a right answer can be voted for, and counts whatever else was written
    if rewards["correct"]:
        assert vote is not None
        assert task.right(p, vote)
        assert text.count("#") == 1
    judged = task.check_steps(p, text.split("\n"))
    assert len(judged) == text.count("\n") + 1
    if all(judged) and len(judged) == len(p.solution) and "#" in text:
        assert rewards == {r.name: 1.0 for r in task.rewards}


@settings(max_examples=100, deadline=None)
@given(turns=st.lists(st.one_of(pieces, st.sampled_from(["u", "d", "l", "r", "take", "open", "u\n"])), max_size=30))
def test_worlds_take_any_text(turns):
    task = Grid()
    p = task.fixed("train", 1)[0]
    trace = played(p, task.environment(p), turns)
    rewards = task.verify(p, trace)
    assert in_range(task, rewards)
    assert rewards["correct"] == any(s.reward == 1.0 for s in trace.actions)
    assert len(task.check_steps(p, turns)) == len(turns)
