"""Preferences: as groups of given traces, from files of one's own, and from a taste that is known."""

import json
import random
from collections import Counter

import pytest
import torch

from benches import TASTE
from sharpen.errors import SharpenError
from sharpen.loop import Trainer
from sharpen.recipes import recipe
from sharpen.run.plan import plan
from sharpen.source.offline import Offline
from sharpen.task.preferences import Preferences, is_preferences
from sharpen.task.resolve import task_of
from sharpen.task.taste import Taste
from sharpen.types import Problem, Segment, Trace
from toy import Copy, nano_actor


def said(problem, text):
    return Trace(problem, [Segment(torch.zeros(1, dtype=torch.long), trainable=True, text=text)])


# ------------------------------------------------------------------ Offline


def started(task, seed=0):
    trainer = Trainer(recipe("dpo"), task, nano_actor(max_tokens=4), seed=seed)
    return trainer.recipe.source, trainer.ctx


def test_a_pair_is_a_group_of_two_given_traces():
    source, ctx = started(TASTE.task())
    actor, known = ctx.actors["policy"], {(p.problem.key, p.chosen, p.rejected) for p in ctx.task.pairs("train")}
    for group in source.draw(20, ctx):
        one, two = group.traces
        assert (group.problem.key, one.text, two.text) in known
        assert (one.reward, two.reward) == (1.0, 0.0)
        assert [t.agent for t in group.traces] == ["data", "data"]
        for trace in group.traces:
            (reply,) = trace.actions
            assert reply.atoms.tolist() == [*actor.encode(trace.text), actor._ends[0]]
            assert reply.logp is None
            assert reply.cols == {}
            assert [s.atoms.tolist() for s in trace.segments[:-1]] == [
                s.atoms.tolist() for s in actor.prompt(group.problem)
            ]


def test_every_pair_once_an_epoch_in_an_order_of_the_run():
    def order(seed, *sizes):
        source, ctx = started(TASTE.task(), seed)
        return [g.problem.key for n in sizes for g in source.draw(n, ctx)], ctx.states

    every = [p.problem.key for p in TASTE.task().pairs("train")]
    assert len(every) == len(set(every)) == 240
    keys, state = order(1, 100, 140, 240, 7)
    assert sorted(keys[:240]) == sorted(keys[240:480]) == sorted(every)
    assert keys[:240] != keys[240:480]
    assert keys[:240] != every
    assert [len(x["left"]) for x in state.values()] == [233]
    assert order(1, 487)[0] == keys  # over the end of two epochs at once
    assert order(2, 240)[0] != keys[:240]


def test_another_split_and_what_offline_refuses(tmp_path):
    source, ctx = started(TASTE.task())
    held = {p.problem.key for p in ctx.task.pairs("test")}
    ctx.states[ctx.address(source)]["left"].clear()
    ctx._address[id(other := Offline(split="test"))] = ctx.address(source)
    assert {g.problem.key for g in other.draw(len(held), ctx)} == held
    with pytest.raises(SharpenError, match="context holds 64") as caught:
        source.given(Problem("long", "?"), "a" * 64, 1.0, ctx)
    assert "A reply to problem 'long' has, prompt included, " in str(caught.value)
    with pytest.raises(SharpenError, match="pairs"):
        started(Copy())


def test_a_plan_counts_both_replies_and_nothing_generated():
    actor = nano_actor(max_tokens=4)
    (found,) = plan(Trainer(recipe("dpo"), TASTE.task(), actor))
    assert (found.problems, found.traces, found.generated) == (64, 128, 0)
    (update,) = found.updates
    assert {k: update[k] for k in ("rows", "of", "size", "minibatches", "steps")} == {
        "rows": 64,
        "of": "pairs",
        "size": 64,
        "minibatches": 1,
        "steps": 1,
    }
    assert found.lines()[0].startswith("an iteration: 64 problems -> at most 128 traces")
    fit, follow = plan(Trainer(recipe("rm-ppo"), TASTE.task(), actor))
    assert (fit.traces, fit.updates[0]["minibatches"], fit.generated) == (512, 8, 0)
    assert follow.traces == follow.problems
    assert follow.generated == follow.problems * 4


# ------------------------------------------------------------------ a file of one's own


def write(path, rows):
    path.write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows), encoding="utf-8")
    return str(path)


def user(text):
    return [{"role": "user", "content": text}]


def assistant(text):
    return [{"role": "assistant", "content": text}]


ROWS = [{"prompt": f"{d}?", "chosen": str(d), "rejected": str(d + 1)} for d in range(30)]


def test_rows_of_texts(tmp_path):
    task = task_of(write(tmp_path / "mine.jsonl", [*ROWS, {"prompt": "3?", "chosen": "three", "rejected": "x"}]))
    assert isinstance(task, Preferences)
    assert (task.name, task.main, task.splits) == ("mine.jsonl", "chosen", ("train", "test"))
    train, test = task.fixed("train", 99), task.fixed("test", 99)
    assert len(train) + len(test) == 30
    assert sorted(p.prompt for p in train + test) == sorted(r["prompt"] for r in ROWS)
    pairs = [*task.pairs("train"), *task.pairs("test")]
    assert sorted((p.problem.prompt, p.chosen, p.rejected) for p in pairs) == sorted(
        [*((r["prompt"], r["chosen"], r["rejected"]) for r in ROWS), ("3?", "three", "x")]
    )
    three = next(p for p in train + test if p.prompt == "3?")
    assert three.info["pairs"] == (("3", "4"), ("three", "x"))
    assert [task.verify(three, said(three, t))["chosen"] for t in ("3", " three\n", "4", "thre")] == [1, 1, 0, 0]
    assert task.draw("test", random.Random(1)) in test
    for seed in range(20):
        problem, lines = task.lesson(random.Random(seed))
        assert problem in train
        assert "\n".join(lines) in {r for both in problem.info["pairs"] for r in both}


def test_a_second_file_is_held_out_and_its_prompts_are_not_trained_on(tmp_path):
    test = [{"prompt": "2?", "chosen": "two", "rejected": "2"}, {"prompt": "new?", "chosen": "n", "rejected": "m"}]
    task = Preferences(write(tmp_path / "a.jsonl", ROWS), test=write(tmp_path / "b.jsonl", test))
    assert [p.prompt for p in task.fixed("test", 9)] == ["2?", "new?"]
    assert [p.prompt for p in task.fixed("train", 99)] == [r["prompt"] for r in ROWS if r["prompt"] != "2?"]
    assert task.pairs("test")[0][1:] == ("two", "2")


def test_rows_of_messages_with_and_without_a_prompt(tmp_path):
    rows = [
        {"prompt": user("a?"), "chosen": assistant("yes"), "rejected": assistant("no")},
        {"chosen": user("b?") + assistant("yes\nit is"), "rejected": user("b?") + assistant("no")},
        {"prompt": "c?", "chosen": user("c?") + assistant("yes"), "rejected": "no"},
    ]
    task = Preferences(write(tmp_path / "a.jsonl", rows), test_share=0.01)
    found = {json.dumps(p.problem.prompt): p for s in task.splits for p in task.pairs(s)}
    assert {k: v[1:] for k, v in found.items()} == {
        json.dumps(user("a?")): ("yes", "no"),
        json.dumps(user("b?")): ("yes\nit is", "no"),
        '"c?"': ("yes", "no"),
    }
    assert found[json.dumps(user("b?"))].problem.solution == ("yes", "it is")


def test_columns_of_other_names_and_rows_that_say_nothing(tmp_path):
    rows = [{"q": f"{d}?", "good": "g", "bad": "b" if d % 2 else "g"} for d in range(20)]
    path = write(tmp_path / "a.jsonl", rows)
    task = task_of(path, prompt="q", chosen="good", rejected="bad")
    found = {p.problem.prompt for s in task.splits for p in task.pairs(s)}
    assert found == {f"{d}?" for d in range(1, 20, 2)}
    assert is_preferences(("prompt", "chosen", "rejected"))
    assert not is_preferences(("prompt", "chosen", "rejected", "answer"))
    assert not is_preferences(("prompt", "chosen"))


GOOD = {"prompt": "a?", "chosen": "x", "rejected": "y"}


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([GOOD, {"prompt": "b?", "chosen": "x"}], "a.jsonl line 2 has no reply in the column 'rejected'"),
        ([GOOD, {**GOOD, "chosen": "  "}], "a.jsonl line 2 has no reply in the column 'chosen'"),
        ([GOOD, {**GOOD, "chosen": user("who?")}], "line 2 has no reply in the column 'chosen'"),
        ([GOOD, {**GOOD, "rejected": 7}], "line 2 has no reply in the column 'rejected'"),
        ([GOOD, {**GOOD, "rejected": [{"role": "assistant"}]}], "line 2 has no reply in the column 'rejected'"),
        ([GOOD, {"chosen": "x", "rejected": "y"}], "line 2 has no prompt: it has chosen, rejected."),
        (
            [GOOD, {"chosen": user("a") + assistant("x"), "rejected": user("b") + assistant("y")}],
            "give both replies as lists of messages that begin with the same prompt.",
        ),
        ([GOOD, {**GOOD, "prompt": ""}], "line 2: the prompt ('prompt') is empty."),
        ([GOOD, "{"], "a.jsonl line 2 is not JSON"),
        ([{**GOOD, "rejected": "x"}], "has no two different replies to a prompt. Give another file."),
        ([GOOD], "has no prompt in its split 'test'. Give it more rows."),
    ],
)
def test_bad_rows_are_named(tmp_path, rows, told):
    task = Preferences(write(tmp_path / "a.jsonl", rows))
    with pytest.raises(SharpenError) as caught:
        task.pairs("train")
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_refusals_of_a_file(tmp_path):
    path = write(tmp_path / "a.jsonl", ROWS)
    with pytest.raises(SharpenError, match=r"test_share=1.0 must be between 0 and 1"):
        Preferences(path, test_share=1.0)
    with pytest.raises(SharpenError, match=r"Task a.jsonl has no split 'tests'. Did you mean test\?"):
        Preferences(path).pairs("tests")
    with pytest.raises(SharpenError, match="There is no file"):
        Preferences(str(tmp_path / "gone.jsonl")).pairs("train")


def test_what_a_base_depends_on_are_the_rows_to_train_on(tmp_path):
    one = Preferences(write(tmp_path / "a.jsonl", ROWS)).identity()
    (tmp_path / "other").mkdir()
    again = Preferences(write(tmp_path / "other" / "a.jsonl", ROWS)).identity()
    turned = [{**r, "chosen": r["rejected"], "rejected": r["chosen"]} for r in ROWS]
    assert one == again
    assert Preferences(write(tmp_path / "a.jsonl", turned)).identity() != one


# ------------------------------------------------------------------ a taste that is known


def test_gold_by_hand():
    task = Taste()
    wish = Problem("taste:abc", "abc?", info={"wish": "abc"})
    worth = {
        "abc": 1,
        " cab\n": 1,
        "ab": 2 / 3,
        "abcd": 3 / 4,
        "abca": 3 / 4,
        "abd": 2 / 4,
        "": 0,
        "xyz": 0,
        "aaa": 0.2,
    }
    assert {text: task.gold(wish, text) for text in worth} == pytest.approx(worth)
    assert task.verify(wish, said(wish, "cba")) == {"correct": 1.0, "gold": 1.0}
    assert task.verify(wish, said(wish, "ab")) == {"correct": 0.0, "gold": 2 / 3}
    assert [task.answer_of(t) for t in (" cab ", "", "a" * 32, "a" * 33)] == ["abc", None, "a" * 32, None]


def test_wishes_are_sorted_letters_of_the_alphabet():
    for p in Taste(alphabet=12).fixed("train", 50):
        wish = p.info["wish"]
        assert p.prompt == f"{wish}?"
        assert 3 <= len(wish) <= 5
        assert wish == "".join(sorted(set(wish)))
        assert set(wish) <= set("abcdefghijkl")


def test_pairs_are_the_same_each_time_and_of_one_problem_each():
    one, two, fewer = Taste(), Taste(), Taste(judged=10)
    for split in ("train", "test"):
        assert one.pairs(split) == two.pairs(split)
        assert one.pairs(split)[:10] == fewer.pairs(split)
    train, test = ({p.problem.key for p in one.pairs(s)} for s in ("train", "test"))
    assert len(train) == 256
    assert len(test) > 50
    assert not train & test
    for p in one.pairs("train"):
        assert sorted(p.chosen) != sorted(p.rejected)
        assert p.chosen
        assert p.rejected


def test_labels_follow_gold_as_bradley_and_terry_say_and_are_turned_at_the_rate_of_noise():
    """Turning is the last draw, so the same pairs with and without noise differ by it alone."""
    plain, noisy, wrong = (Taste(judged=600, noise=n) for n in (0.0, 0.25, 1.0))
    pairs = [t.pairs("train") for t in (plain, noisy, wrong)]
    assert [(p.problem, p.rejected, p.chosen) for p in pairs[2]] == [tuple(p) for p in pairs[0]]
    turned = [a != b for a, b in zip(pairs[0], pairs[1], strict=True)]
    assert sum(turned) / len(turned) == pytest.approx(0.25, abs=0.07)  # four standard errors
    # a gap of d in gold is labelled right at the rate sigmoid(10 d): the expected and the counted number agree
    gaps = [plain.gold(p.problem, p.chosen) - plain.gold(p.problem, p.rejected) for p in pairs[0]]
    rates = [1 / (1 + 2.718281828459045 ** (-10 * abs(g))) for g in gaps if g]
    spread = sum(r * (1 - r) for r in rates) ** 0.5
    assert sum(g > 0 for g in gaps) == pytest.approx(sum(rates), abs=4 * spread)
    keen = Taste(judged=100, noise=0.0, keen=1e6)
    assert all(keen.gold(p.problem, p.chosen) >= keen.gold(p.problem, p.rejected) for p in keen.pairs("train"))


def test_the_careless_teacher():
    """With neither fault it says each letter once; a letter is left out at `sloppy`, and one added at `stray`."""
    wish = Problem("taste:abcdefgh", "abcdefgh?", info={"wish": "abcdefgh"})
    perfect = Taste(sloppy=0.0, stray=0.0)
    assert {"".join(sorted(perfect.careless(wish, random.Random(i)))) for i in range(20)} == {"abcdefgh"}
    assert len({perfect.careless(wish, random.Random(i)) for i in range(20)}) > 15
    rng = random.Random(0)
    short = [Taste(sloppy=0.35, stray=0.0).careless(wish, rng) for _ in range(500)]
    assert sum(map(len, short)) / 4000 == pytest.approx(0.65, abs=0.03)
    assert max(max(Counter(t).values()) for t in short) == 1
    long = [Taste(sloppy=0.0, stray=0.1).careless(wish, rng) for _ in range(500)]
    assert sum(map(len, long)) / 4000 == pytest.approx(1.1, abs=0.02)
    assert all(len(Taste(sloppy=1.0, stray=0.0).careless(wish, rng)) == 1 for _ in range(20))


def test_preferences_are_no_part_of_what_a_base_depends_on():
    one = Taste().identity()
    assert one == Taste(judged=9, noise=0.1, keen=3.0).identity()
    assert one != Taste(stray=0.2).identity()
    assert one != Taste(alphabet=17).identity()


@pytest.mark.parametrize(
    "fields",
    [{"noise": 1.5}, {"noise": -0.1}, {"stray": 2.0}, {"keen": 0.0}, {"judged": 0}, {"alphabet": 8}, {"alphabet": 27}],
)
def test_a_taste_refuses(fields):
    (name,) = fields
    with pytest.raises(SharpenError, match=f"(?s)taste.*{name}"):
        Taste(**fields)
