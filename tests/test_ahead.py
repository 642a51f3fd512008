"""Samples drawn while earlier iterations are learnt from: which weights drew them, what is learnt, and resuming."""

import itertools
import math
import random
import threading
from dataclasses import replace

import pytest
import torch

from second import CopyEngine
from sharpen.actor.engine.proof import fingerprints
from sharpen.ahead import catch_up, prove, stages_ahead
from sharpen.budget import Budget
from sharpen.errors import SharpenError
from sharpen.loop import Trainer
from sharpen.overrides import override
from sharpen.recipe import Program
from sharpen.recipes import recipe
from sharpen.rollout.program import answer, run_programs
from sharpen.run.plain import decode, encode
from sharpen.source.problems import Pass
from sharpen.types import Group, Sampling
from toy import Copy, nano_actor, weights_equal


class Even(Copy):
    """An untrained model earns something, and no two answers quite the same."""

    def verify(self, problem, trace):
        return {"correct": sum(ord(c) % 2 == 0 for c in trace.text) / 4, "short": 0.0}


class Copying(CopyEngine):
    """It keeps what asked it, too."""

    def __init__(self, actor):
        adapted = actor.module is not actor.plain
        super().__init__(actor, model=nano_actor().module if adapted else None)
        self.threads = set()

    def generate(self, prompts):
        self.threads.add(threading.current_thread().name.split("_")[0])
        return super().generate(prompts)


GRPO = override(recipe("grpo"), ("Loop.problems=4", "Loop.iterations=6", "Sample.n=4", "AdamW.lr=0.01"))


def trainer(ahead, method=GRPO, seed=0, budget=None, **setup):
    actor = nano_actor(**setup)
    actor.serve(Copying(actor))
    return Trainer(method, Even(), actor, seed=seed, ahead=ahead, budget=budget)


def steps(t, n):
    """What n iterations said, and the weights before each of them and after the last."""
    weights, told = [], []
    for _ in range(n):
        weights.append({k: v.clone() for k, v in t.policy.weights().items()})
        told.append(t.step())
    return told, [*weights, {k: v.clone() for k, v in t.policy.weights().items()}]


def words(iterations):
    return [(i.metrics, i.cost) for i in iterations]


@pytest.mark.parametrize("bound", [1, 2, 3])
def test_samples_of_an_iteration_are_those_of_the_policy_as_it_was_that_many_iterations_before(bound):
    t = trainer(bound)
    engine = t.policy.engine
    told, weights = steps(t, 6)
    t.rest()
    assert engine.threads == {"collector"}
    assert t.policy.engine is engine
    assert len(engine.syncs) == 6
    for k, sent in enumerate(engine.syncs):
        assert weights_equal(sent, weights[max(0, k - bound)])
    assert not any(weights_equal(a, b) for a, b in itertools.pairwise(weights))
    # what nothing was learnt from in between needs no correction, what is behind gets one
    gaps = [i.metrics["engine/gap"] for i in told]
    assert gaps[0] < 1e-6
    assert all(g > 1e-3 for g in gaps[1:])


def test_with_a_budget_the_last_iteration_is_not_known_before():
    spend = Budget("iterations", 8)  # of six that the recipe asks for
    whole, cut = trainer(2, budget=spend), trainer(2, budget=spend)
    told, weights = steps(whole, 8)
    assert whole.done
    whole.rest()
    steps(cut, 5)
    tree, tensors = encode(cut.state())
    cut.rest()
    again = trainer(2, seed=7, budget=spend)
    again.load(decode(tree, {k: v.clone() for k, v in tensors.items()}))
    rest, ends = steps(again, 3)
    again.rest()
    assert again.done
    assert words(rest) == words(told[5:])
    assert weights_equal(ends[-1], weights[-1])


def test_the_entropy_of_what_was_drawn_is_told_where_the_engine_does_not_know_it():
    t = trainer(1)  # such an engine
    first = t.step()
    seen = [s.cols["entropy"] for g in first.groups for x in g.traces for s in x.actions]
    assert first.metrics["entropy"] == pytest.approx(float(torch.cat(seen).mean()), rel=1e-5)
    plain = Trainer(GRPO, Even(), nano_actor()).step()  # other samples of the same weights
    assert first.metrics["entropy"] == pytest.approx(plain.metrics["entropy"], rel=0.05)
    t.rest()


def test_without_a_bound_the_trainer_draws_itself():
    t = trainer(0)
    _, weights = steps(t, 2)
    assert t.ahead is None
    assert t.policy.engine.threads == {"MainThread"}
    assert [weights_equal(a, b) for a, b in zip(t.policy.engine.syncs, weights, strict=False)] == [True, True]


def test_a_run_is_the_same_each_time():
    a, b = trainer(2), trainer(2)
    (first, one), (second, two) = steps(a, 6), steps(b, 6)
    assert words(first) == words(second)
    assert weights_equal(one[-1], two[-1])
    a.rest(), b.rest()


@pytest.mark.parametrize("at", [1, 3, 5])
def test_a_run_goes_on_to_the_bit_with_what_was_drawn_ahead(at):
    whole = trainer(2)
    told, weights = steps(whole, 6)
    half = trainer(2)
    steps(half, at)
    tree, tensors = encode(half.state())
    half.rest()
    again = trainer(2, seed=5)
    engine = again.policy.engine
    again.load(decode(tree, {k: v.clone() for k, v in tensors.items()}))
    rest, after = steps(again, 6 - at)
    assert words(rest) == words(told[at:])
    assert weights_equal(after[-1], weights[-1])
    assert len(engine.syncs) == max(0, 6 - at - 2)  # the others were in the checkpoint
    whole.rest(), again.rest()


def test_a_checkpoint_changes_nothing():
    plain, kept = trainer(2), trainer(2)
    told, _ = steps(plain, 6)
    found = []
    for _ in range(6):
        kept.state()
        found.append(kept.step())
    assert words(found) == words(told)
    plain.rest(), kept.rest()


def drawn(actor, by=3):
    """Two groups of two answers of this actor, in one call."""
    problems = Even().fixed("train", 2)
    runs = run_programs(
        answer,
        [p for p in problems for _ in range(2)],
        Sampling(),
        task=Even(),
        actors={"policy": actor},
        actor="policy",
        rng=random.Random(0),
        step=by,
    )
    return [Group(p, [runs[2 * i][0], runs[2 * i + 1][0]]) for i, p in enumerate(problems)]


def test_what_older_weights_drew_is_given_the_log_probs_of_now():
    old, new = nano_actor(seed=0), nano_actor(seed=1)
    groups = drawn(old)
    segments = [s for g in groups for t in g.traces for s in t.actions]
    before = [s.cols["logp_old"].clone() for s in segments]
    expected = []
    for g in groups:
        for t in g.traces:
            ids = torch.cat([s.atoms for s in t.segments])[None]
            logits = new.module(input_ids=ids).logits[0].log_softmax(-1)
            n = len(t.actions[0])
            logp = logits[-n - 1 : -1].gather(-1, ids[0, -n:, None])[:, 0]
            entropy = -(logits.exp() * logits).sum(-1)[-n - 1 : -1]
            expected.append((logp.detach(), entropy.detach()))
    assert catch_up(new, groups, "policy@2") == 0  # nothing was drawn then
    assert catch_up(new, groups, "policy@3") == sum(len(s) for g in groups for t in g.traces for s in t.segments)
    for s, was, (logp, entropy) in zip(segments, before, expected, strict=True):
        assert torch.allclose(s.cols["logp_old"], logp, atol=1e-5)
        assert torch.allclose(s.cols["entropy"], entropy, atol=1e-5)
        assert torch.allclose(s.cols["mismatch"], logp - was, atol=1e-5)


def test_what_was_drawn_greedily_or_stands_elsewhere_is_not_weighed():
    old, new = nano_actor(seed=0), nano_actor(seed=1)
    groups = drawn(old)
    first, second, third, fourth = (t.actions[0] for g in groups for t in g.traces)
    first.drawn = replace(first.drawn, temperature=0.0)
    second.moved = True
    third.by = "data"
    catch_up(new, groups, "policy@3")
    assert ["mismatch" in s.cols for s in (first, second, third, fourth)] == [False, False, False, True]


def test_samples_of_other_weights_than_were_said_stop_the_run_and_weights_are_put_back():
    actor, other = nano_actor(seed=0), nano_actor(seed=1)
    groups = drawn(other)
    mine = {k: v.clone() for k, v in actor.weights().items()}
    prove(actor, other.weights(), groups, "policy@3", 1e-4)
    assert weights_equal(actor.weights(), mine)
    with pytest.raises(SharpenError, match="does not draw from the trainer's policy"):
        prove(actor, mine, groups, "policy@3", 1e-4)
    assert weights_equal(actor.weights(), mine)


def test_an_engine_that_skips_a_sync_stops_the_run():
    t = trainer(1)
    engine = t.policy.engine
    steps(t, 2)
    engine.sync = lambda weights: fingerprints(weights)  # says it holds them, and does not
    with pytest.raises(SharpenError, match="does not draw from the trainer's policy"):
        steps(t, 4)
    t.rest()
    t = trainer(1)
    t.policy.engine.sync = lambda weights: dict(fingerprints(weights), odd=1)
    with pytest.raises(SharpenError, match="does not hold the trainer's weights after a sync"):
        t.step()
    t.rest()
    assert isinstance(t.policy.engine, Copying)


def test_refilling_draws_from_the_source_and_shows_it_what_was_refused_when_its_iteration_comes():
    t = trainer(1, override(recipe("dapo"), ("Loop.problems=4", "Loop.iterations=3", "Sample.n=4")))
    shown = []
    t.ctx.observe = lambda groups: shown.append((t.ctx.step, len(groups)))
    told, _ = steps(t, 3)
    t.rest()
    # each round's refused groups, then what was learnt from, all at their own iteration
    assert [step for step, _ in shown] == sorted(step for step, _ in shown)
    assert all(i.cost["problems"] >= 4 * (k + 1) for k, i in enumerate(told))


def test_which_stages_run_ahead():
    kinds = [type(s).__name__ for s in GRPO.collect]
    assert kinds[: stages_ahead(GRPO)] == ["Sample", "Verify"]
    assert [type(s).__name__ for s in recipe("dapo").collect][: stages_ahead(recipe("dapo"))] == ["Refill"]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("rest-mcts", "before its last samples are drawn MCTS asks 'value'"),
        ("spin", "before its last samples are drawn Sample asks 'opponent'"),
    ],
)
def test_what_needs_more_than_the_policy_to_draw_is_refused(name, why):
    with pytest.raises(SharpenError, match=f"'{name}' cannot be collected ahead of its updates: {why}"):
        trainer(1, recipe(name))


def test_what_draws_nothing_is_refused_and_waits_where_something_else_draws():
    with pytest.raises(SharpenError, match="'sft' draws no samples of the policy"):
        trainer(1, recipe("sft"))
    first = override(recipe("sft"), ("Loop.iterations=1",))
    t = trainer(1, Program("both", (first, override(GRPO, ("Loop.iterations=2",)))))
    assert t.ahead is None
    steps(t, 2)
    assert t.ahead is not None
    t.rest()


def test_a_knob_that_is_turned_while_samples_are_drawn_stops_the_run():
    t = trainer(1, recipe("b-star"))
    with pytest.raises(SharpenError, match=r"'b-star' cannot be collected .* turns the knob 'T'"):
        steps(t, 3)
    t.rest()


def test_a_source_that_remembers_cannot_be_asked_meanwhile():
    method = replace(override(recipe("dapo"), ("Loop.iterations=2",)), source=Pass(4))
    t = trainer(1, method)
    with pytest.raises(SharpenError, match="while samples are drawn Pass is asked, which remembers things"):
        steps(t, 2)
    t.rest()
    plain = trainer(1, replace(GRPO, source=Pass(4)))
    told, _ = steps(plain, 2)
    assert told[1].cost["problems"] == 12  # those of the iteration that is being drawn, too
    plain.rest()


def test_an_engine_that_shares_the_weights_cannot_draw_ahead():
    t = Trainer(GRPO, Even(), nano_actor(), ahead=1)
    with pytest.raises(SharpenError, match="by an engine that shares the trainer's weights"):
        t.step()


def test_recipes_in_a_row_do_not_draw_ahead_of_each_other():
    short = override(GRPO, ("Loop.iterations=2",))
    t = trainer(2, Program("twice", (short, replace(short, name="again"))))
    engine = t.policy.engine
    told, weights = steps(t, 4)
    t.rest()
    assert [i.step for i in told] == [0, 1, 2, 3]
    assert [weights_equal(engine.syncs[k], weights[v]) for k, v in enumerate((0, 0, 2, 2))] == [True] * 4


def test_adapters_are_merged_for_the_engine():
    t = trainer(1, lora=2)
    engine = t.policy.engine
    told, _ = steps(t, 3)
    t.rest()
    assert set(engine.syncs[0]) == set(dict(nano_actor().module.named_parameters()))
    assert not weights_equal(engine.syncs[0], engine.syncs[2])
    assert math.isclose(told[0].metrics["engine/gap"], 0, abs_tol=1e-5)
