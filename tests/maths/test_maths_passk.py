"""pass@k and votes against enumeration."""

import itertools
import math

import pytest
import torch

from sharpen.maths import maj_at_k, majority, pass_at_k


def test_pass_at_k_golden():
    assert pass_at_k(4, 1, 2) == 0.5
    assert pass_at_k(5, 2, 2) == 0.7  # 1 - 3/10
    assert pass_at_k(3, 0, 3) == 0.0
    assert pass_at_k(3, 1, 3) == 1.0
    assert pass_at_k(10, 8, 3) == 1.0  # fewer wrong ones than draws
    assert pass_at_k(7, 3, 1) == 3 / 7


def test_pass_at_k_by_enumeration():
    for n in range(1, 8):
        for c, k in itertools.product(range(n + 1), range(1, n + 1)):
            subsets = list(itertools.combinations(range(n), k))
            assert pass_at_k(n, c, k) == pytest.approx(sum(min(s) < c for s in subsets) / len(subsets))


def test_pass_at_k_large():
    assert pass_at_k(10**6, 1, 1) == 1e-6
    assert pass_at_k(3000, 1, 1500) == 0.5
    # against the product in logarithms
    slow = -math.expm1(math.fsum(math.log1p(-100 / i) for i in range(10_000 - 5 + 1, 10_001)))
    assert pass_at_k(10_000, 5, 100) == pytest.approx(slow, rel=1e-12)


@pytest.mark.parametrize(("n", "c", "k"), [(3, 4, 1), (3, -1, 1), (3, 1, 0), (3, 1, 4), (0, 0, 1)])
def test_pass_at_k_refusals(n, c, k):
    with pytest.raises(ValueError, match=f"pass@k needs 0 <= c <= n and 1 <= k <= n, not n={n}, c={c}, k={k}"):
        pass_at_k(n, c, k)


def test_majority():
    assert majority(["a", "b", "b"]) == "b"
    assert majority(["b", "a", "a", "b"]) == "b"  # a tie: seen first
    assert majority([None, None, None, "a"]) == "a"
    assert majority([None, None]) is None
    assert majority(["a"]) == "a"
    assert majority([3, 3.0, 4]) == 3
    assert majority(["a", "b", "b"], [5.0, 2.0, 2.0]) == "a"
    assert majority(["a", "b", "b"], [4.0, 2.0, 2.0]) == "a"
    assert majority([None, "b", "c"], [9.0, 0.0, 0.0]) == "b"
    # .1 + .2 + .3 in either order
    assert majority(["a", "b", "a", "b", "a", "b"], [0.1, 0.3, 0.2, 0.2, 0.3, 0.1]) == "a"
    assert majority(["b", "a", "b", "a", "b", "a"], [0.3, 0.1, 0.2, 0.2, 0.1, 0.3]) == "b"


def test_majority_refusals():
    with pytest.raises(ValueError, match="a vote needs at least one answer"):
        majority([])
    with pytest.raises(ValueError, match=r"weights must be 2 finite numbers >= 0, one per answer: \[1.0\]"):
        majority(["a", "b"], [1.0])
    for bad in (-1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="weights must be 1 finite numbers >= 0"):
            majority(["a"], [bad])


def test_maj_at_k_exact_cases_draw_nothing():
    rng = torch.Generator().manual_seed(0)
    before = rng.get_state()
    answers, right = ["7", "8", "8", None], [True, False, False, False]
    assert maj_at_k(answers, right, 4, rng) == 0.0
    assert maj_at_k(answers, right, 1, rng) == 0.25
    assert maj_at_k(["8", "7"], [False, True], 2, rng) == 0.0
    assert maj_at_k(["7", "8"], [True, False], 2, rng) == 1.0
    assert maj_at_k([None, None], [False, False], 2, rng) == 0.0
    assert maj_at_k([None, "7", None], [False, True, False], 3, rng) == 1.0
    assert rng.get_state().equal(before)


def test_maj_at_k_by_enumeration():
    answers = ["7", "8", "7", None, "9", "8", "7"]
    right = [a == "7" for a in answers]
    orders = list(itertools.permutations(range(7), 4))
    wins = 0
    for order in orders:  # every ordered draw, counted the plain way
        votes = [answers[i] for i in order if answers[i] is not None]
        best = max(votes.count(v) for v in votes)
        wins += next(v for v in votes if votes.count(v) == best) == "7"
    exact = wins / len(orders)
    rng = torch.Generator().manual_seed(1)
    estimate = maj_at_k(answers, right, 4, rng, samples=4000)
    assert estimate == pytest.approx(exact, abs=0.04)  # five standard errors
    again = maj_at_k(answers, right, 4, torch.Generator().manual_seed(1), samples=4000)
    assert again == estimate


def test_maj_at_k_certain_whatever_is_drawn():
    rng = torch.Generator().manual_seed(2)
    assert maj_at_k(["7", "7", "7", "8"], [True, True, True, False], 3, rng, samples=50) == 1.0
    assert maj_at_k(["8", "8", "8", "7"], [False, False, False, True], 3, rng, samples=50) == 0.0


def test_maj_at_k_refusals():
    rng = torch.Generator()
    with pytest.raises(ValueError, match="2 answers need 2 verdicts, not 1"):
        maj_at_k(["a", "b"], [True], 1, rng)
    with pytest.raises(ValueError, match="maj@k needs 1 <= k <= n and samples >= 1, not n=2, k=3, samples=1000"):
        maj_at_k(["a", "b"], [True, False], 3, rng)
    with pytest.raises(ValueError, match="not n=2, k=1, samples=0"):
        maj_at_k(["a", "b"], [True, False], 1, rng, samples=0)
    with pytest.raises(ValueError, match="the answer 'a' is called both right and wrong"):
        maj_at_k(["a", "a"], [True, False], 1, rng)
    with pytest.raises(ValueError, match=r"the answer None is called both right and wrong \(None must be wrong\)"):
        maj_at_k(["a", None], [True, True], 1, rng)
