"""NaN and infinity, injected where they can arise: what is said, and that no byte of weights or optimisers changed."""

import copy
import math
import random
from dataclasses import replace

import pytest
import torch

from rows.critic import ROWS as CRITIC
from rows.flow import ROWS as FLOW
from rows.players import ROWS as PLAYERS
from rows.policy import ROWS as POLICY
from rows.preference import ROWS as PREFERENCE
from rows.search import ROWS as SEARCH
from sharpen.core import Part
from sharpen.errors import SharpenError
from sharpen.loop import Trainer
from sharpen.loss.policy import NLL
from sharpen.numbers import KEPT, LARGEST, NotFinite, reach, unsound
from sharpen.recipe import AdamW, Term, Update, updates_of
from sharpen.rollout.edit import Annotate
from toy import Copy, nano_actor

ROWS = {r.name: r for rows in (CRITIC, FLOW, PLAYERS, POLICY, PREFERENCE, SEARCH) for r in rows}


def begun(name, **change):
    """A run of a small recipe, one iteration in, so that every optimiser has a state; nobody is brought up first."""
    row = ROWS[name]
    actor = row.bench.actor()
    method = row.recipe
    trainer = Trainer(method, row.bench.task(), actor)
    trainer.ctx.recipe = trainer.recipe = replace(trainer.recipe, **change) if change else trainer.recipe
    return trainer


def everything(trainer):
    """Every byte that a step could change: of the actors that are trained, and of the optimisers."""
    state = trainer.state()
    trained = {u.actor for u in updates_of(trainer.recipe)}
    weights = {n: w for n, w in state["weights"].items() if n in trained}
    return copy.deepcopy({"weights": weights, "learners": state["learners"]})


def same(a, b):
    """Equal to the bit, NaN included."""
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a.view(-1).view(torch.uint8), b.view(-1).view(torch.uint8))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return a == b


def refused(trainer, say):
    """The iteration is refused in these words, and nothing has changed; the words."""
    before = everything(trainer)
    with pytest.raises(SharpenError, match=say) as caught:
        trainer.step()
    after = everything(trainer)
    assert same(before, after)
    assert "\n" not in str(caught.value)
    return str(caught.value)


class Spoil(Part):
    """A part of one's own that leaves one bad number in the second group's first trace."""

    def __init__(self, put, at=1):
        self.put, self.at = put, at

    def __call__(self, groups, ctx):
        trace = groups[self.at].traces[0]
        self.put(groups[self.at], trace, next(s for s in trace.actions if len(s)))
        return groups


def spoiled(trainer, put, after=None, at=1):
    """The same run with a spoiling part at the end of its collecting stages, or after one of a kind."""
    stages = list(trainer.recipe.collect)
    where = len(stages) if after is None else 1 + [type(s).__name__ for s in stages].index(after)
    stages.insert(where, Spoil(put, at))
    trainer.recipe = replace(trainer.recipe, collect=tuple(stages))
    return trainer


KINDS = ("grpo", "ppo", "iterative-dpo", "rest-mcts", "flow-grpo", "tango")


def first(name):
    """A run at its beginning, with an optimiser state from a step made before."""
    trainer = begun(name)
    for learner in trainer.learners:
        for _, p in learner.actor.parameters():
            p.grad = torch.full_like(p, 1e-3)
        for group in learner.optimiser.param_groups:
            group["lr"] = 0.0  # the weights stay those of the reference
        learner.optimiser.step()
        learner.optimiser.zero_grad()
    return trainer


def column(group, trace, segment):
    segment.put("odd", torch.arange(len(segment), dtype=torch.float32))
    segment.cols["odd"][-1] = math.inf


def total(group, trace, segment):
    trace.reward = math.nan


def named_reward(group, trace, segment):
    trace.rewards["bonus"] = -math.inf


def turn(group, trace, segment):
    segment.reward = math.nan


def pairwise(group, trace, segment):
    group.cols["beats"] = torch.tensor([[0.0, math.nan], [0.0, 0.0]])


def drawn(group, trace, segment):
    segment.cols["logp_old"] = segment.cols["logp_old"].clone()
    segment.cols["logp_old"][0] = -math.inf


PUT = {
    column: r"Column 'odd' is inf after Spoil in iteration 0, first on problem {key} \(group 1, trace 0, segment",
    total: r"The total reward is nan after Spoil in iteration 0, first on problem {key} \(group 1, trace 0\)",
    named_reward: r"Reward 'bonus' is -inf after Spoil in iteration 0, first on problem {key} \(group 1, trace 0\)",
    turn: r"The reward of a turn is nan after Spoil in iteration 0, first on problem {key} \(group 1, trace 0, segment",
    pairwise: r"Column 'beats' of a group is nan after Spoil in iteration 0, first on problem {key} \(group 1\)",
    drawn: r"Column 'logp_old' is -inf after Spoil in iteration 0, first on problem {key} \(group 1, trace 0",
}


@pytest.mark.parametrize("name", KINDS)
def test_a_bad_number_of_a_stage_is_named_with_its_sample(name):
    for put, say in PUT.items():
        if put is drawn and name == "flow-grpo":
            continue
        refused(spoiled(first(name), put), say.format(key="'.*'"))


def test_an_unknown_log_prob_is_no_bad_number():
    def unknown(group, trace, segment):
        segment.cols["mismatch"] = torch.full((len(segment),), math.nan)

    trainer = spoiled(first("grpo"), unknown)
    trainer.step()
    assert trainer.ctx.step == 1


class Judged(Copy):
    """A task whose verifier divides by nothing."""

    def verify(self, problem, trace):
        return {"correct": math.nan, "short": 0.0}


def test_a_reward_that_is_none_is_refused_where_it_arises():
    trainer = first("grpo")
    trainer.ctx.task = Judged()
    refused(trainer, r"Reward 'correct' of problem 'copy:\d' is nan, not a finite number, in iteration 0; the text was")


def poisoned(actor, value=math.nan, name=None):
    """A weight of an actor's made a bad number; nobody says so."""
    named = dict(actor.module.named_parameters())
    with torch.no_grad():
        named[name or list(named)[-1]].view(-1)[0] = value
    actor.changed()


def test_weights_that_are_no_numbers_are_named_with_actor_iteration_and_problem():
    trainer = first("grpo")
    poisoned(trainer.policy, name="model.norm.weight")
    said = refused(trainer, "drew from logits that are not numbers")
    assert "It was actor 'policy' in iteration 0, on problem 'copy:" in said


def test_a_critic_that_has_diverged_is_named():
    trainer = first("ppo")
    poisoned(trainer.ctx.actors["value"], math.inf, "head.bias")
    refused(
        trainer, r"Column 'value' is inf after Annotate of actor 'value' in iteration 0, first on problem 'copy:\d'"
    )


def test_a_value_model_in_a_search_is_named_before_the_search_goes_on():
    trainer = first("alphamath")
    poisoned(trainer.ctx.actors["value"], math.nan, "head.bias")
    refused(trainer, r"The score that a model gives is nan: actor 'value' in iteration 0, on problem 'copy:\d', text '")


def test_a_reference_that_has_diverged_is_named():
    trainer = first("flow-grpo")
    ref = trainer.ctx.actors["ref"]
    poisoned(ref, name=next(n for n, _ in ref.module.named_parameters()))
    refused(trainer, r"Column 'logp_ref' is nan after Annotate of actor 'ref' in iteration 0, first on problem 'points")


def test_the_second_of_two_trained_actors_is_named():
    trainer = first("tango")
    while trainer.phase < 2:
        trainer._begin(trainer.phase + 1)
    poisoned(trainer.ctx.actors["verifier"], name="model.norm.weight")
    said = refused(trainer, "drew from logits that are not numbers")
    assert "It was actor 'verifier' in iteration 0, on problem '" in said


# ------------------------------------------------------------------ the update


class Odd(NLL):
    """A loss of one's own that is fine everywhere but on the problem 3, or whose gradient is."""

    def __init__(self, how):
        object.__setattr__(self, "how", how)

    def __call__(self, new, batch):
        x = -new.logp
        here = torch.tensor([t.problem.info["digit"] == 3 for t in batch.traces])[batch.trace]
        if self.how == "value":
            return torch.where(here, x * math.inf, x)
        if self.how == "root":  # 0 / sqrt(0): a finite value, and a gradient that is none
            return x + (torch.where(here, x - x.detach(), torch.ones(()))).abs().sqrt()
        return x * 3e37


def updating(how, name="grpo", **fields):
    """A run whose first update has a loss of one's own."""
    trainer = first(name)
    learner = trainer.learners[0]
    learner.update = replace(learner.update, terms=(Term(Odd(how), name="mine", **fields),), minibatch=0)
    return trainer


def test_a_loss_part_that_overflows_is_named_with_the_sample():
    said = refused(
        updating("value"), r"The term 'mine' \(Odd\) is not finite in iteration 0, in the loss of update 'policy'"
    )
    assert "first on problem 'copy:3'" in said
    assert KEPT in said


def test_a_gradient_that_is_none_is_traced_to_its_sample():
    said = refused(updating("root"), r"The gradient is not finite \(first in 'model\.\S+'\) in update 'policy'")
    assert "of actor 'policy' in iteration 0, first for problem 'copy:3'" in said
    assert KEPT in said


def test_a_gradient_that_overflows_in_bfloat16_is_refused():
    trainer = Trainer(ROWS["grpo"].recipe, Copy(), nano_actor(width=32, layers=2, max_tokens=3, dtype="bfloat16"))
    learner = trainer.learners[0]
    learner.update = replace(learner.update, terms=(Term(Odd("huge"), name="mine", mean_over="none"),))
    refused(
        trainer, r"(The gradient is not finite|The norm of the gradient is inf|The sum of the terms|The term 'mine')"
    )


@pytest.mark.parametrize(
    ("value", "say"),
    [(math.nan, r"The weights are not finite \(first 'idle'\)"), (1e30, "The norm of the weights is inf")],
)
def test_weights_no_forward_pass_has_read_are_seen_before_the_step(value, say, monkeypatch):
    trainer = first("ppo")
    critic = trainer.ctx.actors["value"]
    idle = torch.nn.Parameter(torch.full((3,), value))  # an expert that no token went to, say
    own = critic.parameters()
    monkeypatch.setattr(critic, "parameters", lambda: [*own, ("idle", idle)])
    before = everything(trainer)["weights"]["value"]
    with pytest.raises(NotFinite, match=say + " in update 'value' of actor 'value' in iteration 0"):
        trainer.step()
    assert same(before, everything(trainer)["weights"]["value"])


def test_the_log_prob_of_the_trainer_is_named(monkeypatch):
    trainer = first("grpo")
    score = trainer.policy.score

    def wrong(batch, wants=()):
        new = score(batch, wants)
        return replace(new, logp=torch.where(batch.trace == 1, math.nan, new.logp))

    monkeypatch.setattr(trainer.policy, "score", wrong)
    refused(
        trainer,
        r"The log-prob that actor 'policy' computes is nan in iteration 0, in the loss of update 'policy', first on "
        r"problem 'copy:",
    )


def test_a_bad_value_of_a_critic_in_its_own_update_is_named(monkeypatch):
    trainer = first("ppo")
    critic = trainer.ctx.actors["value"]
    score = critic.score

    def wrong(batch, wants=()):
        new = score(batch, wants)
        if torch.is_grad_enabled():
            new.extra["value"] = torch.where(batch.trace == 1, math.inf, new.extra["value"])
        return new

    monkeypatch.setattr(critic, "score", wrong)
    before = everything(trainer)["weights"]["value"]
    with pytest.raises(NotFinite, match=r"The value that actor 'value' computes is inf in iteration 0"):
        trainer.step()
    assert same(before, everything(trainer)["weights"]["value"])


# ------------------------------------------------------------------ why a step cannot spoil the weights


def test_no_step_of_adamw_passes_the_bound():
    """The largest steps there are: a gradient that grows, then one of the other sign; against torch's own AdamW."""
    rng = random.Random(0)
    for _ in range(50):
        spec = AdamW(
            beta1=rng.choice((0.0, 0.9, 0.99)),
            beta2=rng.choice((0.0, 0.5, 0.999)),
            eps=10 ** rng.uniform(-12, -2),
            weight_decay=rng.choice((0.0, 0.1)),
            clip=10 ** rng.uniform(-3, 6),
        )
        rate = 10 ** rng.uniform(-6, 2)
        w = torch.nn.Parameter(torch.randn(3))
        optimiser = torch.optim.AdamW(
            [w], lr=rate, betas=(spec.beta1, spec.beta2), eps=spec.eps, weight_decay=spec.weight_decay
        )
        for _ in range(8):
            bound = reach(float(w.detach().norm()), spec.clip, rate, spec)
            g = torch.randn(3) * 10 ** rng.uniform(-20, 3)
            w.grad = g * min(1.0, spec.clip / float(g.norm()))
            optimiser.step()
            assert float(w.detach().abs().max()) <= bound * (1 + 1e-5)


def test_what_forbids_a_step():
    w = torch.nn.Parameter(torch.tensor([1.0, math.inf]))
    w.grad = torch.tensor([1.0, 2.0])
    assert unsound([("w", w)], math.inf, 1.0, 1.0) == "The norm of the gradient is inf"
    assert unsound([("w", w)], 1.0, math.inf, 1.0) == "The weights are not finite (first 'w')"
    w.grad[0] = math.nan
    assert unsound([("w", w)], math.nan, 1.0, 1.0) == "The gradient is not finite (first in 'w')"
    assert (
        unsound([], 1.0, 1.0, 2 * LARGEST) == "The step could make weights as large as 7e+38, more than float32 holds"
    )
    assert unsound([], 1.0, 1.0, LARGEST) is None


def test_a_rate_that_could_overflow_the_weights_is_refused_before_the_step():
    trainer = first("grpo")
    learner = trainer.learners[0]
    learner.update = replace(learner.update, optimiser=replace(learner.update.optimiser, lr=1e35))
    refused(trainer, "The step could make weights as large as 1e\\+4\\d, more than float32 holds in update 'policy'")


def test_every_kind_of_recipe_has_an_update_that_is_watched():
    assert all(isinstance(u, Update) for name in KINDS for r in [begun(name).recipe] for u in updates_of(r))
    assert Annotate("ref").asks == ("ref",)
