"""Where the final answer stands in a text.

A rule is a place where a text may state its answer. `extract` tries rules in the order given; the first rule that finds
anything wins, and within a rule the last statement wins, so that a corrected answer counts and listing many does not.

    boxed    the last `\\boxed{...}` (or `\\fbox`), braces balanced, boxes inside a box unwrapped
    tag      the last closed `<answer>...</answer>`
    ####     the rest of the line after the last `####` (the GSM8K form)
    #        the last line that is not blank, if it starts with exactly one `#` (the form of the built-in tasks)
    phrase   what follows the last "the answer is", to the end of the sentence or line
    whole    the whole text, stripped; never tried unless asked for

Only text that the model wrote must be passed: an answer in the prompt is not the model's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from sharpen.errors import SharpenError, near

RULES = ("boxed", "tag", "####", "#", "phrase")
"""The default order."""

KNOWN = (*RULES, "whole")

_BOX = re.compile(r"\\f?boxed\b|\\fbox\b")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_WORD = re.compile(r"[^\s${}\\,;]+")
_GSM = re.compile(r"(?<!#)####(?!#)[ \t]*([^\r\n]*)")
_PHRASE = re.compile(r"\banswer is\b[ \t]*:?[ \t]*", re.IGNORECASE)
_STOP = re.compile(r"[.!?](?=\s|$)")


def check_rules(rules: Sequence[str]) -> tuple[str, ...]:
    """The rules as a tuple. Raises `SharpenError` for an unknown or missing one."""
    chosen = (rules,) if isinstance(rules, str) else tuple(rules)
    if not chosen:
        raise SharpenError(f"No rule says where the answer stands in a text. Give at least one of {', '.join(KNOWN)}.")
    for rule in chosen:
        if rule not in KNOWN:
            raise SharpenError(f"Unknown rule {rule!r} for finding the answer in a text. {near(rule, KNOWN)}")
    return chosen


def extract(text: str, rules: Sequence[str] = RULES) -> str | None:
    """The final answer stated in `text`, stripped; None when no rule finds one that is not empty."""
    for rule in rules:
        found = _FIND[rule](text)
        if found:
            return found
    return None


def render(answer: str, rules: Sequence[str] = RULES) -> str | None:
    """A text that states `answer`, read back by the same rules; None if no rule can."""
    for rule in rules:
        text = _FORM[rule].replace("ANSWER", answer)
        if extract(text, rules) == answer.strip():
            return text
    return None


def shortest(answer: str, rules: Sequence[str] = RULES) -> str | None:
    """The shortest text that states `answer`, read back by all the rules together; None if there is none."""
    texts = [_FORM[rule].replace("ANSWER", answer) for rule in rules]
    return min((t for t in texts if extract(t, rules) == answer.strip()), key=len, default=None)


def boxed(text: str) -> str | None:
    """The content of the last complete box, boxes around all of it removed."""
    close = _pairs(text)
    last: tuple[int, int] | None = None
    end = 0
    for match in _BOX.finditer(text):
        if match.start() < end:
            continue  # inside a box already read
        span = _group(text, match.end(), close)
        if span is not None:
            last, end = span, span[1]
    while last is not None:
        inner = _BOX.match(text[slice(*last)].lstrip())
        if inner is None:
            break
        at = last[1] - len(text[slice(*last)].lstrip()) + inner.end()
        span = _group(text, at, close)
        if span is None or text[span[1] + (text[span[1]] == "}") : last[1]].strip():
            break
        last = span
    return None if last is None else text[slice(*last)].strip()


def _pairs(text: str) -> dict[int, int]:
    """Where each opened brace is closed, in one pass; escaped braces do not count."""
    opened: list[int] = []
    close: dict[int, int] = {}
    for mark in _BRACE.finditer(text):
        if mark.group() == "{":
            opened.append(mark.start())
        elif mark.group() == "}" and opened:
            close[opened.pop()] = mark.start()
    return close


def _group(text: str, at: int, close: dict[int, int]) -> tuple[int, int] | None:
    """The span of what a macro that ends at `at` is applied to: a balanced `{...}`, or one bare word after spaces."""
    start = at
    while start < len(text) and text[start] in " \t":
        start += 1
    if text.startswith("{", start):
        return (start + 1, close[start]) if start in close else None
    word = _WORD.match(text, start) if start > at else None
    return None if word is None else (start, start + len(word.group().rstrip(".")))


def _tag(text: str) -> str | None:
    stop = text.rfind("</answer>")
    start = text.rfind("<answer>", 0, stop) if stop >= 0 else -1
    return text[start + len("<answer>") : stop].strip() if start >= 0 else None


def _gsm(text: str) -> str | None:
    found = _GSM.findall(text)
    return found[-1].strip() if found else None


def _line(text: str) -> str | None:
    lines = text.rstrip().splitlines()
    last = lines[-1].strip() if lines else ""
    return last[1:].strip() if last.startswith("#") and not last.startswith("##") else None


def _phrase(text: str) -> str | None:
    at = None
    for match in _PHRASE.finditer(text):
        at = match.end()
    if at is None:
        return None
    said = (text[at:].splitlines() or [""])[0]
    stop = _STOP.search(said)
    return (said[: stop.start()] if stop else said).strip().strip("*").strip()


_FIND: dict[str, Callable[[str], str | None]] = {
    "boxed": boxed,
    "tag": _tag,
    "####": _gsm,
    "#": _line,
    "phrase": _phrase,
    "whole": str.strip,
}
_FORM = {
    "boxed": "\\boxed{ANSWER}",
    "tag": "<answer>ANSWER</answer>",
    "####": "#### ANSWER",
    "#": "#ANSWER",
    "phrase": "The answer is ANSWER.",
    "whole": "ANSWER",
}
