"""What a user brings along: recipes and tasks in files, and where nano models made for tasks are found again."""

import json
import random
from functools import cached_property

import pytest

from sharpen.cli.options import find_recipe
from sharpen.errors import SharpenError
from sharpen.overrides import override
from sharpen.run.manifest import describe
from sharpen.task.base import Task
from sharpen.task.chain import Chain
from sharpen.task.files import Files
from sharpen.task.resolve import task_of
from sharpen.task.userfn import UserReward, with_reward
from sharpen.task.validate import validate
from toy import Copy

RECIPE = """
from __future__ import annotations
from dataclasses import dataclass, replace
from sharpen.core import Part
from sharpen.recipes.policy import grpo
from sharpen.rollout.sample import Sample

@dataclass(frozen=True)
class Mine(Part):
    size: int = 3

    def __call__(self, groups, ctx):
        return groups

async def program(play):
    ...

mine = replace(grpo, name="mine", collect=(Sample(2, program=program), *grpo.collect[1:], Mine()))
not_a_recipe = 3
"""


def test_parts_and_functions_of_a_file_can_be_described_and_changed(tmp_path):
    # named like a module of the standard library, which it must not replace
    path = tmp_path / "random.py"
    path.write_text(RECIPE)
    recipe = override(find_recipe(f"{path}:mine"), ["Mine.size=5"])
    said = describe(recipe)["fields"]["collect"]
    assert said[0]["fields"]["program"] == {"function": "file:random.program"}
    assert said[-1] == {"part": "file:random.Mine", "fields": {"size": 5}}
    assert random.Random(0).random() == pytest.approx(0.8444218515250481)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("mnie", r"has no recipe .mnie.\. Did you mean mine"),
        ("not_a_recipe", r"'not_a_recipe'.* grpo(, | or )mine"),
    ],
)
def test_a_name_that_is_no_recipe_is_refused(tmp_path, name, text):
    (tmp_path / "own.py").write_text(RECIPE)
    with pytest.raises(SharpenError, match=text):
        find_recipe(f"{tmp_path}/own.py:{name}")


def test_a_file_that_cannot_be_run_is_refused_with_its_line(tmp_path):
    (tmp_path / "own.py").write_text("x = 1\ny = x / 0\n")
    with pytest.raises(SharpenError, match=r"own\.py could not be read at line 2: ZeroDivisionError: division by zero"):
        find_recipe(f"{tmp_path}/own.py:x")
    with pytest.raises(SharpenError, match=r"There is no file none\.py to take (a|the) recipe from"):
        find_recipe("none.py:x")


TASK = """
from dataclasses import dataclass
from toy import Copy

@dataclass(frozen=True)
class Mine(Copy):
    size: int = 3
"""


def test_a_task_of_a_file_takes_its_fields_as_options(tmp_path):
    (tmp_path / "own.py").write_text(TASK)
    task = task_of(f"{tmp_path}/own.py:Mine", size="5")
    assert (task.name, task.size, isinstance(task, Copy)) == ("copy", 5, True)
    with pytest.raises(SharpenError, match=r"has no option .sise.\. Did you mean size"):
        task_of(f"{tmp_path}/own.py:Mine", sise="5")
    with pytest.raises(SharpenError, match=r"has no task .Mien.\. Did you mean Mine"):
        task_of(f"{tmp_path}/own.py:Mien")


def test_identity_leaves_out_what_was_kept():
    class Slow(Copy):
        @cached_property
        def worked_out(self) -> object:
            return object()

    task: Task = Slow()
    before = task.identity()
    assert before == {"name": "copy"}
    _ = task.worked_out
    assert task.identity() == before


def rows(path, last):
    lines = [{"prompt": f"{n}+1?", "answer": n + 1, "solution": [f"#{n + 1}"]} for n in range(9)]
    path.write_text("\n".join(map(json.dumps, [*lines, last])))
    return Files(str(path))


def test_identity_of_a_file_is_that_of_its_rows(tmp_path):
    one = rows(tmp_path / "a.jsonl", {"prompt": "9+1?", "answer": 10, "solution": ["#10"]})
    first = one.identity()
    _ = one.judge
    assert one.identity() == first
    two = rows(tmp_path / "a.jsonl", {"prompt": "9+1?", "answer": 11, "solution": ["#11"]})
    assert two.identity()["rows"] != first["rows"]


def test_a_worked_solution_need_not_be_unjudged(tmp_path):
    task = rows(tmp_path / "a.jsonl", {"prompt": "9+1?", "answer": 10, "solution": ["#10"]})
    gold = next(c for c in validate(task, 20, rng=random.Random(0)).checks if c.name == "gold")
    assert gold.passed
    assert gold.figures["broken"] == 0


def test_a_reward_of_ones_own_leaves_the_lessons_of_the_task(tmp_path):
    (tmp_path / "r.py").write_text("def f(text, problem):\n    return 1.0\n")
    task = Chain()
    with UserReward(f"{tmp_path}/r.py:f") as user:
        judged = with_reward(task, user)
        assert judged.identity() == task.identity()
        assert judged.lesson(random.Random(5)) == task.lesson(random.Random(5))
