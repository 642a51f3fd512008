"""Finding and comparing answers: no text raises or takes long, and none is right without the answer in it."""

from __future__ import annotations

import json
import random
import unicodedata
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import oracles
from fuzzing import MANY, SECONDS, fuzz, texts, within
from sharpen.latents import read
from sharpen.task.extract import KNOWN, RULES, boxed, extract
from sharpen.task.files import Files
from sharpen.task.judge import Judge
from sharpen.task.match import choice, form, number, same, text_form
from sharpen.task.text import said


@fuzz(150)
@given(texts(), st.lists(st.sampled_from(KNOWN), min_size=1, max_size=4))
def test_an_answer_is_a_piece_of_the_text(text, rules):
    with within():
        found = extract(text, rules)
        inner = boxed(text)
    assert found is None or (found and found in text)
    assert inner is None or inner in text


@fuzz(150)
@given(texts())
def test_comparing_never_raises_nor_takes_long(text):
    with within(2 * SECONDS):
        forms = {how: form(text, how) for how in ("exact", "number", "choice", "math")}
        for how, a in forms.items():
            assert a is None or isinstance(a, str)
            assert same(text, text, how) == (a is not None)


@fuzz(200)
@given(st.one_of(texts(), st.text(st.sampled_from("0123456789.,eE+-/%$ \\{}frac\u2212\u0667"), max_size=16)))
def test_a_number_is_the_only_one_in_its_text(text):
    """Read anew, character by character: one numeral of that value, or a fraction of two."""
    assume(len(text) < 2000)
    value = number(text)
    if not isinstance(value, Fraction):
        return
    there = oracles.numerals(text.replace("{,}", ",").replace("\\,", "").replace("\\!", ""))
    assume(Fraction(-1) not in there)
    size = abs(value)
    if len(there) == 2:
        assert "/" in text or "frac" in text
        assert there[1] != 0
        assert there[0] / there[1] == size
    else:
        assert there == [size]
    assert (value < 0) <= ("-" in text or "\u2212" in text)


@st.composite
def written(draw) -> tuple[Fraction, str]:
    """A number and one of its spellings."""
    sign, n = draw(st.sampled_from([1, -1])), draw(st.integers(0, 10**9))
    minus = draw(st.sampled_from(["-", "\u2212"])) if sign < 0 else draw(st.sampled_from(["", "+"]))
    kind = draw(st.sampled_from(["plain", "zeros", "commas", "decimal", "exponent", "ratio", "frac", "money", "unit"]))
    if kind in ("ratio", "frac"):
        d = draw(st.integers(1, 1000))
        body = f"{n}/{d}" if kind == "ratio" else f"\\frac{{{n}}}{{{d}}}"
        return Fraction(sign * n, d), ("-" if sign < 0 else "") + body
    if kind == "decimal":
        k = draw(st.integers(1, 6))
        return Fraction(sign * n, 10**k), f"{minus}{n // 10**k}.{n % 10**k:0{k}d}" + "0" * draw(st.integers(0, 3))
    if kind == "exponent":
        e = draw(st.integers(-9, 9))
        return Fraction(sign * n) * Fraction(10) ** e, f"{minus}{n}e{e}"
    body = {"zeros": f"00{n}", "commas": f"{n:,}", "money": f"${n}", "unit": f"{n} km"}.get(kind, str(n))
    return Fraction(sign * n), minus + body


@fuzz(200)
@given(written(), written())
def test_numbers_are_equal_as_their_values_are(a, b):
    assert number(a[1]) == a[0]
    assert same(a[1], b[1], "number") == (a[0] == b[0])
    near = a[0] + Fraction(1, 10**30)
    assert not same(a[1], f"{near.numerator}/{near.denominator}", "number")


@fuzz(150)
@given(texts(), st.sampled_from("ABCD"))
def test_a_choice_is_a_letter_that_stands_in_the_text(text, gold):
    assume(len(text) < 2000)
    if same(text, gold, "choice"):
        assert gold in text.upper()
        bare = (
            text.replace("\\textbf{", "")
            .replace("\\text{", "")
            .lstrip(" \t\n\r\x0b\x0c\x1c\x1d\x1e\x1f\x85$*(\u2028\u2029\xa0")
        )
        assert bare[:1].upper() == gold
        assert choice(gold) == gold


@fuzz(150)
@given(texts(), st.sampled_from(["yes", "Paris", "\u00e9t\u00e9", "x+1", "7"]))
def test_an_equal_text_holds_the_gold_answer(text, gold):
    if same(text, gold, "exact"):
        plain = "".join(unicodedata.normalize("NFC", text).casefold().split()).strip("$.")
        assert plain == "".join(text_form(gold).split())


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"{i}*1003", "answer": 1003 * i}) + "\n" for i in range(1, 40)))
    return Files(str(path))


def test_no_text_without_the_answer_is_right(rows):
    @fuzz(150)
    @given(texts(), st.integers(0, 9))
    def check(text, which):
        problem = rows.fixed("train", 10)[which]
        with within():
            rewards = rows.verify(problem, said(problem, text))
        assert rewards["unjudged"] == 0.0
        assert rewards["correct"] == 0.0 or Fraction(problem.answer) in oracles.numerals(text.replace("{,}", ","))

    check()


FORMS = ["\\boxed{@}", "<answer>@</answer>", "#### @", "#@", "The answer is @."]


@fuzz(150)
@given(st.data())
def test_of_several_answers_the_last_in_the_first_place_counts(data):
    """Answers in several places, in any order, around noise: what the rules say, told by the test's own reading."""
    parts = data.draw(
        st.lists(st.tuples(st.sampled_from(range(len(FORMS))), st.integers(0, 9)), min_size=1, max_size=5)
    )
    text = "\n".join(FORMS[kind].replace("@", str(d)) for kind, d in parts)
    for kind in range(len(FORMS)):
        found = [d for k, d in parts if k == kind]
        if kind == 3:  # a lone mark must open the last line
            found = [parts[-1][1]] if parts[-1][0] == 3 else []
        if found:
            assert extract(text, RULES) == str(found[-1])
            return
    assert extract(text, RULES) is None


@fuzz(100)
@given(texts(), st.sampled_from([(2,), (8, 8), (1, 1), (3,)]))
def test_a_latent_is_read_or_not(text, shape):
    with within():
        x = read(text, shape)
    assert x is None or (x.numel() in (1, 2, 3, 64) and bool(x.isfinite().all()))


def test_mathematics_is_judged_in_time_and_not_by_chance():
    """Every text gets a verdict; what has no gold answer in it is wrong; a death or an overrun is `unjudged`."""
    pytest.importorskip("math_verify")
    rng = random.Random(0 if not MANY else None)
    golds = ["137", "\\frac{137}{11}", "x^2+137", "(137,2)"]
    pieces = [
        "\\frac{",
        "}",
        "{",
        "1",
        "3",
        "x",
        "^",
        "\\sqrt",
        "+",
        "(",
        ",",
        "\\text{or}",
        "=",
        "\\cup",
        "\ud800",
        "\x00",
        "٣",
    ]
    pairs = []
    for i in range(MANY // 20 or 60):
        text = "".join(rng.choice(pieces) for _ in range(rng.randrange(1, 30))) * (1 if i % 9 else 500)
        pairs.append((text, golds[i % 4], str(i)))
    judge = Judge("math", timeout=5.0)
    try:
        found = judge.rewards(pairs)
    finally:
        judge.pool.close()
    for (text, _, _), r in zip(pairs, found, strict=True):
        assert set(r.values()) <= {0.0, 1.0}
        assert r["correct"] == 0.0 or "137" in text
