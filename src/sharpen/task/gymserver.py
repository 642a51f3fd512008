"""reasoning-gym behind one function. Runs in a worker process and imports nothing of sharpen.

The process runs with a fixed hash seed: a few data sets walk over sets, and would else give other problems each time.

Some scorers give the answer, which a model wrote, to `eval` or to sympy's `parse_expr`, which evaluates what it reads:
an answer would be a program with the user's rights, and one that can see the right answer. Here both are replaced by
functions that read data and formulas and refuse the rest (`plain`, `formula`), which is a wrong answer to the scorers.
"""

import ast
import builtins
import dataclasses
import functools
import hashlib
import json
import keyword
import operator
import random
import re
import sys
from collections.abc import Callable
from typing import Any

import sympy
import sympy.parsing.sympy_parser
from reasoning_gym.factory import CURRICULA, DATASETS, create_curriculum, create_dataset

FORMULA = re.compile(
    r"(?>[0-9]+\.?[0-9]*(?:[eE][-+]?[0-9]+)?|\.[0-9]+|[A-Za-z][A-Za-z0-9_]*|[-+*/^(),!\s])*+", re.ASCII
)
"""Numbers, names, operators: no text, no attribute, no index. Nothing is tried twice, so it is linear."""

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)

_FUNCTIONS = (
    "E I pi oo Abs abs exp log ln sqrt cbrt root sign factorial binomial gcd lcm Rational Integer Max Min "
    "sin cos tan sec csc cot asin acos atan asec acsc acot sinh cosh tanh sech csch coth asinh acosh atanh "
    "erf erfi Si Ci li Ei gamma"
)
FUNCTIONS = frozenset(_FUNCTIONS.split())
"""What a formula may name of all that sympy and Python know. Any name that they do not know is a symbol."""

KNOWN = frozenset([*dir(sympy), *dir(builtins), *keyword.kwlist])

OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.LShift: operator.lshift,
    ast.RShift: operator.rshift,
}
SHIFT = 1 << 16
"""The most bits of a shift; there are no powers either, so that a short text makes no large number."""


def serve(op: str, arg: dict[str, Any]) -> Any:
    """Answer one question about data sets."""
    if op == "names":
        return {name: levels(name) for name in DATASETS}
    if op == "fields":
        return fields(**arg)
    return make(**arg) if op == "make" else score(**arg)


def plain(text: str, *_: object) -> Any:
    """What `eval` is to the scorers: plain data, or arithmetic of numbers. Raises `ValueError` for the rest."""
    return _value(ast.parse(text.strip(), mode="eval").body)


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        left, right = _number(node.left), _number(node.right)
        if isinstance(node.op, ast.LShift) and right > SHIFT:
            raise ValueError(f"malformed node: a shift by more than {SHIFT}")
        return OPERATORS[type(node.op)](left, right)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_number(node.operand)
    return ast.literal_eval(node)


def _number(node: ast.expr) -> Any:
    found = _value(node)
    if type(found) not in (int, float):
        raise ValueError("malformed node: this is no arithmetic of numbers")
    return found


def formula(parse: Callable[..., Any]) -> Callable[..., Any]:
    """`parse_expr` that reads formulas alone. Raises `ValueError` for the rest."""

    @functools.wraps(parse)
    def checked(s: str, local_dict: dict[str, Any] | None = None, *args: Any, **rest: Any) -> Any:
        refused = {n for n in NAME.findall(s) if n in KNOWN} - FUNCTIONS - set(local_dict or ())
        if FORMULA.fullmatch(s) is None or "__" in s or refused:
            raise ValueError("this is no formula")
        return parse(s, local_dict, *args, **rest)

    return checked


def disarm() -> None:
    """Replace both in every module of the library, and `parse_expr` in sympy, which reads text elsewhere too."""
    known = sympy.parsing.sympy_parser.parse_expr
    checked = formula(known)
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "reasoning_gym":
            vars(module)["eval"] = plain
        if name.partition(".")[0] in ("reasoning_gym", "sympy") and vars(module).get("parse_expr") is known:
            vars(module)["parse_expr"] = checked


disarm()


def levels(name: str) -> int:
    """How many levels the curriculum of a data set has; 0 without one."""
    if name not in CURRICULA:
        return 0
    return max(len(a.levels) for a in create_curriculum(name).attributes.values())


def fields(name: str) -> dict[str, Any]:
    """The fields of a data set's configuration, and their default values."""
    config = DATASETS[name][1]()
    return {f.name: _plain(getattr(config, f.name)) for f in dataclasses.fields(config)}


def make(name: str, config: dict[str, Any], level: int | None, index: int) -> Any:
    """Problem `index`; with index -1 the number of problems, which checks the configuration."""
    if index < 0:
        return len(_dataset(name, json.dumps(config), level))
    entry = _entry(name, json.dumps(config), level, index)
    return {"question": entry["question"], "answer": entry["answer"]}


def score(name: str, config: dict[str, Any], level: int | None, index: int, digest: str, answer: str) -> float:
    """The data set's own score of an answer to a problem.

    Raises `LookupError` when the problem cannot be made again.
    """
    data = _dataset(name, json.dumps(config), level)
    entry = _entry(name, json.dumps(config), level, index)
    if hashlib.sha256(entry["question"].encode()).hexdigest() != digest:
        raise LookupError(f"data set {name} did not make problem {index} again as it was")
    said = float(data.score_answer(answer, entry))
    return 0.0 if said >= 1.0 and mistaken(name, answer, entry) else said


SUM = re.compile(r"(?>[0-9]+|[-+()\s]|\*(?!\*)|/(?!/))*+", re.ASCII)
"""Numbers and the four operations, nothing else."""


def mistaken(name: str, answer: str, entry: dict[str, Any]) -> bool:
    """Whether an answer is wrong which the library's scorer calls right by a mistake of its own (version 0.1.25).

    It takes NaN for a distance of 0, `bool("False")` for True, any four numbers for those given, a value that was cut
    or is near for the one asked for, and functions for operations.
    """
    if name == "complex_arithmetic":
        return "nan" in answer.lower()
    if name == "game_of_life_halting":
        return answer.strip().lower() != str(entry["answer"]).strip().lower()
    if name in ("puzzle24", "countdown"):
        given, target = entry["metadata"]["numbers"], 24 if name == "puzzle24" else entry["metadata"]["target"]
        used = sorted(map(int, re.findall("[0-9]+", answer)))
        if SUM.fullmatch(answer) is None or used != sorted(given):
            return True
        return bool(sympy.parse_expr(answer.strip()) != target)
    return False


@functools.lru_cache(maxsize=4)
def _dataset(name: str, config: str, level: int | None) -> Any:
    options = json.loads(config)
    if level is None:
        return create_dataset(name, **options)
    curriculum = create_curriculum(name)
    for key, attribute in curriculum.attributes.items():
        curriculum.set_attr_level(key, min(level, len(attribute.levels) - 1))
    made = curriculum.generate_configuration(options)
    values = {f.name: getattr(made, f.name) for f in dataclasses.fields(made)}
    # what the user set wins over the level
    return create_dataset(name, **{**values, **options})


@functools.lru_cache(maxsize=1024)
def _entry(name: str, config: str, level: int | None, index: int) -> dict[str, Any]:
    random.seed(f"{config}/{level}/{index}")  # list_functions draws from the module's own numbers
    entry: dict[str, Any] = _dataset(name, config, level)[index]
    return entry


def _plain(value: Any) -> Any:
    try:
        return json.loads(json.dumps(value))
    except TypeError:
        return str(value)
