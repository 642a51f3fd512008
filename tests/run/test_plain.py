"""Plain data survives JSON and safetensors unchanged; what is not plain is named and refused."""

import json
import math
from collections import OrderedDict, defaultdict

import pytest
import torch
from safetensors.torch import load, save

from sharpen.errors import SharpenError
from sharpen.run.plain import decode, encode
from sharpen.types import Group, Problem, Sampling, Segment, Trace


def through(x):
    """Encode, write both files, read both, decode."""
    tree, tensors = encode(x)
    return decode(json.loads(json.dumps(tree, allow_nan=False)), load(save(tensors)))


PLAIN = [
    None,
    True,
    0,
    -7,
    2**63,
    2**64,
    -(2**63) - 1,
    3**20000,
    0.1,
    -0.0,
    1e-320,
    math.inf,
    -math.inf,
    "",
    "né\ud800\0",
    [],
    (),
    (1, (2, [3, ()])),
    {},
    {"$": "tensor", "is": "no tensor"},
    {2: "a", "2": "b", (1, None): 2.5, frozenset({3}): "t"},
    {"a": {"b": [1, {"c": (1.0, 1)}]}},
    {1, "a", (2, 3), None},
    frozenset({1.5, -1}),
]


@pytest.mark.parametrize("x", PLAIN, ids=[str(i) for i in range(len(PLAIN))])
def test_equal_in_value_and_type(x):
    """`repr` tells 1 from 1.0 and True, a tuple from a list, -0.0 from 0.0, and gives the order of keys."""
    y = through(x)
    assert type(y) is type(x)
    assert y == x
    if not isinstance(x, (set, frozenset)):
        assert repr(y) == repr(x) if not isinstance(x, int) else y == x


def test_nan():
    tree, _ = encode(math.nan)
    assert tree == {"$": "float", "is": "nan"}
    assert math.isnan(through(math.nan))


def test_sets_are_written_in_one_order():
    """The order of a set of strings varies between processes; that of its JSON does not."""
    assert encode({"b", "a", "c"})[0] == {"$": "set", "of": ["a", "b", "c"]}


@pytest.mark.parametrize(
    "dtype",
    [torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.int64, torch.int32, torch.uint8, torch.bool],
)
def test_tensors_keep_type_shape_and_bits(dtype):
    for x in (torch.arange(6).reshape(2, 3).to(dtype), torch.tensor(1).to(dtype), torch.zeros(0, 4).to(dtype)):
        y = through({"x": x})["x"]
        assert y.dtype == dtype
        assert y.shape == x.shape
        assert torch.equal(y, x)


def test_tensor_names_say_where():
    w = torch.zeros(2)
    tree, tensors = encode({"actor": {"w": w, "tied": w}, "opt": [torch.ones(1)], "__metadata__": torch.ones(3)})
    assert sorted(tensors) == ["__metadata__#1", "actor/w", "opt/0"]
    assert tree["actor"] == {"w": {"$": "tensor", "is": "actor/w"}, "tied": {"$": "tensor", "is": "actor/w"}}


def test_names_that_collide_are_kept_apart():
    a, b = torch.tensor([1.0]), torch.tensor([2.0])
    y = through({"a/b": a, "a": {"b": b}})
    assert (y["a/b"].item(), y["a"]["b"].item()) == (1.0, 2.0)


def test_views_are_written_without_the_rest():
    big = torch.arange(1000.0)
    _, tensors = encode({"head": big[:3], "tail": big[-2:], "column": big.reshape(10, 100)[:, 1], "all": big})
    assert {k: v.untyped_storage().nbytes() for k, v in tensors.items()} == {
        "head": 12,
        "tail": 8,
        "column": 40,
        "all": 4000,
    }
    y = through({"head": big[:3], "column": big.reshape(10, 100)[:, 1], "all": big})
    assert y["column"].tolist() == [1.0 + 100 * i for i in range(10)]
    assert y["all"].tolist() == big.tolist()


def test_parameters_come_back_as_tensors():
    p = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    y = through(p)
    assert type(y) is torch.Tensor
    assert not y.requires_grad
    assert y.tolist() == [1.0, 2.0]


def a_tree():
    """Two traces of a problem that share their prompt and their first step."""
    problem = Problem("p/1", "2+2?", "4", ("add", "4"), {"level": 3, "tags": ("a",)}, parent="p/0")
    prompt = Segment(torch.tensor([1, 2, 3]), text="2+2?")
    step = Segment(
        torch.tensor([4, 5]), True, torch.tensor([-0.5, -1.0]), Sampling(0.7, stop=("\n",)), "policy@3", "assistant"
    )
    step.state = ("board", frozenset({1, 2}))
    step.put("adv", 1.5)
    last = Segment(torch.randn(2, 3), moved=True, fresh=True, reward=0.5, info={"end": "stop"})
    one = Trace(problem, [prompt, step], {"correct": 1.0}, 1.0, True, episode="e")
    two = Trace(problem, [prompt, step, last], {"correct": 0.0}, None, None, "length", "critic", info={"n": math.nan})
    return Group(problem, [one, two], {"beats": torch.tensor([[0.0, 1.0], [0.0, 0.0]])}, {"round": 1})


def test_groups_come_back_whole_and_shared():
    g = a_tree()
    h = through(g)
    one, two = h.traces
    assert one.problem is h.problem is two.problem
    assert one.segments[0] is two.segments[0]
    assert one.segments[1] is two.segments[1]
    assert h.problem == g.problem
    step = one.segments[1]
    assert (step.by, step.role, step.trainable, step.drawn) == (
        "policy@3",
        "assistant",
        True,
        Sampling(0.7, stop=("\n",)),
    )
    assert step.state == ("board", frozenset({1, 2}))
    assert step.logp.tolist() == [-0.5, -1.0]
    assert step.cols["adv"].tolist() == [1.5, 1.5]
    assert torch.equal(two.segments[2].atoms, g.traces[1].segments[2].atoms)
    assert (two.segments[2].moved, two.segments[2].fresh, two.segments[2].reward) == (True, True, 0.5)
    assert (one.rewards, one.reward, one.solved, one.end, one.episode) == ({"correct": 1.0}, 1.0, True, "stop", "e")
    assert (two.reward, two.solved, two.end, two.agent) == (None, None, "length", "critic")
    assert math.isnan(two.info["n"])
    assert h.cols["beats"].tolist() == [[0.0, 1.0], [0.0, 0.0]]


def test_sharing_across_the_whole_value():
    g = a_tree()
    group, stores = through((g, {"store": [g.traces[1]]}))
    assert stores["store"][0] is group.traces[1]


def test_the_loaded_value_encodes_to_the_same_bytes():
    g = a_tree()
    tree, tensors = encode(g)
    again, tensors2 = encode(through(g))
    assert json.dumps(again) == json.dumps(tree)
    assert save(tensors2) == save(tensors)


class Strange(str):
    """Looks plain, is not."""


@pytest.mark.parametrize(
    ("x", "name"),
    [
        pytest.param(object(), "builtins.object", id="object"),  # its own text holds an address
        (Strange("a"), "Strange"),
        (OrderedDict(a=1), "collections.OrderedDict"),
        (defaultdict(list), "collections.defaultdict"),
        (torch.zeros(2).numpy(), "numpy.ndarray"),
        (len, "builtins.builtin_function_or_method"),
        (1j, "builtins.complex"),
        (b"x", "builtins.bytes"),
    ],
    ids=lambda x: x if isinstance(x, str) else type(x).__name__,
)
def test_anything_else_is_named_with_its_place(x, name):
    with pytest.raises(
        SharpenError, match=r"^ctx/stores/2 is a .*" + name.split(".")[-1] + ", which a checkpoint cannot hold"
    ):
        encode({"ctx": {"stores": [1, 2, x]}})


def test_tensors_that_cannot_be_kept():
    with pytest.raises(SharpenError, match=r"^a is a torch\.complex128 tensor"):
        encode({"a": torch.zeros(2, dtype=torch.complex128)})
    with pytest.raises(SharpenError, match=r"^a is a .* layout torch\.sparse_coo"):
        encode({"a": torch.eye(2).to_sparse()})
    with pytest.raises(SharpenError, match=r"^a is a .* on meta"):
        encode({"a": torch.zeros(2, device="meta")})


def test_keys_must_be_plain():
    with pytest.raises(SharpenError, match=r"^A key or an item of a set at memory holds a sharpen\.types\.Segment"):
        encode({"memory": {(1, Segment(torch.zeros(1))): 2}})
    with pytest.raises(SharpenError, match=r"item of a set at seen holds a torch.Tensor"):
        encode({"seen": {torch.zeros(1)}})


def test_circles_are_refused():
    x: list = []
    x.append({"x": x})
    with pytest.raises(SharpenError, match=r"^0/x is a list that holds itself"):
        encode(x)
    s = Segment(torch.zeros(1))
    s.info["self"] = s
    with pytest.raises(SharpenError, match=r"^info/self is a Segment that holds itself"):
        encode(s)


@pytest.mark.parametrize(
    "tree",
    [
        {"a": {"$": "tensor", "is": "gone"}},
        {"a": {"$": "object", "is": "x"}},
        {"a": {"$": "same", "id": 3}},
        {"a": {"$": "float", "is": "one"}},
        {"a": {"$": "Problem", "id": 0, "fields": {"key": "k"}}},
        {"a": {"$": "Sampling", "id": 0, "fields": {"heat": 1.0}}},
        {"a": {"$": "tuple"}},
    ],
    ids=str,
)
def test_trees_of_another_kind_are_refused(tree):
    with pytest.raises(SharpenError, match=r"^a is not data that sharpen wrote"):
        decode(tree, {})
