"""Fields of a recipe by name, and texts as values of a type."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import pytest

from sharpen.core import addresses
from sharpen.errors import SharpenError
from sharpen.overrides import options, override, parse, typed_fields
from sharpen.recipe import Frozen
from sharpen.recipes import all_recipes, recipe

grpo = recipe("grpo")


def test_every_kind_of_name_reaches_its_part():
    changed = override(
        grpo,
        [
            "Sample.n=4",
            "Loop.iterations=7",
            "Term.0.weight=2",
            "Term.kl.weight=1e-3",
            "AdamW.lr=none",
            "PPOClip.high=.3",
        ],
    )
    parts = addresses(changed)
    assert parts["Sample"].n == 4
    assert changed.loop.iterations == 7
    assert [t.weight for t in changed.updates[0].terms] == [2.0, 0.001]
    assert changed.updates[0].optimiser.lr is None
    assert changed.updates[0].terms[0].loss.high == 0.3
    assert changed.name == "grpo"
    assert grpo.loop.iterations == 100


def test_no_change_gives_the_very_recipe():
    assert override(grpo, []) is grpo


def test_the_later_of_two_changes_counts():
    assert override(grpo, ["Sample.n=4", "Sample.n=8"]).collect[0].n == 8


def test_changes_that_only_hold_together_are_applied_at_once():
    changed = override(grpo, ["Term.ppoclip.mean_over=horizon", "Term.ppoclip.horizon=9"])
    assert (changed.updates[0].terms[0].mean_over, changed.updates[0].terms[0].horizon) == ("horizon", 9)
    renamed = override(grpo, ["GroupNorm.into=gain", "PPOClip.adv=gain"])
    assert renamed.updates[0].terms[0].loss.adv == "gain"
    with pytest.raises(SharpenError, match="reads 'adv'"):
        override(grpo, ["GroupNorm.into=gain"])


def test_changes_inside_and_outside_of_one_another():
    changed = override(grpo, ["Update.epochs=2", "Term.kl.weight=0.1", "KL.estimator=k2"])
    update = changed.updates[0]
    assert (update.epochs, update.terms[1].weight, update.terms[1].loss.estimator) == (2, 0.1, "k2")


def test_a_part_that_stands_in_two_places_stays_one():
    shared = grpo.collect[0]
    twice = replace(grpo, collect=(shared, *grpo.collect[1:3], shared, *grpo.collect[1:]))
    changed = override(twice, ["Sample.n=3"])
    assert changed.collect[0] is changed.collect[3]
    assert changed.collect[0].n == 3


def test_options_are_all_names_that_work_and_origins_are_among_them():
    found = options(grpo)
    assert found["Sample.n"] == 16
    assert found["Term.kl.weight"] == found["Term.1.weight"] == 0.04
    assert "Term.weight" not in found
    for r in all_recipes().values():
        assert set(r.origins) <= set(options(r)), r.name
        for name, value in options(r).items():
            if isinstance(value, (int, float, str)):
                assert override(r, [f"{name}={value}"]) == r, name


def test_a_text_is_taken_as_it_is():
    assert override(recipe("tango"), ["Split.0.separator=\n\n"]).recipes[0].collect[1].separator == "\n\n"
    assert override(grpo, ["Sample.n= 3 "]).collect[0].n == 3


def test_actors_have_names_too():
    assert override(grpo, ["Frozen.refresh=iteration"]).actors[1][1] == Frozen("policy", "iteration")


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("3", int, 3),
        ("1e3", int, 1000),
        ("12345678901234567891", int, 12345678901234567891),
        ("-2", float, -2.0),
        ("1e-6", float, 1e-6),
        ("Yes", bool, True),
        ("0", bool, False),
        ("none", float | None, None),
        ("0.5", float | None, 0.5),
        ("none", str, "none"),
        ("a b", str | None, "a b"),
        ("trace", Literal["atom", "trace"], "trace"),
        ("2", Literal[1, 2], 2),
        ("a, b", tuple[str, ...], ("a", "b")),
        ("(1,2)", tuple[int, float], (1, 2.0)),
        ("", tuple[str, ...], ()),
        ("correct:1, format:0.1", Mapping[str, float], {"correct": 1.0, "format": 0.1}),
        ("{'a': 2}", dict[str, int], {"a": 2}),
        ("knob", Callable[[float], float] | str, "knob"),
        (3, int, 3),
        (3, float, 3.0),
        ([1, 2], tuple[int, ...], (1, 2)),
        (None, int | None, None),
        (len, Callable[..., Any], len),
    ],
)
def test_values(text: Any, kind: Any, value: Any):
    found = parse(text, kind, "here")
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("1.5", int, "here: '1.5' is not a whole number. Give another value."),
        ("inf", int, "here: 'inf' is not a whole number."),
        (True, int, "here: True is not a whole number."),
        (1.0, int, "here: 1.0 is not a whole number."),
        ("x", float, "here: 'x' is not a number."),
        ("maybe", bool, "here: 'maybe' is not true or false."),
        ("trac", Literal["atom", "trace"], "here: 'trac' is not one of atom, trace. Did you mean trace?"),
        ("1,x", tuple[int, ...], "here: 'x' is not a whole number."),
        ("1", tuple[int, float], "here: 2 values are wanted, separated by commas, not 1."),
        ("correct", Mapping[str, float], "here: 'correct' is not a list of pairs. Write them like `correct:1,format"),
        ("a:b", Mapping[str, float], "here: 'b' is not a number."),
        ("x", Callable[..., Any], "here: a Callable cannot be given as text."),
        (3, str, "here: 3 is not text."),
        (3, tuple[int, ...], "here: 3 is not a list, with commas between."),
    ],
)
def test_values_of_the_wrong_type(text: Any, kind: Any, said: str):
    with pytest.raises(SharpenError) as caught:
        parse(text, kind, "here")
    assert str(caught.value).startswith(said)


@dataclass(frozen=True)
class Toy:
    low: int = 1
    path: str = ""


def test_typed_fields():
    assert typed_fields(Toy, {"low": "3"}, "Task toy") == {"low": 3}
    with pytest.raises(SharpenError, match=r"^Task toy has no option 'lo'\. Did you mean low\?$"):
        typed_fields(Toy, {"lo": 1}, "Task toy")
    with pytest.raises(SharpenError, match=r"^Task toy has no option 'path'\. Known: low\.$"):
        typed_fields(Toy, {"path": "x"}, "Task toy", {"path"})
    with pytest.raises(SharpenError, match=r"^Task toy: low: 'x' is not a whole number\."):
        typed_fields(Toy, {"low": "x"}, "Task toy")
