"""reasoning-gym data sets as tasks."""

import contextlib
import hashlib
import inspect
import logging
import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from sharpen.errors import SharpenError
from sharpen.task.gym import Gym, _pool, gym_names
from sharpen.task.pool import Failure, Pool
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


@pytest.fixture(scope="module")
def server() -> Iterator[Pool]:
    pool = _pool(timeout=20.0)
    yield pool
    pool.close()


def scored(server: Pool, name: str, *answers: str | None, index: int = 0) -> list[float]:
    """The data set's score of each answer to one of its problems; None stands for the data set's own answer."""
    arg = {"name": name, "config": {"seed": 0, "size": 50}, "level": None, "index": index}
    (made,) = server.run([[["make", arg]]])
    assert not isinstance(made, Failure)
    digest = hashlib.sha256(made[0]["question"].encode()).hexdigest()
    said = [made[0]["answer"] if a is None else a for a in answers]
    found = server.run([[["score", arg | {"digest": digest, "answer": a}]] for a in said])
    assert not any(isinstance(x, Failure) for x in found), found
    return [x[0] for x in found]  # type: ignore[index]


LISTED = ("string_insertion", "spiral_matrix", "binary_matrix", "n_queens")
FORMULAS = ("puzzle24", "countdown", "simple_integration", "intermediate_integration", "polynomial_multiplication")
EVALUATED = LISTED + FORMULAS
"""Data sets whose scorers evaluate the answer."""


@pytest.mark.parametrize("name", EVALUATED)
def test_no_answer_is_run_as_a_program(name: str, server: Pool, tmp_path: Path) -> None:
    """What the library gives to `eval` and sympy would be a program with the user's rights."""
    mark = str(tmp_path / "mark")
    spelt = "+".join(f"chr({ord(c)})" for c in f"open({mark!r}, 'w')")
    programs = [
        f"__import__('os').system('touch {mark}')",
        f"open({mark!r}, 'w')",
        f"[open({mark!r}, 'w')]",
        f"exec({spelt})",
        f"1+eval({spelt})",
        f"(lambda: open({mark!r}, 'w'))()",
        f"Symbol.__class__.__base__.__subclasses__()[0]+open({mark!r}, 'w')",
        f"lambdify(x, open({mark!r}, 'w'))(0)",
        f"1if exec({spelt})else 2",
        f"[x for x in [open({mark!r}, 'w')]]",
        f"f'{{open({mark!r}, chr(119))}}'",
    ]
    assert max(scored(server, name, *programs)) <= 0.05
    assert not Path(mark).exists()


def test_no_answer_reads_the_right_one(server: Pool) -> None:
    """It is a variable of the scorer, so an evaluated answer could name it."""
    assert scored(server, "spiral_matrix", "oracle_answer.split()", None) == [0.0, 1.0]
    assert scored(server, "string_insertion", "oracle_answer", "list(entry['answer'])", None) == [0.0, 0.0, 1.0]
    assert scored(server, "n_queens", "valid_solutions[0]", None) == [0.0, 1.0]


@pytest.mark.parametrize("name", EVALUATED)
def test_answers_that_are_data_or_formulas_are_read_as_before(name: str, server: Pool) -> None:
    assert [scored(server, name, None, index=i) for i in range(4)] == [[1.0]] * 4
    if name in LISTED:
        arg = {"name": name, "config": {"seed": 0, "size": 50}, "level": None, "index": 0}
        (made,) = server.run([[["make", arg]]])
        assert not isinstance(made, Failure)
        rows = [row.split() for row in made[0]["answer"].split("\n")]
        listed = list(made[0]["answer"]) if name == "string_insertion" else rows if len(rows) > 1 else rows[0]
        assert scored(server, name, repr(listed)) == [0.5 if name == "n_queens" else 0.1]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[[1, 0], [0, 1]]", [[1, 0], [0, 1]]),
        (" ('a', 'b')", ["a", "b"]),
        ("0x10 << (0x4 >> 1)", 64),
        ("-(3 + 4) * 2.5", -17.5),
        ("1/4", 0.25),
        ("9**9**9", None),
        ("1 << 99999999999", None),
        ("99999999999 * 9 - 0x1", 899999999990),
        ("7 // 2 - 0 >> 1", 1),
        ("-" * 9 + "1", -1),
        ("'a' * 9", None),
        ("[0] * 9", None),
        ("x", None),
        ("().__class__", None),
        ("[].append", None),
        ("(1).real", None),
        ("print()", None),
        ("[x for x in [1]]", None),
        ("f'{1}'", None),
    ],
)
def test_what_evaluation_is_reduced_to(text: str, value: object, evaluate: Pool) -> None:
    (found,) = evaluate.run([[[text]]])
    if value is None:
        assert isinstance(found, Failure)
        assert found.message.startswith("ValueError: malformed node")
    else:
        assert found == [value]


@pytest.fixture(scope="module")
def evaluate() -> Iterator[Pool]:
    # in a process of its own, since it changes sympy
    pool = Pool(Path(str(inspect.getsourcefile(Gym))).with_name("gymserver.py"), "plain")
    yield pool
    pool.close()


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("complex_arithmetic", "nan"),  # the least of 1 and NaN is 1 to Python
        ("complex_arithmetic", "nan+1j"),
        ("game_of_life_halting", "perhaps"),  # any text is true
        ("puzzle24", "4*6*1*1"),  # any four numbers
        ("simple_integration", "the question itself"),
    ],
)
def test_constant_answers_of_which_a_scorer_thinks_too_well(name: str, wrong: str, server: Pool) -> None:
    for index in range(6):
        if name == "simple_integration":
            arg = {"name": name, "config": {"seed": 0, "size": 50}, "level": None, "index": index}
            (made,) = server.run([[["make", arg]]])
            assert not isinstance(made, Failure)
            integrand, variable = re.findall(r"(?:∫|integral of|:) *(.*?) d([A-Za-z])", made[0]["question"])[0]
            wrong = f"Integral({integrand.removeprefix('∫ ')}, {variable})"
        right, said = scored(server, name, None, wrong, index=index)
        assert right == 1.0
        assert said < 1.0


def test_numbers_games_are_exact() -> None:
    """A value that is cut to the target, or made by functions, is not the target."""
    games = [
        ("puzzle24", "5*5-1*1", [5, 5, 1, 1], 24, False),
        ("puzzle24", "5*5-1*1*1", [5, 5, 1, 1], 24, True),
        ("puzzle24", "(5-1)!*5**0", [5, 1, 5, 0], 24, True),
        ("puzzle24", "49/2+0*7", [49, 2, 0, 7], 24, True),  # 24.5
        ("puzzle24", "4*6*1/1", [6, 1, 4, 1], 24, False),
        ("countdown", " 7 * 3", [7, 3], 21, False),
        ("countdown", "7*3+sin(pi)", [7, 3], 21, True),
        ("countdown", "7*30000+1/3", [7, 30000, 1, 3], 210000, True),  # near
    ]
    with contextlib.closing(Pool(Path(str(inspect.getsourcefile(Gym))).with_name("gymserver.py"), "mistaken")) as pool:
        said = pool.run([[[g, a, {"metadata": {"numbers": n, "target": t}}]] for g, a, n, t, _ in games])
    assert said == [[wrong] for *_, wrong in games]
