"""When two answers are the same: as text, as a number, as a choice. (As mathematics: `sharpen.task.mathcheck`.)"""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction
from typing import Literal

Match = Literal["auto", "exact", "number", "math", "choice"]
"""How an answer is compared; `auto` decides by the answers there are."""

Value = Fraction | tuple[str, int]
"""An exact number: a fraction, or `(digits, exponent)` where writing the number out would take too long."""

_LONG = 400
_PLAIN = re.compile(r"([+-]?)(\d{1,3}(?:,\d{3})+|\d*)(?:\.(\d*))?(?:[eE]([+-]?\d{1,18}))?", re.ASCII)
_RATIO = re.compile(rf"([+-]?)(\d{{1,{_LONG}}})\s*/\s*(\d{{1,{_LONG}}})", re.ASCII)
_FRAC = re.compile(rf"([+-]?)\\[dt]?frac\{{(\d{{1,{_LONG}}})\}}\{{(\d{{1,{_LONG}}})\}}", re.ASCII)
_UNIT = re.compile(
    r"\s+([A-Za-z]{2,}(?:[ /][A-Za-z]{2,}){0,3})\.?$"
    r"|\s*(?:\\?%|°|\\text\{[^{}]*\})$"
    r"|(?<=\d)(?:kg|mg|km|cm|mm|ml|lbs?|ft|oz)$"
)
_SCALES = (
    "dozen hundred thousand million billion trillion quadrillion lakh crore half third quarter percent gross thou "
    "grand myriad lac milliard mrd mio bil tril googol permille"
)
_PARTS = (
    "fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth sixteenth "
    "seventeenth eighteenth nineteenth twentieth thirtieth fortieth fiftieth sixtieth seventieth eightieth ninetieth "
    "hundredth thousandth millionth billionth trillionth"
)
_COUNTS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety"
)
_OTHERS = (
    "or and to not plus minus times over by pi sqrt if is are than nor versus vs negative bn mn mln mil tn halves "
    "squared cubed mod choose factorial twice nil nought naught inverse root log exp tau binary octal hex "
    "pair score double triple"
)
_NUMBERS = f"{_SCALES} {_PARTS} {_COUNTS}".split()
_NOT_UNITS = frozenset([*_NUMBERS, *(word + "s" for word in _NUMBERS), *_OTHERS.split()]) - {"ones", "zeros"}
"""Words after a number that make another number of it, or that a second answer follows. What is counted is none of
them: `6 pairs` are 6, as `6 pears` are, and `7 point five` is refused for its `five`."""

_CHOICE = re.compile(r"\(?([A-Za-z])(?:\)?[.:]?|\)?[.:)]\s(.*))", re.DOTALL | re.ASCII)
_PIECES = re.compile(r"[^\s,;/&|]+|[,;/&|]+")
_LABEL = re.compile(r"\(?[A-Za-z][.:)]*", re.ASCII)


def text_form(text: str) -> str:
    """Text for comparing: NFC, case folded, runs of space made one, one pair of `$` and a final full stop removed."""
    s = " ".join(unicodedata.normalize("NFC", text).split()).casefold()
    if len(s) > 1 and s.startswith("$") and s.endswith("$"):
        s = s[1:-1].strip()
    return s[:-1].rstrip() if len(s) > 1 and s.endswith(".") and not s.endswith("..") else s


def number(text: str) -> Value | None:
    """The number that `text` is, exactly; None when it is something else.

    Read: an integer or decimal in ASCII digits with correct thousands commas, an exponent, `a/b`, `\\frac{a}{b}`;
    around it a currency sign, `$...$`, a unit in words or `%` (no scaling: `50%` is 50). Refused: two numbers, scale
    words (`3 million`), a number glued to letters (`2x`), digits of other scripts and superscripts. Nothing is
    rounded, minus zero is zero, and an exponent costs no memory.
    """
    s = text.replace("−", "-").replace("{,}", ",").replace("\\,", "").replace("\\!", "").replace("\\$", "$")
    s = " ".join(s.split())  # the patterns below take the square of the length of a run of blanks
    s = s.removeprefix("+") if s.startswith("+") and not s.startswith("+-") else s
    if len(s) > 1 and s.startswith("$") and s.endswith("$"):
        s = s[1:-1].strip()
    unit = _UNIT.search(s)
    if unit:
        words = re.split(r"[ /]", unit.group(1) or "")
        if any(w.lower() in _NOT_UNITS for w in words):
            return None
        s = s[: unit.start()].strip()
    s = re.sub(r"^([+-]?)\s*[$€£¥]\s*(?=[\d.])", r"\1", s, flags=re.ASCII)
    s = re.sub(r"\s*[€£¥]$", "", s)
    ratio = _RATIO.fullmatch(s) or _FRAC.fullmatch(s)
    if ratio:
        low = int(ratio.group(3))
        return Fraction(int(ratio.group(1) + ratio.group(2)), low) if low else None
    plain = _PLAIN.fullmatch(s)
    if plain is None or not (plain.group(2) or plain.group(3)):
        return None
    return _exact(plain.group(1), plain.group(2).replace(",", ""), plain.group(3) or "", int(plain.group(4) or 0))


def _exact(sign: str, whole: str, part: str, exponent: int) -> Value:
    """`sign whole.part e exponent` as the one form that equal numbers share."""
    digits = (whole + part).lstrip("0")
    if not digits:
        return Fraction(0)
    bare = digits.rstrip("0")
    power = exponent - len(part) + len(digits) - len(bare)
    minus = "-" if sign == "-" else ""
    if len(bare) > _LONG or abs(power) > _LONG:
        return minus + bare, power
    return Fraction(int(minus + bare)) * (Fraction(10) ** power)


def choice(text: str) -> str | None:
    """The one letter that `text` chooses (`B`, `(b)`, `B. Paris`), in upper case; None for none or several."""
    s = re.sub(r"\\text(?:bf)?\{([^{}]*)\}", r"\1", text).strip().strip("$*").strip()
    found = _CHOICE.fullmatch(s)
    return None if found is None or _labels(found.group(2) or "") else found.group(1).upper()


def _labels(rest: str) -> bool:
    """Whether what follows a choice is nothing but more labels: `C) D)`, `or C`, `C, D`.

    In `A. C` it is the text of the choice A, one letter.
    """
    pieces = _PIECES.findall(rest)
    letters = [p for p in pieces if p[0] not in ",;/&|" and p.lower() not in ("or", "and")]
    return all(map(_LABEL.fullmatch, letters)) and (len(pieces) > 1 or (bool(letters) and letters[0][-1] in ".:)"))


def form(text: str, match: str) -> str | None:
    """The text that stands for all equal answers, for votes; None for what is no answer of this kind."""
    if match == "choice":
        return choice(text)
    if match in ("number", "math"):
        value = number(text)
        if value is not None:
            return str(value) if isinstance(value, Fraction) else f"{value[0]}e{value[1]}"
        if match == "number":
            return None
        return re.sub(r"\s+", "", text).strip("$") or None
    return text_form(text) or None


def same(said: str, gold: str, match: str) -> bool:
    """Whether two answers are the same, for every way of comparing but `math`."""
    a = form(said, match)
    return a is not None and a == form(gold, match)
