"""What people and programs write (rows, options, budgets, records, messages) is read, or refused in words."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzzing import EVERY, fuzz, texts, within
from sharpen.actor.engine.base import Draw, Prompt
from sharpen.actor.engine.wire import draw_from_json, draw_to_json, prompt_from_json, prompt_to_json
from sharpen.budget import Budget, budget
from sharpen.errors import SharpenError
from sharpen.overrides import override, parse
from sharpen.recipes import recipe
from sharpen.run.lines import read as read_lines
from sharpen.run.lines import valid
from sharpen.run.plain import decode, encode
from sharpen.task.expression import parse as parse_sum
from sharpen.task.files import Files, columns
from sharpen.task.hf import _gsm8k, _math, sentences
from sharpen.task.preferences import Preferences
from sharpen.types import Sampling

JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(10**40), 10**40),
        st.floats(),
        st.text(EVERY, max_size=8),
        st.sampled_from(["prompt", "$", "NaN", "Infinity", "tensor", "is", "of", "fields", "\ud800"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.sampled_from(["prompt", "answer", "info", "step", "$", "is", "of", "fields", "id", "x"]),
            inner,
            max_size=5,
        ),
    ),
    max_leaves=12,
)


def refused(make) -> Any:
    """What is made, or None where it is refused in words."""
    with within(5):
        try:
            return make()
        except SharpenError as error:
            said = str(error)
    assert said.endswith((".", "?", "`.", ")"))
    return None


LINE = st.one_of(
    st.binary(max_size=40),
    JSON.map(lambda x: json.dumps(x).encode()),
    st.builds(lambda p, a: json.dumps({"prompt": p, "answer": a}).encode(), JSON, JSON),
    st.builds(
        lambda p, a: json.dumps({"prompt": p, "answer": a, "info": {"x": a}}).encode(), st.text(EVERY, min_size=1), JSON
    ),
    st.sampled_from(
        [
            b'{"prompt": "a", "answer": 1e9999999999999999999}',
            b'{"prompt": "a", "answer": "b", "info": {"x": 1e9999999999999999999}}',
            b'{"prompt": "a", "answer": "b", "info": {"x": ' + b"[" * 900 + b"]" * 900 + b"}}",
            b'{"prompt": "a", "answer": ' + b"9" * 5000 + b"}",
            b"[" * 20_000,
            b'{"prompt": "\\ud800", "answer": "\\udfff"}',
            b'{"prompt": "a", "answer": NaN}',
            b"\xff\xfe",
            b'{"prompt": "a", "answer": "b", "prompt": "c"}',
        ]
    ),
)


def test_half_a_character_is_refused_where_it_is_read(tmp_path):
    """JSON can spell it, and no tokenizer, file or terminal takes it."""
    for spoilt in ({"prompt": "a\ud800"}, {"prompt": [{"role": "user", "content": "\udfff"}]}, {"answer": "\ud800"}):
        path = tmp_path / "rows.jsonl"
        rows = [{"prompt": f"q{i}", "answer": "b", **(spoilt if i == 3 else {})} for i in range(9)]
        path.write_text("".join(json.dumps(r) + "\n" for r in rows))
        with pytest.raises(SharpenError, match=r"rows.jsonl line 4: .* holds half a character \(a lone surrogate"):
            _ = Files(str(path)).table


@fuzz(120)
@given(st.lists(LINE, max_size=4), st.booleans())
def test_jsonl(tmp_path_factory, lines, windows):
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    path.write_bytes((b"\r\n" if windows else b"\n").join(lines))
    table = refused(lambda: Files(str(path)).table)
    refused(lambda: columns(str(path)))
    refused(lambda: Preferences(str(path)).pairs("train"))
    for problem in () if table is None else (p for split in table.splits.values() for p in split):
        assert isinstance(problem.answer, str)
        assert problem.answer.strip()
        problem.prompt.encode() if isinstance(problem.prompt, str) else json.dumps(problem.prompt).encode()
        problem.key.encode()


CELLS = [
    pa.array([b"\xff\xfe", b"b"], pa.binary()),
    pa.array(["a", "b"]),
    pa.array([1, None]),
    pa.array([math.nan, 1.0]),
    pa.array([2**62, -(2**62)], pa.timestamp("us")),
    pa.array([[1], []]),
    pa.array([{"role": "user"}, None]),
    pa.array([None, None]),
    pa.array([b"\xff\xfe", b"b"], pa.binary()).view(pa.string()),
]


@fuzz(60)
@given(st.sampled_from(CELLS), st.sampled_from(CELLS), st.sampled_from(CELLS), st.integers(0, 400), st.integers(0, 255))
def test_parquet(tmp_path_factory, prompt, answer, info, at, byte):
    path = tmp_path_factory.mktemp("rows") / "rows.parquet"
    pq.write_table(pa.table({"prompt": prompt, "answer": answer, "info": info}), path)
    if byte:
        data = bytearray(path.read_bytes())
        data[at % len(data)] = byte
        path.write_bytes(bytes(data))
    refused(lambda: Files(str(path)).table)


@fuzz(100)
@given(
    st.fixed_dictionaries({n: st.one_of(texts(), JSON) for n in ("question", "answer", "problem", "solution", "level")})
)
def test_hub_rows(record):
    with within():
        gsm, maths = _gsm8k(record, "here"), _math(record, "here")
    for row, text in ((gsm, record["answer"]), (maths, record["solution"])):
        assert row is None or row.answer.replace(",", "") in text.replace(",", "")
    if isinstance(record["solution"], str) and len(record["solution"]) < 2000:
        assert "".join("".join(sentences(record["solution"])).split()) == "".join(record["solution"].split())


# ------------------------------------------------------------------ options

KINDS = [
    int,
    float,
    bool,
    str,
    tuple[int, ...],
    tuple[float, float],
    dict[str, float],
    Literal["a", "b"],
    int | None,
    object,
]
VALUES = st.one_of(
    texts(),
    JSON,
    st.sampled_from(
        ["{[]: 1}", "{1: {}}", "{" * 5000, "{" + "-" * 20000 + "1:1}", "a:1,b", "1e400", "9" * 5000, "{1 is 1: 2}"]
    ),
    st.just(10**400),
    st.text(st.sampled_from("0123456789.,:{}()[]'\"eE+-_ ab\\"), max_size=20),
)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_values(kind):
    @fuzz(60)
    @given(VALUES)
    def check(value):
        got = refused(lambda: parse(value, kind, "here"))
        if got is not None and kind in (int, float, bool, str):
            assert type(got) is kind
        if kind is dict[str, float] and got is not None:
            assert all(type(k) is str and type(v) is float for k, v in got.items())

    check()


RECIPE = recipe("grpo")
NAMES = st.sampled_from(
    ["Sample.n", "AdamW.lr", "Loop.iterations", "Total.weights", "Term.kl.weight", "PPOClip.low", "", "Sample", "No.n"]
)


@fuzz(100)
@given(st.lists(st.tuples(NAMES, st.sampled_from(["=", "", "=="]), VALUES), min_size=1, max_size=3))
def test_overrides(changes):
    made = refused(lambda: override(RECIPE, [f"{name}{sign}{value}" for name, sign, value in changes]))
    assert made is None or (made.loop.iterations >= 0 and type(made.loop.iterations) is int)


@fuzz(150)
@given(
    st.one_of(
        texts(),
        st.builds(
            lambda n, k, u: f"{n}{k}{u}",
            st.one_of(st.integers(), st.floats(), st.just("9" * 400)),
            st.sampled_from(["", "k", "M", "G"]),
            st.sampled_from(["-tokens", "-steps", "-iterations", "s", ""]),
        ),
    )
)
def test_budgets(text):
    found = refused(lambda: budget(text))
    assert found is None or (isinstance(found, Budget) and 0 < found.amount < math.inf and found.text())


@fuzz(150)
@given(st.one_of(texts(), st.text(st.sampled_from("0123456789+-*/()"), max_size=300)))
def test_sums(text):
    with within():
        found = parse_sum(text)
    if found is not None:
        again = parse_sum(found.spelling)
        assert found.value is None or found.value > 0
        assert len(found.spelling) > 256 or (
            again is not None and (again.value, again.spelling) == (found.value, found.spelling)
        )


# ------------------------------------------------------------------ records and messages


@fuzz(100)
@given(st.lists(LINE, max_size=4))
def test_records(tmp_path_factory, lines):
    path = tmp_path_factory.mktemp("run") / "metrics.jsonl"
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    refused(lambda: read_lines(path))


@fuzz(150)
@given(JSON)
def test_plain_data(tree):
    refused(lambda: decode(tree, {}))
    told = encode(tree)[0]
    assert repr(decode(json.loads(json.dumps(told, allow_nan=False)), {})) == repr(tree)
    json.dumps(valid(tree), allow_nan=False)


@fuzz(100)
@given(st.one_of(JSON, st.fixed_dictionaries({"tokens": JSON, "sampling": JSON, "seed": JSON})))
def test_prompts_from_another_process(plain):
    with within():
        try:
            made = prompt_from_json(plain)
        except (KeyError, TypeError, ValueError):  # what the server answers with 400
            return
    assert isinstance(made, Prompt)


@fuzz(100)
@given(
    st.lists(st.integers(0, 2**31), min_size=1, max_size=5),
    st.integers(0, 2**62),
    st.floats(0, 10),
    st.lists(st.text(min_size=1), max_size=3),
)
def test_prompts_and_draws_survive_the_wire(tokens, seed, temperature, stop):
    import torch

    prompt = Prompt(tuple(tokens), Sampling(temperature, stop=tuple(stop)), seed)
    assert prompt_from_json(json.loads(json.dumps(prompt_to_json(prompt)))) == prompt
    x = torch.tensor([float(t) for t in tokens]).sqrt()
    draw = Draw(torch.tensor(tokens), x, -x, torch.full_like(x, math.nan), "stop")
    back = draw_from_json(json.loads(json.dumps(draw_to_json(draw))))
    for f in dataclasses.fields(Draw):
        a, b = getattr(draw, f.name), getattr(back, f.name)
        assert (a == b) if isinstance(a, str) or a is None else torch.equal(a.nan_to_num(-1), b.nan_to_num(-1))
