"""reasoning-gym data sets as tasks."""

import logging
import random
from collections.abc import Iterator

import pytest
import torch

from sharpen.errors import SharpenError
from sharpen.task.gym import Gym, gym_names
from sharpen.task.resolve import task_of
from sharpen.types import Problem, Segment, Trace


def trace_of(problem: Problem, text: str) -> Trace:
    said = Segment(torch.zeros(1, dtype=torch.long), trainable=True, text=text)
    return Trace(problem, [Segment(torch.zeros(1, dtype=torch.long), text=f"#{problem.answer}"), said])


@pytest.fixture(scope="module")
def equations() -> Iterator[Gym]:
    task = Gym("simple_equations", level=0, size=400)
    yield task
    task.pool.close()


def test_splits_are_disjoint_and_the_same_again(equations: Gym) -> None:
    assert equations.splits == ("train", "test", "harder")
    assert equations.gives == {"answer"}
    sets = {s: {p.prompt for p in equations.fixed(s, 40)} for s in equations.splits}
    assert [len(x) for x in sets.values()] == [40, 40, 40]
    assert not sets["train"] & sets["test"]
    assert not sets["harder"] & (sets["train"] | sets["test"])
    again = Gym("simple_equations", level=0, size=400)
    assert again.fixed("test", 5) == equations.fixed("test", 5)
    again.pool.close()
    rng = random.Random(0)
    drawn = [equations.draw("train", rng) for _ in range(10)]
    assert drawn == [equations.draw("train", random.Random(0)), *drawn[1:]]
    assert not {p.prompt for p in drawn} & sets["test"]


def test_a_harder_level_has_larger_numbers(equations: Gym) -> None:
    answers = [int(p.answer) for p in equations.fixed("test", 30)]
    harder = [int(p.answer) for p in equations.fixed("harder", 30)]
    assert max(answers) <= 100  # level 0: values 1..100
    assert max(harder) > 100  # level 1: 10..10000
    assert all(p.info["level"] == 1 for p in equations.fixed("harder", 30))


def test_rewards_and_where_the_answer_stands(equations: Gym) -> None:
    problem = equations.fixed("test", 1)[0]
    texts = [
        f"<answer>{problem.answer}</answer>",
        f"some work\n#{problem.answer}",
        f"<answer>{problem.answer}</answer>\n#-1",  # the tag wins
        "<answer>-1</answer>",
        f"<answer>{problem.answer}, or else</answer>",
        problem.answer,  # not marked
        "",
    ]
    got = equations.verify_many([(problem, trace_of(problem, t)) for t in texts])
    assert [r["correct"] for r in got] == [1, 1, 1, 0, 0, 0, 0]
    assert [r["unjudged"] for r in got] == [0] * 7
    part = len(problem.answer) / len(f"{problem.answer}, or else")
    assert [r["score"] for r in got] == [1, 1, 1, 0, pytest.approx(part), 0, 0]
    assert equations.verify(problem, trace_of(problem, texts[0])) == got[0]
    assert equations.answer_of(texts[1]) == problem.answer


def test_a_score_that_raises_counts_as_wrong_and_is_told(equations: Gym, caplog: pytest.LogCaptureFixture) -> None:
    task = Gym("prime_factorization", size=50)
    task.__dict__["pool"] = equations.pool
    problem = task.fixed("train", 1)[0]
    with caplog.at_level(logging.WARNING, "sharpen.task.gym"):
        assert task.verify(problem, trace_of(problem, "#two")) == {"correct": 0.0, "score": 0.0, "unjudged": 1.0}
    assert f"problem {problem.key}: score_answer of reasoning-gym: ValueError" in caplog.text
    assert "on the answer 'two'" in caplog.text
    assert task.verify(problem, trace_of(problem, f"#{problem.answer}"))["correct"] == 1.0
    assert task.splits == ("train", "test")


def test_data_sets_that_walk_over_sets_are_the_same_again() -> None:
    one, two = Gym("ransom_note", size=20), Gym("ransom_note", size=20)
    assert one.fixed("train", 5) == two.fixed("train", 5)
    one.pool.close()
    two.pool.close()


def test_options() -> None:
    task = task_of(
        "gym:simple_equations", max_terms="2", operators='["+"]', operators_weights="[1.0]", size="30", suffix=" Go."
    )
    assert isinstance(task, Gym)
    assert (task.config, task.size) == ({"max_terms": 2, "operators": ["+"], "operators_weights": [1.0]}, 30)
    prompts = [p.prompt for p in task.fixed("train", 30)]
    assert all(p.endswith(" Go.") and "*" not in p for p in prompts)
    task.pool.close()


def test_names() -> None:
    names = gym_names()
    assert len(names) > 100
    assert names["simple_equations"] == 4
    assert names["gsm_symbolic"] == 0


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("simple_equations", {"min_term": 3}, "no option 'min_term'. Did you mean min_terms"),
        ("simple_equations", {"min_terms": "few"}, "min_terms: 'few' is not a whole number"),
        ("simple_equations", {"operators": "+"}, "is not JSON such as"),
    ],
)
def test_wrong_options(name: str, options: dict[str, object], said: str) -> None:
    with pytest.raises(SharpenError) as caught:
        task_of(f"gym:{name}", **options)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("task", "said"),
    [
        (Gym("simple_equations", {"min_terms": 5, "max_terms": 2}), "AssertionError: max_terms must be >= min_terms"),
        (Gym("simple_equations", {"terms": 5}), "has no option 'terms' of its own. Did you mean"),
        (Gym("simple_equations", level=7), "was given level 7, and its data set has levels 0 to 3"),
        (Gym("gsm_symbolic", level=0), "was given level 0, and its data set has no curriculum"),
        (Gym("simple_equation"), "reasoning-gym has no data set 'simple_equation'. Did you mean simple_equations"),
    ],
)
def test_wrong_tasks(task: Gym, said: str, equations: Gym) -> None:
    task.__dict__["pool"] = equations.pool  # one process is enough for all
    with pytest.raises(SharpenError) as caught:
        _ = task.levels
    assert said in str(caught.value)


def test_a_data_set_with_too_few_questions(equations: Gym) -> None:
    task = Gym("simple_equations", size=1)
    task.__dict__["pool"] = equations.pool
    split = "test" if task.fixed("train", 1) else "train"
    assert task.fixed(split, 1) == []
    with pytest.raises(SharpenError, match=f"found no problem for its split '{split}' in 500 tries"):
        task.draw(split, random.Random(0))
    with pytest.raises(SharpenError, match="has no split 'harder'"):
        task.fixed("harder", 1)


def test_absent_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SharpenError, match=r"package reasoning_gym is needed .* pip install 'sharpen\[gym\]'"):
        Gym("simple_equations")
