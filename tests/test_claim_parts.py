"""What claims are made of: variants of tasks, models that are taught once, and what is measured."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest
import torch

from claim_toy import TINY, says_claim
from sharpen.actor.nano import cache_folder
from sharpen.claims import Stage
from sharpen.claims.catalogue.process import MARKED, looked_at, without_steps
from sharpen.claims.catalogue.reward import PROBLEMS, fallen, gold, judged, picked, shared_error, within
from sharpen.claims.stage import drawn
from sharpen.claims.tasks import PaddedChain, fillers
from sharpen.claims.teaching import Labelled, marked_solutions, taught
from sharpen.overrides import override
from sharpen.recipes.process import pure
from sharpen.task.chain import Chain
from sharpen.task.taste import Taste
from sharpen.task.text import said
from sharpen.types import Group, Scored


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("SHARPEN_CACHE", str(tmp_path_factory.getbasetemp() / "bases"))


PADDED = PaddedChain(low=2, high=2, harder_low=3, harder_high=3)
QUICK = ("Loop.iterations=2", "Loop.problems=4")


# ------------------------------------------------------------------ a chain with filler


def test_filler_neither_helps_nor_harms():
    problem = PADDED.make(2, random.Random(0))
    one, two, answer = problem.solution
    full = {"correct": 1.0, "format": 1.0, "steps": 1.0}
    judged_as = {
        f"{one}\n{two}\n{answer}": full,
        f"ok\n{one}\nok\nok\n{two}\nok\n{answer}": full,
        f"ok\nok\n{answer}": {"correct": 1.0, "format": 1.0, "steps": 0.0},
        f"ok\n{one}\nok\n": {"correct": 0.0, "format": 0.0, "steps": 0.5},
        f"{one}\n{two}\n{answer}\nok": {"correct": 0.0, "format": 0.0, "steps": 1.0},
        f"\n{one}\n{two}\n{answer}": {"correct": 1.0, "format": 0.0, "steps": 0.0},
    }
    for text, rewards in judged_as.items():
        assert PADDED.verify(problem, said(problem, text)) == rewards, text


def test_filler_is_valid_before_the_answer_and_takes_no_place():
    problem = PADDED.make(2, random.Random(0))
    one, two, answer = (f"{line}\n" for line in problem.solution)
    assert PADDED.check_steps(problem, ["ok\n", one, "ok", two, "ok\n", answer]) == [True] * 6
    assert PADDED.check_steps(problem, [one, "\n", two, answer, "ok\n"]) == [True, False, True, True, False]
    assert PADDED.check_steps(problem, ["ok\n", two, answer]) == [True, False, False]
    assert (PADDED.is_step("ok"), PADDED.is_step("okay"), PADDED.is_step("3+4=7")) == (True, False, True)
    assert fillers("ok\n\n3+4=7\nok\n#7") == 3


def test_lessons_of_a_padded_chain():
    """A share f of filler before each of 3 lines, again and again: 3 f / (1 - f) lines on average."""
    task = PaddedChain(low=2, high=2, harder_low=3, harder_high=3, filler=0.5, sloppy=0.0, habits=())
    problem = task.make(2, random.Random(0))
    rng = random.Random(1)
    lessons = [task.careless(problem, rng) for _ in range(2000)]
    assert {tuple(x for x in lesson if x != "ok") for lesson in lessons} == {problem.solution}
    assert sum(lesson.count("ok") for lesson in lessons) / 2000 == pytest.approx(3.0, abs=0.15)
    assert all(lesson[-1] == problem.solution[-1] for lesson in lessons)
    assert task.max_tokens == 2 * Chain(low=2, high=2, harder_low=3, harder_high=3).max_tokens
    bare = replace(task, filler=0.0)
    assert bare.careless(problem, rng) == problem.solution
    assert bare.identity() != task.identity()


# ------------------------------------------------------------------ models taught once


@pytest.mark.parametrize(("until", "labels"), [(True, [1, 1, 0, 0]), (False, [1, 1, 0, 1])])
def test_labels_of_a_marked_solution(until, labels, monkeypatch):
    """ok, a right step, a wrong one, and an answer that follows from it."""
    problem = PADDED.make(2, random.Random(0))
    one, two, _ = problem.solution
    wrong = str((int(two[-1]) + 1) % 10)
    monkeypatch.setattr(PaddedChain, "careless", lambda *_: ("ok", one, two[:-1] + wrong, f"#{wrong}"))
    stage = Stage(says_claim(task=PADDED, base=TINY), 0)
    trainer = stage.trainer(marked_solutions)
    (group,) = Labelled(until)([Group(problem)], trainer.ctx)
    (trace,) = group.traces
    assert [s.text for s in trace.actions] == ["ok\n", f"{one}\n", f"{two[:-1]}{wrong}\n", f"#{wrong}"]
    assert [s.cols["target"].unique().tolist() for s in trace.actions] == [[float(x)] for x in labels]


def test_a_model_is_taught_once_a_seed():
    c = says_claim(task=PADDED, base=TINY)
    recipe = override(MARKED, QUICK)
    stages = [Stage(c, seed) for seed in (0, 0, 1)]
    heads = [taught(s, recipe, s.base(), ["value"])["value"].module["head"].weight for s in stages]
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])
    kept = sorted(f.name.rsplit("-", 1)[0] for f in cache_folder().glob("claim-marked-steps-*"))
    assert kept == ["claim-marked-steps-0", "claim-marked-steps-1"]
    assert [(s.spent, s.curve, s.cost.updates) for s in stages] == [(0.0, [], 0)] * 3
    other = Stage(replace(c, task=replace(PADDED, filler=0.3)), 0)
    taught(other, recipe, other.base(), ["value"])
    assert len(list(cache_folder().glob("claim-marked-steps-0-*"))) == 2


def test_an_arm_trains_against_the_model_it_is_given():
    c = says_claim(task=PADDED, base=TINY)
    stage = Stage(c, 0)
    policy = stage.base()
    model = taught(stage, override(MARKED, QUICK), policy, ["value"])["value"]
    with torch.no_grad():
        model.module["head"].bias.fill_(math.log(3))
        model.module["head"].weight.zero_()
    recipe = override(pure.recipes[1], ("Loop.iterations=1", "Loop.problems=2"))
    trainer = stage.train(recipe, policy, given={"prm": model})
    # every step scores log 3, so r = 2 * 3/4 - 1; the least of equal ones is that too
    assert trainer.ctx.last["process/reward"] == pytest.approx(0.5)
    assert stage.iterations == 1
    found = looked_at(trainer, 0, problems=3, samples=2)
    assert found["worst"] == pytest.approx(0.5)
    assert found["total"] == pytest.approx(0.5 * found["steps"])


def test_the_verifier_alone():
    recipe = without_steps(pure.recipes[1])
    names = [type(s).__name__ for s in recipe.collect]
    assert names == ["Sample", "Verify", "Total", "Split", "Annotate", "GroupNorm"]
    assert (recipe.updates, recipe.loop) == (pure.recipes[1].updates, pure.recipes[1].loop)


# ------------------------------------------------------------------ picking and following


def test_the_best_of_each_block():
    score = torch.tensor([[0.0, 3.0, 1.0, 2.0, 9.0], [5.0, 4.0, 7.0, 8.0, 9.0]])
    assert picked(score, 1).tolist() == [[0, 1, 2, 3, 4], [0, 1, 2, 3, 4]]
    assert picked(score, 2).tolist() == [[1, 3], [0, 3]]
    assert picked(score, 5).tolist() == [[4], [4]]


def test_errors_that_are_shared():
    """Residuals (1, -1, -1, 1) are uncorrelated with truth (0, 1, 2, 3), whatever line in it is added."""
    truth = torch.tensor([0.0, 1.0, 2.0, 3.0], dtype=torch.float64)
    e = torch.tensor([1.0, -1.0, -1.0, 1.0], dtype=torch.float64)
    assert shared_error(torch.stack([2 * truth + e, 3 * e - truth + 7]), truth) == pytest.approx(1.0)
    assert shared_error(torch.stack([truth + e, truth - e]), truth) == pytest.approx(-1.0)
    # (1, -3, 3, -1) is uncorrelated with both
    f = torch.tensor([1.0, -3.0, 3.0, -1.0], dtype=torch.float64)
    assert shared_error(torch.stack([e, f, e]), truth) == pytest.approx(1 / 3)


def test_scores_above_those_of_the_problem():
    k = torch.arange(float(PROBLEMS))
    x = torch.stack([k, k + 2.0], -1).flatten()
    assert within(x).tolist() == [-1.0, 1.0] * PROBLEMS
    assert within(torch.stack([x, 3 * x]))[1].tolist() == [-3.0, 3.0] * PROBLEMS


def test_what_was_lost():
    """Stretches of two from the end: 1, 4, 2 (the first 9 is in none)."""
    assert fallen([9.0, 2.0, 6.0, 1.0, 3.0, 0.0, 2.0], 2) == pytest.approx(4.0 - 1.0)
    assert fallen([0.0, 1.0, 2.0], 1) == 0.0
    with pytest.raises(ValueError, match="no stretch of 5"):
        fallen([1.0], 5)


def test_equal_answers_are_scored_once_and_alike():
    task = Taste(low=2, high=2, harder_low=3, harder_high=3, alphabet=6)
    stage = Stage(says_claim(task=task, base=TINY), 0)
    policy = stage.base()
    traces = drawn(task, policy, 2, 8, 0, stage.cost)
    assert [t.problem.key for t in traces[::8]] == [p.key for p in task.fixed("test", 2)]
    assert stage.cost.generated_tokens == sum(t.length for t in traces)
    assert gold(stage, traces).tolist() == [task.gold(t.problem, t.text) for t in traces]

    seen = []

    class Lengths:
        """Scores an answer by how long it is."""

        def size(self, trace):
            return trace.length

        def collate(self, traces, groups, columns):
            seen.extend((t.problem.key, t.text) for t in traces)
            return traces

        def score(self, batch, wants):
            x = torch.cat([torch.full((t.length,), float(t.length)) for t in batch])
            return Scored(torch.zeros(len(x)), {"score": x})

    x = judged({"a": Lengths()}, traces)
    assert len(seen) == len(set(seen)) == len({(t.problem.key, t.text) for t in traces})
    length = torch.tensor([float(t.length) for t in traces], dtype=torch.float64)
    expected = (length - length.mean()) / length.std(correction=0)
    assert x[0].tolist() == pytest.approx(expected.tolist())
