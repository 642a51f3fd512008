"""When two answers are the same."""

from fractions import Fraction

import pytest

from sharpen.task.match import choice, form, number, same


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("72", 72),
        ("+72.0", 72),
        ("-0", 0),
        ("-0.00", 0),
        ("−5", -5),
        ("1,234,567", 1234567),
        ("1{,}000", 1000),
        ("$1,000.50", Fraction(2001, 2)),
        ("-$5", -5),
        ("\\$72", 72),
        ("$72$", 72),
        ("72 apples", 72),
        ("60 km/hour.", 60),
        ("50%", 50),
        ("50\\%", 50),
        ("5kg", 5),
        (".5", Fraction(1, 2)),
        ("72.", 72),
        ("3/4", Fraction(3, 4)),
        ("-\\frac{1}{2}", Fraction(-1, 2)),
        ("1e3", 1000),
        ("2.5E-1", Fraction(1, 4)),
        ("0e99999999999", 0),
        ("1/0", None),
        ("1,23", None),
        ("12,34", None),
        ("1.2.3", None),
        ("3 million", None),
        ("3 or 4", None),
        ("3 or four", None),
        ("2x", None),
        ("2 x", None),
        ("10²", None),
        ("٧٢", None),
        ("nan", None),
        ("inf", None),
        ("", None),
        (".", None),
        ("-", None),
        ("1_000", None),
        ("0x10", None),
    ],
)
def test_numbers(text: str, value: Fraction | int | None) -> None:
    assert number(text) == value


def test_exponents_cost_nothing_and_equal_numbers_share_a_form() -> None:
    assert number("1e999999999999999999") == ("1", 999999999999999999)
    assert number("10e999999999999999998") == ("1", 999999999999999999)
    assert number("-120e-500000") == ("-12", -499999)
    assert number("1e9999999999999999999") is None  # an exponent of nineteen digits
    assert number("9" * 5000) == ("9" * 5000, 0)
    assert not same("1e999999999", "1e999999998", "number")


def test_nothing_is_rounded() -> None:
    assert same("0.1", "1/10", "number")
    assert not same("0.30000000000000004", "0.3", "number")
    assert not same("0.333333", "1/3", "number")
    assert same("100000000000000000001", "1.00000000000000000001e20", "number")


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("B", "B"),
        ("(b)", "B"),
        ("B. Paris", "B"),
        ("\\text{C}", "C"),
        ("**D**", "D"),
        ("A or B", None),
        ("AB", None),
        ("", None),
    ],
)
def test_choices(text: str, letter: str | None) -> None:
    assert choice(text) == letter


def test_text() -> None:
    assert same("New  York.", "new york", "exact")
    assert same("$x+1$", "x+1", "exact")
    assert not same("x²", "x2", "exact")
    assert not same("", "", "exact")


def test_forms_for_votes() -> None:
    assert form("1,000", "number") == form("1000.0", "number") == "1000"
    assert form("0.5", "math") == form("1/2", "math") == "1/2"
    assert form("x + 1", "math") == "x+1"
    assert form("nine", "number") is None
