"""Runs inside: calls one function of a program on some inputs and writes down what it returned.

Its text is given to the interpreter. Standard input holds, as one marshalled value, the program's text, the name of the
function, and the arguments of each call. What it writes to the descriptor that was standard output is one line of JSON:
for each call `[0, VALUE]`, or `[1, NAME OF THE ERROR]`. It knows no right answer, so a program that takes this module
apart can only say values of its own.

`json` and `typing` are not imported: that takes as long as all the rest.
"""

import marshal
import os
import sys
from _json import encode_basestring_ascii

DEPTH, SIZE, BITS = 20, 10_000, 3000
"""The deepest nesting and the most parts of a value, and the most bits of a whole number (about 900 digits)."""


class OddError(Exception):
    """A value that is not plain data, or too much of it."""


def written(value: object, depth: int, left: list[int]) -> str:
    """A value as JSON. Types are compared as such: nothing of the value's own is ever called."""
    left[0] -= 1
    if depth > DEPTH or left[0] < 0:
        raise OddError("too large")
    if value is None or value is True or value is False:
        return "null" if value is None else "true" if value else "false"
    if type(value) is int:
        if value.bit_length() > BITS:
            raise OddError("too large")
        return int.__repr__(value)
    if type(value) is float:
        return float.__repr__(value)
    if type(value) is str:
        left[0] -= len(value)
        if left[0] < 0:
            raise OddError("too large")
        return str(encode_basestring_ascii(value))
    if type(value) is list:
        return "[" + ",".join([written(v, depth + 1, left) for v in value]) + "]"
    if type(value) is dict and all(type(k) is str for k in value):
        parts = [f"{written(k, depth + 1, left)}:{written(v, depth + 1, left)}" for k, v in value.items()]
        return "{" + ",".join(parts) + "}"
    raise OddError("not plain data")


def main() -> None:
    """Run the program once and the function on every input."""
    text, name, calls = marshal.loads(sys.stdin.buffer.read())
    answers = os.dup(1)
    os.dup2(2, 1)  # what the program prints is no answer
    out = []
    space: dict[str, object] = {"__name__": "program"}
    try:
        exec(compile(text, "<program>", "exec", dont_inherit=True), space)
        function = space[name]
        failed = None
    except MemoryError:
        raise
    except BaseException as error:
        failed = type(error)
    for call in calls:
        if failed is None:
            try:
                out.append("[0," + written(function(*call), 0, [SIZE]) + "]")  # type: ignore[operator]
                continue
            except MemoryError:
                raise
            except BaseException as error:
                kind = type(error)
        else:
            kind = failed
        out.append("[1," + encode_basestring_ascii(str.__str__(type.__getattribute__(kind, "__name__"))[:60]) + "]")
    line = ("[" + ",".join(out) + "]\n").encode()
    while line:
        line = line[os.write(answers, line) :]
    os._exit(0)  # what the program left to be done at the end is not done


main()
