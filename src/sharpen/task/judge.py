"""A judge of answers: by text, number, choice or mathematics, with every way of failing made visible."""

from __future__ import annotations

import importlib.util
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from sharpen.errors import SharpenError
from sharpen.task.base import RewardSpec
from sharpen.task.match import same
from sharpen.task.pool import MEMORY, Failure, Pool

log = logging.getLogger(__name__)

REWARDS = (
    RewardSpec("correct", about="the final answer equals the gold answer"),
    RewardSpec("unjudged", about="the checker failed or ran out of time; the trace then counts as wrong", best="low"),
)
"""What tasks with a gold answer compute."""

LONGEST = 1000
"""An answer longer than this, in characters, is not compared as mathematics; it is wrong unless it is the same text."""

_SEVERAL = re.compile(r"\\(?:vee|lor|wedge|land|approx|f?boxed|fbox)\b|[∨∧≈|&]")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_WHOLE = re.compile(r"[+-]?\d{1,300}", re.ASCII)


@dataclass(frozen=True)
class Judge:
    """Compares answers; `math` ones in `workers` processes, `timeout` seconds each.

    Equal texts are equal, and plain integers are compared exactly, without asking `math_verify`, which rounds.
    """

    match: str
    workers: int = 1
    timeout: float = 5.0

    @cached_property
    def pool(self) -> Pool:
        """The processes that compare mathematics."""
        need("math_verify", "math", "to compare answers as mathematics")
        file = Path(__file__).with_name("mathcheck.py")
        return Pool(file, "agree", workers=self.workers, timeout=self.timeout, memory=MEMORY)

    def rewards(self, pairs: Sequence[tuple[str | None, str, str]]) -> list[dict[str, float]]:
        """`correct` and `unjudged` of each (answer said, gold answer, key of the problem), in order."""
        if self.match != "math":
            return [_rewards(said is not None and same(said, gold, self.match)) for said, gold, _ in pairs]
        quick = [_quick(said, gold) for said, gold, _ in pairs]
        asked = [p for p, known in zip(pairs, quick, strict=True) if known is None]
        answers = iter(self.pool.run([[[said, gold]] for said, gold, _ in asked]) if asked else [])
        out = []
        for (said, _, key), known in zip(pairs, quick, strict=True):
            if known is not None:
                out.append(_rewards(known))
                continue
            answer = next(answers)
            if isinstance(answer, Failure):
                if answer.kind == "start":
                    raise SharpenError(
                        f"math_verify could not be loaded: {answer.message}. Reinstall it: pip install 'sharpen[math]'."
                    )
                log.warning("problem %s: math_verify %s on the answer %.200r", key, answer.message, said)
                out.append(_rewards(False, unjudged=True))
            else:
                out.append(_rewards(bool(answer[0])))
        return out


def _quick(said: str | None, gold: str) -> bool | None:
    """What needs no `math_verify`; None for the rest."""
    if said is None:
        return False
    a, b = said.strip(), gold.strip()
    if a and a == b:
        return True
    if _WHOLE.fullmatch(a) and _WHOLE.fullmatch(b):
        return int(a) == int(b)
    if len(a) > LONGEST or not _balanced(a):
        return False
    # math_verify takes a disjunction for any of its members, the first of two numbers that are nearly equal, and of
    # boxes the inner one: an answer could state several numbers
    if _SEVERAL.search(a) and not _SEVERAL.search(b):
        return False
    return None


def _balanced(text: str) -> bool:
    """Whether braces pair up, so that the answer cannot leave the box it is put in."""
    depth = 0
    for mark in _BRACE.finditer(text):
        depth += (mark.group() == "{") - (mark.group() == "}")
        if depth < 0:
            return False
    return depth == 0


def _rewards(correct: bool, unjudged: bool = False) -> dict[str, float]:
    return {"correct": float(correct), "unjudged": float(unjudged)}


def need(package: str, extra: str, why: str) -> None:
    """Raise `SharpenError` with the pip command when a package is absent."""
    if importlib.util.find_spec(package) is None:
        raise SharpenError(
            f"The package {package} is needed {why} and is not installed. Install it: pip install 'sharpen[{extra}]'."
        )
