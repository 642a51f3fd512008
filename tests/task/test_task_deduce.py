"""Deduction: hand-checked rewards and steps, closure by brute force, and nothing to guess from."""

import random
from itertools import combinations

import pytest

from sharpen.errors import SharpenError
from sharpen.task import Deduce
from sharpen.task.text import said
from sharpen.types import Problem

TASK = Deduce(3, 4, 5, 6, side=1, letters=26)
RULES = ("ab>c", "c>d", "df>g", "ef>h")


def ask(letter, answer, solution):
    """From a, b and f: c, d and g follow; e and h do not."""
    info = {"category": 3, "difficulty": len(solution) - 1, "facts": "abf", "rules": RULES, "asked": letter}
    return Problem(f"deduce:abf;{','.join(RULES)};{letter}", f"abf;{','.join(RULES)};{letter}?", answer, solution, info)


YES = ask("d", "yes", ("ab>c", "c>d", "#yes"))
NO = ask("h", "no", ("ab>c", "c>d", "df>g", "#no"))


@pytest.mark.parametrize(
    ("problem", "text", "correct", "form", "steps", "proof"),
    [
        (YES, "ab>c\nc>d\n#yes", 1, 1, 1, 1),
        (YES, "ab>c\nc>d\ndf>g\n#yes", 1, 1, 1, 1),
        (YES, "#yes", 1, 1, 0, 0),
        (YES, "ab>c\n#yes", 1, 1, 0.5, 0),
        (YES, "ab>c\nb>d\n#yes", 1, 1, 0.5, 0),
        (YES, "ab>d\n#yes", 1, 1, 0, 0),
        (YES, "c>d\nab>c\n#yes", 1, 1, 0, 0),
        (YES, "ab>c\nab>c\nc>d\n#yes", 1, 1, 0.5, 0),
        (YES, "ab>c\nc>d\n#no", 0, 1, 1, 0),
        (YES, "ab>c\nc>d\n#yes\n#yes", 0, 0, 1, 0),
        (YES, "ab>c\nc>d\n#no\n#yes", 0, 0, 1, 0),
        (YES, "ab>c\nc>d", 0, 0, 1, 0),
        (YES, "#Yes", 0, 0, 0, 0),
        (YES, "#yes ", 0, 0, 0, 0),
        (YES, "ba>c\nc>d\n#yes", 1, 1, 0, 0),
        (YES, "so\nab>c\nc>d\n#yes", 1, 0, 0, 0),
        (NO, "ab>c\nc>d\ndf>g\n#no", 1, 1, 1, 1),
        (NO, "ab>c\nc>d\n#no", 1, 1, 2 / 3, 0),
        (NO, "ab>c\nc>d\ndf>g\nef>h\n#yes", 0, 1, 1, 0),
        (NO, "ab>c\nc>d\ndf>g\nef>h\n#no", 1, 1, 1, 0),
        (NO, "#no", 1, 1, 0, 0),
    ],
)
def test_rewards(problem, text, correct, form, steps, proof):
    got = TASK.verify(problem, said(problem, text))
    assert got == {"correct": correct, "format": form, "steps": pytest.approx(steps), "proof": proof}


@pytest.mark.parametrize(
    ("problem", "steps", "valid"),
    [
        (YES, YES.solution, [True] * 3),
        (NO, NO.solution, [True] * 4),
        (YES, ["ab>c", "c>d", "#no"], [True, True, False]),
        (YES, ["ab>d", "#yes"], [False, True]),
        (YES, ["ab>c", "cd>e"], [True, False]),
        (YES, ["c>d"], [False]),
        # what a wrong step claims may be built on
        (NO, ["ab>e", "ef>h", "#yes"], [False, True, True]),
        (NO, ["ab>c", "c>d", "#no", "df>g"], [True, True, False, False]),
        (YES, ["ab>c", "", "c>d"], [True, False, True]),
    ],
)
def test_steps(problem, steps, valid):
    assert TASK.check_steps(problem, steps) == valid


def derivable(facts, rules):
    """The smallest set of letters that holds the facts and is closed, by going through all rules until none adds."""
    known, before = set(facts), None
    while known != before:
        before = set(known)
        known |= {r[-1] for r in rules if set(r.split(">")[0]) <= known}
    return known


@pytest.mark.parametrize("task", [TASK, Deduce(low=2, high=6, harder_low=7, harder_high=8, side=2)])
def test_answers_by_closure_and_proofs_hold(task):
    rng = random.Random(1)
    for split in task.splits:
        for _ in range(60):
            p = task.draw(split, rng)
            facts, rules, asked = p.prompt[:-1].split(";")
            known = derivable(facts, rules.split(","))
            assert p.answer == ("yes" if asked in known else "no")
            assert asked not in facts
            if p.answer == "no":
                assert {r[-1] for r in p.solution[:-1]} == known - set(facts)
            else:
                # no step can be left out
                for kept in combinations(p.solution[:-1], len(p.solution) - 2):
                    assert asked not in derivable(facts, kept)
            assert set(task.verify(p, said(p, "\n".join(p.solution))).values()) == {1.0}


def features(p):
    """What shows of a question without deriving anything."""
    facts, rules, asked = p.info["facts"], p.info["rules"], p.info["asked"]
    heads, rule = [r[-1] for r in rules], next(r for r in p.info["rules"] if r[-1] == p.info["asked"])
    body = rule[:-2]
    return {
        "letter": asked,
        "place of its rule": rules.index(rule),
        "place of its rule from the end": len(rules) - rules.index(rule),
        "premises": len(body),
        "premises that are facts": sum(c in facts for c in body),
        "premises that are concluded": sum(c in heads for c in body),
        "facts two rules deep": sum(c in facts for r in rules if r[-1] in body for c in r[:-2]),
        "uses": sum(asked in r[:-2] for r in rules),
        "concluded by": heads.count(asked),
        "rules": len(rules),
        "facts": len(facts),
        "facts after it": sum(c > asked for c in facts),
        "length": len(p.prompt),
        "facts used": sum(c in facts for r in rules for c in r[:-2]),
    }


@pytest.mark.parametrize("task", [Deduce(3, 3, 5, 6, side=1), Deduce(3, 3, 4, 5)])
def test_nothing_on_the_surface_tells_yes_from_no(task):
    rng = random.Random(2)
    seen = [(features(p), p.answer) for p in (task.draw("train", rng) for _ in range(4000))]
    yes = sum(a == "yes" for _, a in seen)
    assert 0.47 < yes / 4000 < 0.53
    for name in seen[0][0]:
        # the best guess from this feature, learnt on one half and tried on the other
        votes = {}
        for found, answer in seen[:2000]:
            votes[found[name]] = votes.get(found[name], 0) + (1 if answer == "yes" else -1)
        hits = sum((votes.get(found[name], 0) > 0) == (answer == "yes") for found, answer in seen[2000:])
        assert hits / 2000 < 0.54, (name, hits / 2000)


def test_both_questions_to_the_same_rules_share_a_split():
    task, rng = Deduce(3, 4, 5, 6, side=1), random.Random(3)
    for _ in range(100):
        p = task.draw("test", rng)
        ends = [r[-1] for r in p.info["rules"]]
        for letter in ends:
            twin = Problem("x", "", "", (), {**p.info, "asked": letter})
            assert task.split_of(twin) == "test"


def test_corrupt_concludes_wrongly_and_is_misled():
    rng, wrong, steps, misled = random.Random(4), 0, 0, 0
    for p in TASK.fixed("train", 300):
        assert TASK.corrupt(p, rng, 0.0) == p.solution
        assert TASK.check_steps(p, TASK.corrupt(p, rng, 1.0))[0] is False
        got = TASK.corrupt(p, rng, 0.3)
        valid = TASK.check_steps(p, got)[:-1]
        wrong, steps = wrong + valid.count(False), steps + len(valid)
        misled += got[-1] != p.solution[-1]
    assert 0.25 < wrong / steps < 0.35
    assert misled > 60


def test_as_few_letters_as_suffice_unless_more_are_asked_for():
    # depth 4: two copies of 6 letters, and the fact they share
    rng = random.Random(5)
    for task, last in ((Deduce(1, 2, 3, 4), "m"), (Deduce(1, 2, 3, 4, letters=14), "n"), (Deduce(), "k")):
        seen = {c for _ in range(200) for c in task.lesson(rng)[0].prompt if c.isalpha()}
        seen |= {c for _ in range(200) for c in "".join(task.lesson(rng)[1][:-1]) if c.isalpha()}
        assert (min(seen), max(seen)) == ("a", last)
    with pytest.raises(SharpenError, match="letters must be a whole number from 13 to 26, and it is 12"):
        Deduce(1, 2, 3, 4, letters=12)


def test_more_letters_than_there_are_is_refused():
    with pytest.raises(SharpenError, match="depth 10 with 2 side rules needs more than 26 letters"):
        Deduce(harder_high=10, side=2)
