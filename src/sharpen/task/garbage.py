"""Texts no verifier may stumble over: known tricks against answer extraction, noise, and very long texts."""

from __future__ import annotations

import random
from collections.abc import Sequence

LONG = 100_000
"""Characters of a very long text."""

TRICKS = (
    "#",
    "##",
    "#\n#",
    "#-0",
    "#00",
    "#+1",
    "#1e9",
    "#0x7",
    "#٣",
    "#７",
    "#²",
    "#½",
    "# 7",
    "#7 ",
    "#7\r",
    "#7\x0b#8",
    "#7\u2028",
    "\ufeff#7",
    "#\x00",
    "\ud800",
    "#()",
    "#((1)",
    "#1/0",
    "#1//0",
    "#9**9**9**9",
    "#__import__('os')",
    "#nan",
    "#inf",
    "#yes#no",
    "٣+٤=٧",
    "3+4=７",
    "ａ>ｂ",
    "\\boxed{7}",
    "answer: 7",
    "\t\n \n",
)
"""Short texts that have fooled extractors elsewhere, and some that break parsers."""

ALPHABETS = (
    "".join(map(chr, range(32, 127))) + "\n",
    "0123456789+-*/=()#\n",
    "#\n",
    "abcxyzABCXYZ->#\n,;",
    "٠٣٧०९７²½Ⅷ𝟟#\n=",
    "".join(map(chr, range(32))) + "\x7f\x85\u2028\u2029\u200b\u202e\ufeff",
    "udlr takeopen\n",
)


def garbage(rng: random.Random, lines: Sequence[str] = ()) -> str:
    """A text at random: a trick, noise over some alphabet, huge numbers, or the given lines damaged."""
    kind = rng.randrange(5 if lines else 3)
    if kind == 0:
        return rng.choice(TRICKS)
    if kind == 1:
        alphabet = rng.choice(ALPHABETS)
        return "".join(rng.choice(alphabet) for _ in range(rng.randrange(200)))
    if kind == 2:
        huge = rng.choice("123456789") * rng.randrange(1, 6000)
        return rng.choice(("#{}", "#-{}", "{}+{}={}", "#{}*{}", "{}", "#0{}")).replace("{}", huge)
    if kind == 3:
        text = list("\n".join(lines))
        for _ in range(rng.randrange(1, 4)):
            text[rng.randrange(len(text))] = rng.choice(ALPHABETS[rng.randrange(len(ALPHABETS))])
        return "".join(text)
    mixed = [rng.choice(lines) for _ in range(rng.randrange(1, 2 * len(lines) + 1))]
    return rng.choice(("\n", "\n\n", "\r\n", " ", "")).join([*mixed, rng.choice(TRICKS)])


def endless(rng: random.Random, lines: Sequence[str] = ()) -> list[str]:
    """Texts of `LONG` characters: one character over and over, nested brackets, the given lines repeated, noise."""
    units = ["#", "9", "(", "\n", "#\n", " ", "1+", "-" * 7 + "\n", *(["\n".join(lines) + "\n"] if lines else [])]
    texts = [(unit * (LONG // len(unit) + 1))[:LONG] for unit in units]
    texts.append("(" * (LONG // 2) + ")" * (LONG // 2))
    texts.append("#" + "9" * LONG)
    texts.append("".join(rng.choices(ALPHABETS[0], k=LONG)))
    return texts
