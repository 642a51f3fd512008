"""Where an answer stands in a text, and texts that try to cheat."""

import pytest

from sharpen.errors import SharpenError
from sharpen.task.extract import check_rules, extract, render


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("so \\boxed{72}", "72"),
        ("\\boxed{1} no, \\boxed{2}", "2"),
        ("\\boxed{\\frac{1}{2}}", "\\frac{1}{2}"),
        ("\\boxed{\\boxed{5}}", "5"),
        ("\\boxed{ \\boxed{5} }", "5"),
        ("\\boxed{\\boxed{5}+1}", "\\boxed{5}+1"),
        ("\\boxed{\\boxed 5}", "5"),
        ("\\boxed", None),
        ("\\boxed{3+\\boxed{5}}", "3+\\boxed{5}"),
        ("\\boxed{a\\}b}", "a\\}b"),
        ("\\boxed 7$", "7"),
        ("\\fbox{8}", "8"),
        ("\\boxed{4} then \\boxed{5", "4"),  # the second box was cut off
        ("\\boxed{}", None),
        ("2+2=4\n#### 4", "4"),
        ("#### 1\n#### 2", "2"),
        ("##### five", None),
        ("2*3=6\n#6", "6"),
        ("2*3=6\n#6\n\n", "6"),
        ("#6\nand more", None),
        ("## Title", None),
        ("<answer> x y </answer>", "x y"),
        ("<answer>1</answer><answer>2</answer>", "2"),
        ("<answer>1<answer>2</answer>", "2"),
        ("<answer>1", None),
        ("The answer is 3.5. Done.", "3.5"),
        ("the final answer is: **7**", "7"),
        ("the answer is 1. No, the answer is 2.", "2"),
        ("", None),
        ("seventy-two", None),
        ("#1e999999999", "1e999999999"),
        ("#٧٢", "٧٢"),
        ("#-0", "-0"),
        ("{" * 5000 + "\\boxed{" * 5000, None),
    ],
)
def test_one_place(text: str, answer: str | None) -> None:
    assert extract(text) == answer


def test_the_order_of_rules_decides_between_places() -> None:
    text = "The answer is 1.\n<answer>2</answer> \\boxed{3}\n#### 4\n#5"
    assert extract(text) == "3"
    assert [extract(text, (r,)) for r in ("tag", "####", "#", "phrase", "boxed")] == ["2", "4", "5", "1", "3"]
    assert extract(text, ("#", "boxed")) == "5"
    assert extract(" 12 ", ("whole",)) == "12"
    assert extract(" 12 ") is None


@pytest.mark.parametrize("rule", ["boxed", "tag", "####", "#", "phrase", "whole"])
def test_what_is_stated_is_read_back(rule: str) -> None:
    for answer in ("72", "-1/2", "(a, b)"):
        stated = render(answer, (rule,))
        assert stated is not None
        assert extract(stated, (rule,)) == answer


def test_an_answer_no_rule_can_state() -> None:
    assert render("two\nlines", ("#",)) is None
    assert render("two\nlines", ("#", "tag")) == "<answer>two\nlines</answer>"


def test_wrong_rules() -> None:
    with pytest.raises(SharpenError, match=r"Unknown rule 'box' .* Did you mean boxed\?"):
        check_rules(("box",))
    with pytest.raises(SharpenError, match="No rule says where the answer stands"):
        check_rules(())
