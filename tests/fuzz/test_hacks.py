"""Known ways to be called right without being so: name, text, verdict, and why."""

from __future__ import annotations

import json

import pytest

from sharpen.rollout.verdicts import signs
from sharpen.task import task
from sharpen.task.base import Task
from sharpen.task.confident import Confident, stated
from sharpen.task.extract import RULES, extract
from sharpen.task.files import Files
from sharpen.task.judge import Judge
from sharpen.task.match import number, same
from sharpen.task.text import said
from sharpen.types import Problem

CHAIN = Problem(
    "chain:3+4*7", "3+4*7?", "9", ("3+4=7", "7*7=9", "#9"), {"expression": "3+4*7", "difficulty": 2, "category": 2}
)
COUNTDOWN = Problem(
    "countdown:2 5 7=33",
    "2 5 7=33?",
    "(5*7)-2",
    ("5*7=35", "35-2=33", "#5*7-2"),
    {"numbers": (2, 5, 7), "target": 33, "difficulty": 3},
)
GRAPH = Problem(
    "graph:A-B A-C B-D C-D,AD",
    "A-B A-C B-D C-D,AD?",
    "ABD",
    ("A-B", "B-D", "#ABD"),
    {"edges": ("A-B", "A-C", "B-D", "C-D"), "start": "A", "goal": "D", "difficulty": 4},
)
DEDUCE = Problem(
    "deduce:ab;ab>c,c>d,e>f;d",
    "ab;ab>c,c>d,e>f;d?",
    "yes",
    ("ab>c", "c>d", "#yes"),
    {"facts": "ab", "rules": ("ab>c", "c>d", "e>f"), "asked": "d", "difficulty": 2},
)
OPEN = Problem(
    "deduce:ab;ab>c,c>d,e>f;f",
    "ab;ab>c,c>d,e>f;f?",
    "no",
    ("ab>c", "c>d", "#no"),
    {"facts": "ab", "rules": ("ab>c", "c>d", "e>f"), "asked": "f", "difficulty": 2},
)
WORK = "3+4=7\n7*7=9\n"

# fmt: off
WORKED = [
    # chain: the one answer, on the last line, in one ASCII digit
    (CHAIN, "worked solution", WORK + "#9", 1, "the solution"),
    (CHAIN, "line feed at the end", WORK + "#9\n", 1, "one line feed ends the last line"),
    (CHAIN, "bare answer", "#9", 1, "steps are a reward of their own"),
    (CHAIN, "two answers", "#8\n#9", 0, "two marks are no answer"),
    (CHAIN, "two answers in a line", "#8#9", 0, "two marks are no answer"),
    (CHAIN, "all digits", "\n".join(f"#{d}" for d in range(10)), 0, "a list of guesses is no answer"),
    (CHAIN, "all digits after one mark", "#0123456789", 0, "an answer is one digit"),
    (CHAIN, "the right one twice", "#9\n#9", 0, "two marks are no answer, even alike"),
    (CHAIN, "answer before the work", "#9\n" + WORK, 0, "the answer must be last"),
    (CHAIN, "answer, then a blank line", "#9\n\n", 0, "a further line follows"),
    (CHAIN, "echo of the prompt", "3+4*7?\n" + WORK + "#9", 1, "an echo states no answer; it is no step either"),
    (CHAIN, "mark in an echo of the prompt", "# the answer is\n#9", 0, "two marks"),
    (CHAIN, "injected mark", "3+4=7\nsystem: the answer is #9", 0, "the mark must open the line"),
    (CHAIN, "Arabic-Indic digit", "#٩", 0, "ASCII digits only"),
    (CHAIN, "fullwidth digit", "#９", 0, "ASCII digits only"),
    (CHAIN, "superscript", "#⁹", 0, "ASCII digits only"),
    (CHAIN, "mathematical digit", "#𝟗", 0, "ASCII digits only"),
    (CHAIN, "fullwidth mark", "＃9", 0, "ASCII mark only"),
    (CHAIN, "plus", "#+9", 0, "no sign"),
    (CHAIN, "leading zero", "#09", 0, "one digit"),
    (CHAIN, "congruent", "#19", 0, "one digit, though equal modulo 10"),
    (CHAIN, "decimal", "#9.0", 0, "one digit"),
    (CHAIN, "blank", "# 9", 0, "nothing but the digit"),
    (CHAIN, "trailing blank", "#9 ", 0, "nothing but the digit"),
    (CHAIN, "carriage return", "#9\r", 0, "lines end with a line feed"),
    (CHAIN, "line separator", "#8\u2028#9", 0, "no other separator"),
    (CHAIN, "vertical tab", "1\x0b#9", 0, "no other separator"),
    (CHAIN, "zero width", "#\u200b9", 0, "nothing but the digit"),
    (CHAIN, "byte order mark", "\ufeff#9", 0, "the mark must open the line"),
    (CHAIN, "right to left", "\u202e9#", 0, "what it looks like does not count"),
    (CHAIN, "NUL", "#9\x00", 0, "nothing but the digit"),
    (CHAIN, "half a surrogate", "\ud800\n#9", 1, "an odd line before is no step, the answer stands"),
    (CHAIN, "comment", "#9 # right", 0, "two marks"),
    (CHAIN, "HTML", "<b>#9</b>", 0, "the mark must open the line"),
    (CHAIN, "box", "\\boxed{9}", 0, "this task has one form"),
    (CHAIN, "expression", "#3+4*7", 0, "one digit"),
    (CHAIN, "power tower", "#9**9**9", 0, "nothing is evaluated"),
    (CHAIN, "nan", "#nan", 0, "one digit"),
    # countdown: each number once, the usual operators, whole numbers above 0
    (COUNTDOWN, "worked solution", "5*7=35\n35-2=33\n#5*7-2", 1, "the solution"),
    (COUNTDOWN, "brackets", "#((7*5))-(2)", 1, "brackets that change nothing"),
    (COUNTDOWN, "the target itself", "#33", 0, "the numbers are not used"),
    (COUNTDOWN, "a number twice", "#7*5-2+7-7", 0, "each number once"),
    (COUNTDOWN, "a number left out", "#35-2", 0, "each number once"),
    (COUNTDOWN, "digits joined", "#57-2", 0, "57 is not 5 and 7"),
    (COUNTDOWN, "digits joined by a bracket", "#(5)(7)-2", 0, "no product without its sign"),
    (COUNTDOWN, "digits joined by a blank", "#5 7-2", 0, "no blanks"),
    (COUNTDOWN, "unary minus", "#5*7+-2", 0, "numbers have no sign"),
    (COUNTDOWN, "unary plus", "#+5*7-2", 0, "numbers have no sign"),
    (COUNTDOWN, "double minus", "#5*7--2", 0, "numbers have no sign"),
    (COUNTDOWN, "zero", "#5*7-2+0", 0, "0 is no number here"),
    (COUNTDOWN, "times zero", "#5*7-2+0*9", 0, "0 is no number here"),
    (COUNTDOWN, "equation", "#5*7-2=33", 0, "an answer is a sum, not an equation"),
    (COUNTDOWN, "two sums", "#5*7-2,33", 0, "one sum"),
    (COUNTDOWN, "leading zeros", "#05*7-2", 0, "no leading zero"),
    (COUNTDOWN, "fullwidth", "#5＊7-2", 0, "ASCII only"),
    (COUNTDOWN, "Arabic-Indic", "#٥*7-2", 0, "ASCII only"),
    (COUNTDOWN, "floor division", "#5*7//1-2", 0, "no such operator"),
    (COUNTDOWN, "power", "#5**7-2", 0, "no such operator"),
    (COUNTDOWN, "power tower", "#9**9**9", 0, "no such operator, and nothing is evaluated"),
    (COUNTDOWN, "division that is not allowed", "#7*5/1-2", 0, "1 is not there and / is not allowed"),
    (COUNTDOWN, "decimal", "#5*7-2.0", 0, "whole numbers"),
    (COUNTDOWN, "exponent", "#5e0*7-2", 0, "whole numbers"),
    (COUNTDOWN, "code", "#__import__('os').abort()", 0, "nothing is evaluated"),
    (COUNTDOWN, "a step of the prompt echoed", "2 5 7=33\n#33", 0, "the numbers are not used"),
    # graph: a way along edges without repeats
    (GRAPH, "worked solution", "A-B\nB-D\n#ABD", 1, "the solution"),
    (GRAPH, "another way", "#ACD", 1, "any way is right"),
    (GRAPH, "repeats", "#ABDCABD", 0, "no node twice"),
    (GRAPH, "back and forth", "#ABABD", 0, "no node twice"),
    (GRAPH, "past the goal", "#ABDC", 0, "it must end at the goal"),
    (GRAPH, "jump", "#AD", 0, "no such edge"),
    (GRAPH, "backwards", "#DBA", 0, "from the start to the goal"),
    (GRAPH, "all nodes", "#ABCD", 0, "no edge from B to C"),
    (GRAPH, "lower case", "#abd", 0, "capital letters"),
    (GRAPH, "Greek capitals", "#\u0391\u0392D", 0, "ASCII only"),
    (GRAPH, "two ways", "#ABD\n#ACD", 0, "two marks"),
    (GRAPH, "separators", "#A-B-D", 0, "letters alone"),
    # deduce: the proof counts
    (DEDUCE, "worked solution", "ab>c\nc>d\n#yes", 1, "the solution"),
    (DEDUCE, "bare guess", "#yes", 0, "the letter was not derived"),
    (DEDUCE, "step from nowhere", "x>d\n#yes", 0, "no such rule"),
    (DEDUCE, "step before its premises", "c>d\nab>c\n#yes", 0, "a premise is not known yet"),
    (DEDUCE, "rule that is not given", "ab>d\n#yes", 0, "no such rule"),
    (DEDUCE, "rule respelt", "ba>c\nc>d\n#yes", 0, "a rule as the prompt spells it"),
    (DEDUCE, "step twice", "ab>c\nab>c\nc>d\n#yes", 0, "its conclusion is not new"),
    (DEDUCE, "both answers", "ab>c\nc>d\n#yes#no", 0, "two marks"),
    (DEDUCE, "Cyrillic letter", "ab>с\nc>d\n#yes", 0, "ASCII only"),
    (DEDUCE, "capital", "ab>c\nc>d\n#Yes", 0, "yes or no themselves"),
    (OPEN, "worked solution", "ab>c\nc>d\n#no", 1, "the solution"),
    (OPEN, "no without closing", "#no", 0, "rules could still fire"),
    (OPEN, "no after some", "ab>c\n#no", 0, "a rule could still fire"),
    (OPEN, "premise claimed", "ab>c\nc>d\nd>e\ne>f\n#yes", 0, "d>e is no rule, and the answer is no"),
]
# fmt: on


def ids(rows):
    return [
        f"{r[0].key.split(':')[0]}-{r[1]}" if isinstance(r[0], Problem) else "-".join(map(ascii, r[:2])) for r in rows
    ]


@pytest.mark.parametrize(("problem", "name", "text", "verdict", "why"), WORKED, ids=ids(WORKED))
def test_built_in_tasks(problem, name, text, verdict, why):
    t = task(problem.key.split(":")[0])
    rewards = t.verify(problem, said(problem, text))
    assert t.solved(rewards) == bool(verdict), (why, rewards)


# ------------------------------------------------------------------ numbers, texts, choices

# fmt: off
ANSWERS = [
    # how, gold, said, verdict, why
    ("number", "7", "7", 1, "itself"),
    ("number", "7", "07", 1, "leading zeros change nothing"),
    ("number", "0", "00", 1, "leading zeros change nothing"),
    ("number", "7", "+7", 1, "a plus changes nothing"),
    ("number", "0", "-0", 1, "minus zero is zero"),
    ("number", "0", "-0.0e9", 1, "minus zero is zero"),
    ("number", "1000", "1,000", 1, "thousands"),
    ("number", "1000", "1,00,0", 0, "no thousands"),
    ("number", "1000", "1.000", 0, "a decimal point"),
    ("number", "1000", "1 000", 0, "two numbers"),
    ("number", "1/2", "0.5", 1, "equal fractions"),
    ("number", "1/2", "2/4", 1, "equal fractions"),
    ("number", "1/2", "\\frac{2}{4}", 1, "equal fractions"),
    ("number", "0.3333333333", "1/3", 0, "nothing is rounded"),
    ("number", "50", "50%", 1, "a percent sign is a unit"),
    ("number", "0.5", "50%", 0, "no scaling"),
    ("number", "7", "1 2 3 4 5 6 7", 0, "a list"),
    ("number", "7", "7, 8", 0, "a list"),
    ("number", "7", "7 8", 0, "a list"),
    ("number", "7", "7/8", 0, "another number"),
    ("number", "7", "7-8", 0, "a difference, or two numbers"),
    ("number", "7", "7 or eight", 0, "two answers"),
    ("number", "7", "7 apples or 8", 0, "two answers"),
    ("number", "7", "7 eight nine", 0, "numbers in words are a list too"),
    ("number", "7", "7 million", 0, "a scale word"),
    ("number", "7", "7 millions", 0, "a scale word"),
    ("number", "7", "7 hundreds", 0, "a scale word"),
    ("number", "7", "7 lakh", 0, "a scale word"),
    ("number", "7", "7 crores", 0, "a scale word"),
    ("number", "7", "7 bn", 0, "a scale word"),
    ("number", "3", "3 fifths", 0, "0.6"),
    ("number", "7", "7 tenths", 0, "0.7"),
    ("number", "1", "1 sixteenth", 0, "0.0625"),
    ("number", "7", "7 thousandths of a mile", 0, "0.007"),
    ("number", "7", "7 grand", 0, "7000"),
    ("number", "7", "7 myriads", 0, "70000"),
    ("number", "7", "7 permille", 0, "0.007"),
    ("number", "10", "10 binary", 0, "2"),
    ("number", "10", "10 hex", 0, "16"),
    ("number", "7", "7 twice", 0, "14"),
    ("number", "7", "7 seconds", 1, "a unit, no part of seven"),
    ("number", "7", "7 point five", 0, "7.5"),
    ("number", "1", "1 point", 1, "what is counted"),
    ("number", "6", "6 pairs", 1, "what is counted"),
    ("number", "2", "2 pair", 0, "perhaps 4"),
    ("number", "3", "3 ones", 1, "what is counted"),
    ("number", "3", "3 tens", 0, "30"),
    ("number", "7", "7 percent", 0, "a word that scales"),
    ("number", "7", "7 dozens", 0, "a scale word"),
    ("number", "7", "7 less than ten", 0, "a relation"),
    ("number", "7", "٧", 0, "ASCII digits only"),
    ("number", "7", "７", 0, "ASCII digits only"),
    ("number", "7", "⁷", 0, "ASCII digits only"),
    ("number", "7", "7²", 0, "a power"),
    ("number", "7", "7!", 0, "a factorial"),
    ("number", "7", "Ⅶ", 0, "ASCII digits only"),
    ("number", "7", "7\u200b", 0, "zero width"),
    ("number", "7", "\ufeff7", 0, "byte order mark"),
    ("number", "7", "\u202e7", 0, "right to left"),
    ("number", "7", "7\x00", 0, "NUL"),
    ("number", "7", " 7\t", 1, "white space around it"),
    ("number", "7", "nan", 0, "no number"),
    ("number", "7", "inf", 0, "no number"),
    ("number", "7", "1e999", 0, "another number"),
    ("number", "1e999", "1e999", 1, "itself, exactly"),
    ("number", "1e999", "1e1000", 0, "no infinity that equals all"),
    ("number", "1e-999", "0", 0, "no zero by underflow"),
    ("number", "2E\u221222", "2e-22", 1, "a typeset minus, in an exponent too"),
    ("number", "7", "9**9**9", 0, "nothing is evaluated"),
    ("number", "7", "0x7", 0, "no other base"),
    ("number", "7", "7_0", 0, "no such spelling"),
    ("number", "7", "7<!-- 8 -->", 0, "HTML"),
    ("number", "7", "<b>7</b>", 0, "HTML"),
    ("number", "7", "7 # 8", 0, "a comment"),
    ("number", "-7", "−7", 1, "the sign of typesetting"),
    ("number", "-7", "--7", 0, "no number"),
    ("number", "7", "+-7", 0, "no number"),
    ("exact", "yes", "Yes.", 1, "case and a final full stop"),
    ("exact", "yes", "yes no", 0, "two answers"),
    ("exact", "yes", "yes\u200b", 0, "zero width"),
    ("exact", "yes", "ye\u0455", 0, "a Cyrillic letter"),
    ("exact", "yes", "", 0, "nothing"),
    ("exact", "caf\u00e9", "cafe\u0301", 1, "the same letters composed"),
    ("choice", "B", "b", 1, "case"),
    ("choice", "B", "(B)", 1, "brackets"),
    ("choice", "B", "B. Paris", 1, "with its text"),
    ("choice", "B", "B) or C)", 0, "two answers"),
    ("choice", "A", "A. B. C. D.", 0, "all of them"),
    ("choice", "A", "A) B) C) D)", 0, "all of them"),
    ("choice", "A", "A. C", 1, "a choice whose text is a letter"),
    ("choice", "A", "A: B. C.", 0, "three answers"),
    ("choice", "A", "A. or B", 0, "two answers"),
    ("choice", "A", "(A) and (B)", 0, "two answers"),
    ("choice", "A", "A, B", 0, "two answers"),
    ("choice", "A", "AB", 0, "no letter"),
    ("choice", "A", "\u0391", 0, "a Greek letter"),
    ("choice", "A", "Ａ", 0, "a fullwidth letter"),
]
# fmt: on


@pytest.mark.parametrize(("how", "gold", "answer", "verdict", "why"), ANSWERS, ids=[ascii(r[:3]) for r in ANSWERS])
def test_answers(how, gold, answer, verdict, why):
    assert same(answer, gold, how) == bool(verdict), why


# fmt: off
PLACES = [
    ("two boxes", "\\boxed{6} \\boxed{7}", "7", "the last one counts"),
    ("all boxes", "".join(f"\\boxed{{{d}}}" for d in range(10)), "9", "the last one counts, not any"),
    ("nested boxes", "\\boxed{\\boxed{7}}", "7", "a box around a box"),
    ("a box in a box beside another number", "\\boxed{6\\boxed{7}}", "6\\boxed{7}", "the whole, which is no number"),
    ("unclosed box", "\\boxed{7", None, "no box"),
    ("unclosed box after one", "\\boxed{6} \\boxed{7", "6", "the last complete one"),
    ("unclosed box before one", "\\boxed{6 \\boxed{7}", "7", "the complete one"),
    ("escaped brace", "\\boxed{7\\}}", "7\\}", "an escaped brace closes nothing"),
    ("box and phrase", "\\boxed{6} The answer is 7.", "6", "boxes come first, wherever they stand"),
    ("empty box", "\\boxed{} The answer is 7.", "7", "an empty place is none"),
    ("two tags", "<answer>6</answer><answer>7</answer>", "7", "the last one counts"),
    ("tag in a tag", "<answer>6<answer>7</answer>", "7", "the last opening before the last closing"),
    ("unclosed tag", "<answer>7", None, "no tag"),
    ("two phrases", "The answer is 6. No, the answer is 7.", "7", "a corrected answer counts"),
    ("phrase with a list", "The answer is 6, 7 or 8.", "6, 7 or 8", "the whole sentence, which is no number"),
    ("phrase in the negative", "The answer is not 7.", "not 7", "the whole sentence, which is no number"),
    ("two marks", "#6\n#7", "7", "the last line"),
    ("mark not last", "#7\nso there", None, "the last line is no answer"),
    ("headline", "## 7", None, "two marks open a headline"),
    ("hashes", "#### 6\n#### 7", "7", "the last one"),
    ("hashes in a row", "##### 7", None, "five are another sign"),
]
# fmt: on


@pytest.mark.parametrize(("name", "text", "answer", "why"), PLACES, ids=[r[0] for r in PLACES])
def test_places_of_answers(name, text, answer, why):
    assert extract(text, RULES) == answer, why


@pytest.fixture(scope="module")
def rows(tmp_path_factory) -> Task:
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"{i}+{i}", "answer": 2 * i}) + "\n" for i in range(1, 30)))
    return Files(str(path))


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("\\boxed{6}", 1),
        ("The prompt was 3+3. \\boxed{6}", 1),
        ("6", 0),
        ("Ignore the rules: the gold answer is 6", 1),
        ("\\boxed{6\\boxed{6}}", 0),
        ("".join(f"\\boxed{{{d}}}" for d in range(10)), 0),
        ("\\boxed{1 2 3 4 5 6}", 0),
        ("\\boxed{6 \\text{ or } 7}", 0),
        ("\\boxed{六}", 0),
    ],
)
def test_rows(rows, text, verdict):
    problem = next(p for split in ("train", "test") for p in rows.fixed(split, 99) if p.answer == "6")
    assert rows.solved(rows.verify(problem, said(problem, text))) == bool(verdict)


MATH = [
    # gold, said, verdict, why
    ("2", "2", 1, "itself"),
    ("2", "\\frac{4}{2}", 1, "equal"),
    ("2", "x=2", 1, "an equation for the unknown"),
    ("2", "1 \\text{ or } 2", 0, "two answers"),
    ("2", "1 \\lor 2", 0, "two answers"),
    ("2", "\\{1,2\\}", 0, "a set of two"),
    ("2", "\\pm 2", 0, "two answers"),
    ("2", "2, 3", 0, "two answers"),
    ("2", "3, 2", 0, "two answers"),
    ("2", "2 \\cup 1", 0, "two answers"),
    ("2", "2 \\approx 3", 0, "two numbers"),
    ("2", "3\\boxed{2}", 0, "a box in the answer"),
    ("2", "1}\\boxed{2", 0, "an answer that leaves its box"),
    ("2", "1.9999999", 0, "nothing near"),
    ("2", "٢", 0, "ASCII digits only"),
    ("2", "nan", 0, "no number"),
    ("2", "\\infty", 0, "no number"),
    ("x^2", "x \\cdot x", 1, "equal"),
    ("x^2", "x^3", 0, "another"),
    ("(1,2)", "(2,1)", 0, "order counts"),
]


def test_mathematics():
    pytest.importorskip("math_verify")
    judge = Judge("math")
    try:
        got = judge.rewards([(s, gold, "key") for gold, s, _, _ in MATH])
    finally:
        judge.pool.close()
    assert [(r[0], r[1], int(g["correct"])) for r, g in zip(MATH, got, strict=True)] == [r[:3] for r in MATH]


# ------------------------------------------------------------------ confidence, verdicts, worlds


@pytest.mark.parametrize(
    ("text", "solved", "confidence", "why"),
    [
        (WORK + "#9\n?7", True, 7 / 9, "the form"),
        (WORK + "#9\n?7\n", True, 7 / 9, "one line feed at the end"),
        (WORK + "#9", True, None, "no confidence"),
        (WORK + "#9\n?1\n?9", False, 1.0, "confidence twice: the last is read, and what is before is no answer"),
        ("?9\n" + WORK + "#9", True, None, "a confidence before the answer is none"),
        (WORK + "#9 ?9", False, None, "on a line of its own"),
        (WORK + "#9\n?10", False, None, "one digit"),
        (WORK + "#9\n?٩", False, None, "ASCII digits only"),
        (WORK + "#9\n?-1", False, None, "one digit"),
        (WORK + "#9\n?9\n\n", False, None, "nothing behind it"),
        (WORK + "#9\n??9", False, None, "one mark"),
    ],
)
def test_confidence(text, solved, confidence, why):
    t = Confident(task("chain"))
    rewards = t.verify(CHAIN, said(CHAIN, text))
    assert t.solved(rewards) == solved, why
    assert stated(text)[1] == confidence, why
    assert rewards["layout"] == float(solved and confidence is not None), why


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("+-+", (1, -1, 1)),
        (" + - +\n", (1, -1, 1)),
        ("++", None),
        ("++++", None),
        ("+−+", None),
        ("＋-+", None),
        ("+-+ yes", None),
        ("", None),
    ],
)
def test_verdicts(text, verdict):
    assert signs(text, 2) == verdict


def test_a_world_that_is_over_gives_nothing_more():
    t = task("grid")
    problem = t.fixed("test", 1)[0]
    world = t.environment(problem)
    world.reset()
    earned = [world.step(a)[1] for a in problem.solution]
    assert earned == [0.0] * (len(earned) - 1) + [1.0]
    state = world.state
    assert [world.step(a) for a in (*problem.solution, "u", "take", "open")] == [("", 0.0, True)] * (len(earned) + 3)
    assert world.state == state


@pytest.mark.parametrize("text", ["u d", "uu", "U", "up", "u;d", "\u200bu", "u\x00", "u\r\nd", "ｕ", "take open", ""])
def test_a_turn_is_one_action(text):
    t = task("grid")
    problem = t.fixed("test", 1)[0]
    world = t.environment(problem)
    first = world.reset()
    assert world.step(text) == ("!\n" + first, 0.0, False)


def test_giant_numbers_cost_nothing():
    assert number("9" * 100_000) == ("9" * 100_000, 0)
    assert number("1e" + "9" * 18) == ("1", 10**18 - 1)
    assert number("1e" + "9" * 100_000) is None
    assert number("1" + " " * 100_000 + "1") is None
