"""Figures of judges by hand or by enumeration, and the report of each kind on models that are known to be right."""

import itertools
import math

import pytest
import torch

from benches import COUNT, TASTE
from sharpen.errors import SharpenError
from sharpen.judging import (
    accuracy_of_pairs,
    best_of,
    concordance,
    correlation,
    first_wrong,
    judge_report,
    kl_of_best,
    scores,
    step_f1,
    totals,
)
from sharpen.maths import auroc, best_of_k, pass_at_k
from sharpen.recipes import recipe
from sharpen.types import Problem, Scored, Segment, Trace


class Known:
    """A model that says of a trace's atoms what a function does, and remembers what it was asked about."""

    def __init__(self, say):
        self.say = say
        self.asked = []

    def size(self, trace):
        return trace.length

    def collate(self, traces, index, sets):
        self.asked += traces
        return traces

    def score(self, batch, wants=()):
        said = torch.cat([torch.tensor(self.say(t), dtype=torch.float32) for t in batch])
        return Scored(said, dict.fromkeys(wants, said))


def text_trace(n, text="a"):
    return Trace(Problem("p", "?"), [Segment(torch.zeros(3)), Segment(torch.zeros(n), trainable=True, text=text)])


# ------------------------------------------------------------------ figures


def test_the_best_of_k_by_enumeration():
    """Over all subsets, a coin deciding between those that score alike."""
    said, values = [0.3, -1.0, 0.3, 2.0, 2.0, 0.3, -5.0], [0.1, 0.9, 0.4, 0.2, 0.7, 0.0, 1.0]
    for k in range(1, 8):
        worth = []
        for subset in itertools.combinations(range(7), k):
            top = max(said[i] for i in subset)
            tied = [values[i] for i in subset if said[i] == top]
            worth.append(sum(tied) / len(tied))
        assert best_of_k(said, values, k) == pytest.approx(sum(worth) / len(worth), rel=1e-12)
    assert best_of_k(said, values, 7) == pytest.approx(0.45)
    assert best_of_k([1.0] * 4, [0.0, 1.0, 2.0, 3.0], 3) == 1.5


def test_the_best_of_k_by_a_score_that_is_right_is_pass_at_k():
    for n, c in ((5, 0), (5, 2), (6, 1), (4, 4)):
        right = [1.0] * c + [0.0] * (n - c)
        for k in range(1, n + 1):
            assert best_of_k(right, right, k) == pytest.approx(pass_at_k(n, c, k), rel=1e-12)


@pytest.mark.parametrize(
    ("said", "values", "k", "told"),
    [
        ([1.0], [1.0, 2.0], 1, "best of k needs as many values as scores and 1 <= k <= n, not 2, n=1, k=1"),
        ([1.0], [1.0], 2, "n=1, k=2"),
        ([1.0], [1.0], 0, "n=1, k=0"),
        ([math.nan], [1.0], 1, "scores and values must be finite"),
        ([1.0], [math.inf], 1, "scores and values must be finite"),
    ],
)
def test_the_best_of_k_refuses(said, values, k, told):
    with pytest.raises(ValueError, match=told):
        best_of_k(said, values, k)


def test_the_best_of_each_problem():
    said, values = [[0.0, 1.0], [3.0, 2.0]], [[5.0, 7.0], [1.0, 2.0]]
    assert best_of(said, values, [1, 2]) == {1: [6.0, 1.5], 2: [7.0, 1.0]}


def test_how_far_the_best_of_n_lies_is_an_integral():
    """Of n continuous answers the best has the density n u^(n-1) in the policy's own quantile u."""
    assert kl_of_best(1) == 0.0
    assert kl_of_best(2) == pytest.approx(math.log(2) - 0.5)
    u = (torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000
    for n in (2, 3, 8):
        density = n * u ** (n - 1)
        assert kl_of_best(n) == pytest.approx(float((density * density.log()).mean()), abs=1e-6)


def test_pairs_that_tie_count_half():
    assert accuracy_of_pairs([2.0, 1.0, 1.0], [1.0, 2.0, 1.0]) == [1.0, 0.0, 0.5]


def test_concordance_by_hand_and_as_an_area():
    """Values 0, 1, 2, 2: five pairs differ, of which scores 1, 2, 2, 0 rank (0, 1), (0, 2) alike, tie (1, 2)."""
    assert concordance([1.0, 2.0, 2.0, 0.0], [0.0, 1.0, 2.0, 2.0]) == pytest.approx(2.5 / 5)
    said, right = [0.1, 0.7, 0.7, 0.2, 0.9], [0.0, 1.0, 0.0, 0.0, 1.0]
    area = auroc(torch.tensor(said), torch.tensor(right).bool())
    assert concordance(said, right) == pytest.approx(area)
    assert concordance([1.0, 2.0], [3.0, 3.0]) is None
    assert concordance([1.0], [3.0]) is None


def test_the_first_wrong_step():
    assert [first_wrong(x) for x in ([True, False, False], [True, True], [False], [])] == [1, -1, 0, -1]


def test_step_f1_by_hand():
    """Of three solutions with an error one is named, of two without one is passed: 2 (1/3) (1/2) / (5/6)."""
    found, true = [2, 0, -1, -1, 1], [2, 1, 3, -1, -1]
    assert step_f1(found, true) == pytest.approx({"wrong": 1 / 3, "right": 0.5, "f1": 0.4})
    assert step_f1([0, 0], [1, -1]) == {"wrong": 0.0, "right": 0.0, "f1": 0.0}
    assert step_f1([1], [1]) == {"wrong": 1.0, "right": None, "f1": None}
    assert step_f1([0], [-1]) == {"wrong": None, "right": 0.0, "f1": None}


def test_correlation_by_hand():
    """Deviations (-1, 0, 1) and (-1, 1, 0): 1 / 2. A scale does not matter."""
    assert correlation([1.0, 2.0, 3.0], [0.0, 2.0, 1.0]) == pytest.approx(0.5)
    assert correlation([1.0, 2.0, 3.0], [5.0, 3.0, 1.0]) == pytest.approx(-1.0)
    assert correlation([0.0, 0.0, 1.0, 1.0], [0.0, 1.0, 0.0, 1.0]) == pytest.approx(0.0, abs=1e-12)
    assert correlation([1.0, 1.0], [0.0, 1.0]) is None
    assert correlation([0.0, 1.0], [1.0, 1.0]) is None


# ------------------------------------------------------------------ what a model says


def test_scores_come_back_in_order_whatever_is_packed_together():
    traces = [text_trace(n) for n in (9000, 1, 0, 9000, 2)]
    model = Known(lambda t: [float(t.length)] * (t.length - 1) + [-1.0])
    said = scores(model, traces)
    assert [len(x) for x in said] == [9000, 1, 0, 9000, 2]
    assert said[1].tolist() == [-1.0]
    assert said[4].tolist() == [2.0, -1.0]
    assert totals(model, traces) == [-1.0, -1.0, 0.0, -1.0, -1.0]
    assert len(model.asked) == 2 * 4


def test_the_implicit_reward_is_the_sum_of_log_ratios():
    one, two = Known(lambda t: [-1.0] * t.length), Known(lambda t: [-1.0 - i for i in range(t.length)])
    assert totals(one, [text_trace(3), text_trace(0), text_trace(1)], two) == [3.0, 0.0, 0.0]


# ------------------------------------------------------------------ the report


@pytest.fixture(scope="module")
def taste():
    return TASTE.trainer(recipe("dpo"))


def fan(sign):
    """A model that knows gold and says it at the last atom, and nonsense before."""
    task = TASTE.task()
    return Known(lambda t: [9.0] * (t.length - 1) + [sign * task.gold(t.problem, t.text)])


def test_a_reward_model_that_knows_gold(taste):
    model, task = fan(1.0), TASTE.task()
    report = judge_report(model, taste.policy, task, problems=6, samples=4, ns=(1, 2, 3, 4, 8, 4))
    assert {k: report[k] for k in ("kind", "split", "problems", "samples")} == {
        "kind": "reward",
        "split": "test",
        "problems": 6,
        "samples": 4,
    }
    said = [t for t in model.asked if t.rewards]  # what the policy drew; the others are replies of the pairs
    pools = [[t.rewards["gold"] for t in said if t.problem.key == p.key] for p in task.fixed("test", 6)]
    assert [len(p) for p in pools] == [4] * 6
    assert list(report["best_of"]["gold"]) == [1, 2, 3, 4]
    for n in (1, 2, 3, 4):
        want = [sum(map(max, c := list(itertools.combinations(p, n)))) / len(c) for p in pools]
        low, mean, high = report["best_of"]["gold"][n]
        assert mean == pytest.approx(sum(want) / 6, rel=1e-6)
        assert min(want) <= low <= mean <= high <= max(want)
        assert report["best_of"]["score"][n][1] == pytest.approx(mean, rel=1e-6)
    assert report["ranking"]["gold"] == [1.0, 1.0, 1.0]
    assert report["kl"] == {n: kl_of_best(n) for n in (1, 2, 3, 4)}
    pairs = task.pairs("test")
    gaps = [task.gold(p.problem, p.chosen) - task.gold(p.problem, p.rejected) for p in pairs]
    share = sum((g > 0) + 0.5 * (g == 0) for g in gaps) / len(gaps)
    assert report["pairs"]["n"] == len(pairs) > 50
    assert report["pairs"]["accuracy"][1] == pytest.approx(share)
    assert share > 0.9


def test_a_reward_model_that_hates_gold(taste):
    report = judge_report(fan(-1.0), taste.policy, TASTE.task(), problems=6, samples=4, ns=(1, 4))
    good = judge_report(fan(1.0), taste.policy, TASTE.task(), problems=6, samples=4, ns=(1, 4))
    assert report["ranking"]["gold"] == [0.0, 0.0, 0.0]
    assert report["pairs"]["accuracy"][1] == pytest.approx(1 - good["pairs"]["accuracy"][1])
    assert report["best_of"]["gold"][1][1] == pytest.approx(good["best_of"]["gold"][1][1])
    assert report["best_of"]["gold"][4][1] < good["best_of"]["gold"][1][1] < good["best_of"]["gold"][4][1]


def test_a_policy_prefers_nothing_to_itself(taste):
    report = judge_report(taste.policy, taste.policy, TASTE.task(), kind="implicit", problems=3, samples=3, ns=(1, 3))
    assert report["pairs"] == {"n": len(TASTE.task().pairs("test")), "accuracy": [0.5, 0.5, 0.5]}
    assert report["ranking"]["gold"] == [0.5, 0.5, 0.5]
    assert report["best_of"]["score"] == {1: [0.0] * 3, 3: [0.0] * 3}
    assert report["best_of"]["gold"][1][1] == pytest.approx(report["best_of"]["gold"][3][1])


@pytest.fixture(scope="module")
def count():
    return COUNT.trainer(recipe("sft"))


def steps_of(trace, say):
    """A trace's atoms, one a character and one for the end: `say(line, last)` of each line and whether it ends it."""
    lines = trace.text.split("\n")
    out = []
    for i, line in enumerate(lines):
        size = len(line) + 1 if i < len(lines) - 1 else trace.length - len(out)
        out += [say(i, last=j == size - 1) for j in range(size)]
    return out


def test_a_process_model_is_asked_at_the_last_atom_of_each_step(count):
    """One that knows each step, one that passes all, and one that is never content."""
    task = COUNT.task()

    def knows(t):
        valid = task.check_steps(t.problem, [x + "\n" for x in t.text.split("\n")])
        return steps_of(t, lambda i, last: 0.5 if valid[i] == last else -0.5)

    right = Known(knows)
    found = judge_report(right, count.policy, task, kind="process", problems=10, samples=6)["steps"]
    solved = sum(bool(t.solved) for t in right.asked)
    assert 10 < solved < 50
    assert found["solutions"] == 60
    assert 60 - solved >= found["with_error"] > 5
    assert (found["wrong"], found["right"], found["f1"]) == (1.0, 1.0, 1.0)
    mild = judge_report(Known(lambda t: [0.0] * t.length), count.policy, task, kind="process", problems=10, samples=6)
    assert mild["steps"] == {**found, "wrong": 0.0, "f1": 0.0}
    stern = Known(lambda t: [-1.0] * t.length)
    harsh = judge_report(stern, count.policy, task, kind="process", problems=10, samples=6)["steps"]
    first = [first_wrong(task.check_steps(t.problem, t.text.split("\n"))) for t in stern.asked]
    assert harsh["wrong"] == pytest.approx(first.count(0) / found["with_error"])
    assert (harsh["right"], harsh["f1"]) == (0.0, 0.0)


def test_a_critic_is_asked_at_three_places(count):
    """Nothing known at first, odds of four to one in the middle, and at the end more than certainty, which is cut."""

    def say(t):
        last = t.length - 1
        late = 1.5 if t.solved else -1.0
        return [late if i == last else 0.5 if i == 0 else 0.8 if t.solved else 0.2 for i in range(last + 1)]

    model = Known(say)
    report = judge_report(model, count.policy, COUNT.task(), kind="value", problems=10, samples=6)
    assert min(t.length for t in model.asked) >= 4
    assert report["first"] == pytest.approx({"brier": 0.25, "auroc": 0.5, "correlation": None})
    assert report["middle"] == pytest.approx({"brier": 0.04, "auroc": 1.0, "correlation": 1.0})
    assert report["last"] == pytest.approx({"brier": 0.0, "auroc": 1.0, "correlation": 1.0})
    assert list(report) == ["kind", "split", "problems", "samples", "first", "middle", "last"]


def test_what_cannot_be_judged(count, taste):
    with pytest.raises(SharpenError, match=r"nothing to judge: task 'taste' has 0 problems in its split 'test'"):
        judge_report(fan(1.0), taste.policy, TASTE.task(), problems=0)
    with pytest.raises(SharpenError, match="and 0 samples of each are drawn"):
        judge_report(fan(1.0), taste.policy, TASTE.task(), problems=2, samples=0)
    with pytest.raises(SharpenError, match="Task 'taste' cannot check steps, so a process model cannot be measured"):
        judge_report(fan(1.0), taste.policy, TASTE.task(), kind="process", problems=2, samples=1)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("kind", ["reward", "process", "value"])
def test_a_judge_that_says_no_number_is_refused(count, kind, bad):
    """NaN ranked like any score: it lost every comparison, and the figures were numbers."""
    model = Known(lambda t: [0.0] * (t.length - 1) + [bad])
    want = "value" if kind == "value" else "score"
    with pytest.raises(SharpenError, match=rf"The {want} by the model that is judged is {bad}: problem '.*', text '"):
        judge_report(model, count.policy, COUNT.task(), kind=kind, problems=2, samples=2)


def test_an_implicit_reward_that_is_no_number_is_refused():
    one, two = Known(lambda t: [-1.0] * t.length), Known(lambda t: [math.nan] * t.length)
    with pytest.raises(SharpenError, match=r"The logp by the model that is judged is nan: problem 'p', text 'a'"):
        totals(one, [text_trace(3)], two)
