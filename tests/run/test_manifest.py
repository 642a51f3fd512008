"""Recipes as JSON and back, as text, and compared."""

import dataclasses
import json
import math
import subprocess

import pytest

from sharpen.core import addresses
from sharpen.credit.peers import GroupNorm
from sharpen.errors import SharpenError
from sharpen.loss.policy import KL, NLL, PPOClip
from sharpen.recipe import AdamW, Frozen, Loop, Policy, Recipe, Term, Update
from sharpen.reward.verify import Reward, Total, Verify, gated, weighted_sum
from sharpen.rollout.combinators import Refill, Vary, When, all_failed, mixed
from sharpen.rollout.edit import Annotate, Split
from sharpen.rollout.program import answer
from sharpen.rollout.sample import Sample
from sharpen.rows import Pairs, Traces, best, every, solved, worst
from sharpen.run.compose import compose, difference
from sharpen.run.manifest import describe, git, manifest, rebuild
from sharpen.source.problems import Pass, Uniform

GRPO = Recipe(
    "grpo",
    Pass(size=64),
    (Sample(n=8), Verify(), Total(), GroupNorm(), Annotate("ref")),
    (Update((Term(PPOClip()), Term(KL(), weight=0.04))),),
    actors=(("policy", Policy()), ("ref", Frozen())),
    about="Group-relative policy optimisation.",
    origins={"PPOClip.low": "section 4.1"},
)
DAPO = Recipe(
    "dapo",
    Pass(size=64),
    (
        Refill((Sample(n=8, program=answer), Verify(), Total({"correct": 1.0, "form": 0.5}, how=gated)), rounds=3),
        GroupNorm(scale="none"),
    ),
    (Update((Term(PPOClip(high=0.28), mean_over="atom"),), optimiser=AdamW(clip=math.inf, lr=1e-6)),),
    loop=Loop(iterations=7),
)
HINTED = Recipe(
    "hinted",
    Uniform(),
    (
        Sample(n=4),
        Verify(),
        When(all_failed, (Annotate("policy", "entropy", "h"), Verify())),
        Vary(Split("."), "separator", "knob"),
        Total(),
    ),
    (
        Update((Term(NLL()),), rows=Traces(where=solved, most=2)),
        Update((Term(NLL()),), rows=Pairs(best, worst), epochs=2),
    ),
)
ALL = [GRPO, DAPO, HINTED]


@pytest.mark.parametrize("recipe", ALL, ids=lambda r: r.name)
def test_round_trip_through_json(recipe):
    back = rebuild(json.loads(json.dumps(describe(recipe), allow_nan=False)))
    assert back == recipe
    assert describe(back) == describe(recipe)


def test_every_value_is_there_by_qualified_name():
    d = describe(HINTED)
    assert d["part"] == "sharpen.recipe.Recipe"
    assert d["fields"]["collect"][2] == {
        "part": "sharpen.rollout.combinators.When",
        "fields": {
            "test": {"function": "sharpen.rollout.combinators.all_failed"},
            "stages": [
                {
                    "part": "sharpen.rollout.edit.Annotate",
                    "fields": {"actor": "policy", "want": "entropy", "into": "h", "missing": False},
                },
                {"part": "sharpen.reward.verify.Verify", "fields": {}},
            ],
        },
    }
    assert d["fields"]["updates"][0]["fields"]["rows"]["fields"]["where"] == {"function": "sharpen.rows.solved"}
    assert describe(DAPO)["fields"]["updates"][0]["fields"]["optimiser"]["fields"]["clip"] == {"float": "inf"}


def test_one_part_in_two_places_stays_one():
    """A part's memory is found by its address, and addresses count objects."""
    shared = Verify()
    two = dataclasses.replace(HINTED, collect=(Sample(), shared, When(all_failed, (shared, Verify())), Total()))
    back = rebuild(json.loads(json.dumps(describe(two))))
    assert back.collect[1] is back.collect[2].stages[0]
    assert list(addresses(back)) == list(addresses(two))
    assert [n for n in addresses(back) if n.startswith("Verify")] == ["Verify", "Verify.1"]


@pytest.mark.parametrize(
    "x",
    [(1, (2, ())), [1, [2.5]], {"part": 1.0, "b": (1,)}, {1: "a", "1": None}, {"a": {"list": [1]}}, math.inf, 3, "x"],
)
def test_values_that_json_would_mistake(x):
    back = rebuild(json.loads(json.dumps(describe(x), allow_nan=False)))
    assert (back, type(back)) == (x, type(x))


def test_what_has_no_name_is_refused():
    with pytest.raises(
        SharpenError, match=r"^Reward\.fn is the function '.*<lambda>', which cannot be found by its name"
    ):
        describe(Reward(lambda t: 1.0, "one"))

    def inner(group):
        return True

    with pytest.raises(SharpenError, match=r"^Recipe\.collect\[0\]\.Refill\.keep is the function '.*inner'"):
        describe(dataclasses.replace(DAPO, collect=(Refill(DAPO.collect[0].stages, inner), DAPO.collect[1])))
    with pytest.raises(SharpenError, match=r"^Total\.weights\['a'\] is a builtins\.object"):
        describe(Total({"a": object()}))


def own_predicate(group):
    """A user's function, in a user's module."""
    return True


def test_only_trusted_modules_are_imported():
    d = describe(Refill((Verify(),), own_predicate))
    assert d["fields"]["keep"] == {"function": f"{__name__}.own_predicate"}
    with pytest.raises(
        SharpenError, match=rf"^The manifest names {__name__}\.own_predicate, and only modules of sharpen are"
    ):
        rebuild(d)
    assert rebuild(d, modules=(__name__,)).keep is own_predicate


@pytest.mark.parametrize(
    ("x", "text"),
    [
        ({"function": "os.system"}, "only modules of sharpen are imported"),
        ({"function": "sharpenx.evil"}, "only modules of sharpen are imported"),
        ({"function": "sharpen.core.dataclasses.replace"}, "which there is not in this installation"),
        ({"function": "sharpen.rows.dataclass"}, "which that module does not define"),
        ({"function": "sharpen.rows.Traces"}, "calls sharpen.rows.Traces a function, and it is none"),
        ({"part": "sharpen.rows.gone", "fields": {}}, "which there is not in this installation"),
        ({"part": "sharpen.rows.best", "fields": {}}, "calls sharpen.rows.best a part, and it is none"),
        ({"part": "sharpen.types.Segment", "fields": {}}, "calls sharpen.types.Segment a part, and it is none"),
        ({"part": "sharpen.core.Part", "fields": {}}, "calls sharpen.core.Part a part, and it is none"),
        ({"part": "sharpen.recipe.Loop", "fields": {"iterations": 3}}, "Loop lacks problems, reset. Use the version"),
        (
            {"part": "sharpen.recipe.Frozen", "fields": {"of": "policy", "refresh": "never", "tau": 1.0, "x": 1}},
            "Frozen has x, unknown here. Use the version",
        ),
        ({"same": 4}, "cannot be read back"),
        ({"part": "sharpen.reward.verify.Verify"}, "cannot be read back"),
    ],
)
def test_manifests_that_ask_for_something_else(x, text):
    with pytest.raises(SharpenError) as error:
        rebuild(x)
    assert text in str(error.value)


@dataclasses.dataclass(frozen=True)
class Setup:
    """What a command line settles."""

    model: str = "tiny"
    device: str = "cpu"


def test_the_manifest(tmp_path):
    m = manifest(GRPO, Setup(), 3, tmp_path)
    assert list(m) == ["format", "created", "seed", "recipe", "setup", "versions", "git"]
    assert (m["format"], m["seed"], m["git"]) == (1, 3, None)
    assert rebuild(json.loads(json.dumps(m))["recipe"]) == GRPO
    assert rebuild(m["setup"], modules=(__name__,), classes=(Setup,)) == Setup()
    assert m["versions"]["torch"].startswith("2.")
    assert set(m["versions"]) == {"python", "platform", "sharpen", "torch", "transformers"}


def test_the_commit(tmp_path):
    def run(*words):
        who = ("-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false")
        return subprocess.run(
            ["git", "-C", str(tmp_path), *who, *words], check=True, capture_output=True, text=True
        ).stdout

    run("init", "-q")
    (tmp_path / "a").write_text("1")
    run("add", "a")
    run("commit", "-qm", "a")
    assert git(tmp_path) == {"commit": run("rev-parse", "HEAD").strip(), "changed": False}
    (tmp_path / "a").write_text("2")
    assert git(tmp_path)["changed"] is True


HINTED_TEXT = """\
Recipe(
    name='hinted',
    source=Uniform(),
    collect=(
        Sample(n=4),
        Verify(),
        When(
            test=all_failed,
            stages=(
                Annotate(actor='policy', want='entropy', into='h'),
                Verify(),
            ),
        ),
        Vary(part=Split(separator='.'), field='separator', by='knob'),
        Total(),
    ),
    updates=(
        Update(
            terms=(
                Term(loss=NLL()),
            ),
            rows=Traces(where=solved, most=2),
        ),
        Update(
            terms=(
                Term(loss=NLL()),
            ),
            rows=Pairs(),
            epochs=2,
        ),
    ),
)"""


def test_the_text_of_a_recipe():
    assert compose(HINTED) == HINTED_TEXT


def test_the_text_with_every_value():
    text = compose(GRPO, defaults=True)
    assert "\n            n=8,\n            temperature=1.0,\n            top_p=1.0,\n" in text
    assert "\n            minibatch=0,\n" in text
    assert compose(AdamW(clip=0.5)) == "AdamW(clip=0.5)"
    assert compose(AdamW(clip=1)) == "AdamW(clip=1)"


@pytest.mark.parametrize("defaults", [False, True])
@pytest.mark.parametrize("recipe", ALL, ids=lambda r: r.name)
def test_the_text_is_the_expression_that_makes_it(recipe, defaults):
    text = compose(recipe, defaults)
    assert (
        eval(text, {**globals(), "weighted_sum": weighted_sum, "mixed": mixed, "every": every, "inf": math.inf})
        == recipe
    )
    assert max(map(len, text.splitlines())) <= 100


def test_differences_by_field():
    child = dataclasses.replace(
        GRPO,
        name="other",
        about="else",
        collect=(Sample(n=16), Verify(), Total({"correct": 1.0}), GroupNorm(scale="none"), Annotate("ref")),
        updates=(Update((Term(PPOClip(high=0.28)), Term(KL(), weight=0.1)), epochs=2, optimiser=AdamW(lr=1e-6)),),
        loop=Loop(iterations=7),
    )
    assert difference(GRPO, child) == [
        "Sample.n: 8 -> 16",
        "Total.weights: added 'correct' (1.0)",
        "GroupNorm.scale: 'std' -> 'none'",
        "PPOClip.high: 0.2 -> 0.28",
        "Term.1.weight: 0.04 -> 0.1",
        "AdamW.lr: None -> 1e-06",
        "Update.epochs: 1 -> 2",
        "Loop.iterations: 100 -> 7",
    ]
    assert difference(GRPO, dataclasses.replace(GRPO, name="same", origins={})) == []


def test_differences_of_parts():
    child = dataclasses.replace(
        GRPO,
        source=Uniform(),
        collect=(Sample(n=8), Verify(), Reward(own_predicate, "own"), Total(), GroupNorm()),
        updates=(Update((Term(NLL()),)), Update((Term(PPOClip()),))),
        actors=(("policy", Policy()),),
    )
    assert difference(GRPO, child) == [
        "source: replaced Pass(size=64) by Uniform()",
        "collect: added Reward(fn=own_predicate, name='own')",
        "collect: removed Annotate(actor='ref')",
        "Update.terms: removed Term(loss=PPOClip())",
        "Update.terms: removed Term(loss=KL(), weight=0.04)",
        "Update.terms: added Term(loss=NLL())",
        "updates: added Update(terms=(Term(loss=PPOClip()),))",
        "actors: removed ('ref', Frozen())",
    ]


def test_stages_that_moved_into_a_combinator_and_out():
    assert difference(GRPO, DAPO) == [
        "collect: Sample, Verify, Total inside Refill(rounds=3)",
        "Sample.program: None -> answer",
        "Total.weights: added 'correct' (1.0)",
        "Total.weights: added 'form' (0.5)",
        "Total.how: weighted_sum -> gated",
        "GroupNorm.scale: 'std' -> 'none'",
        "collect: removed Annotate(actor='ref')",
        "PPOClip.high: 0.2 -> 0.28",
        "Term.mean_over: 'trace' -> 'atom'",
        "Update.terms: removed Term(loss=KL(), weight=0.04)",
        "AdamW.lr: None -> 1e-06",
        "AdamW.clip: 1.0 -> inf",
        "Loop.iterations: 100 -> 7",
        "actors: removed ('ref', Frozen())",
    ]
    back = difference(DAPO, GRPO)
    assert back[:2] == [
        "collect: Sample, Verify, Total no longer inside Refill(rounds=3)",
        "Sample.program: answer -> None",
    ]
    assert "actors: added ('ref', Frozen())" in back
