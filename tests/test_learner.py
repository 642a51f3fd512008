"""Denominators are over the optimiser step: however it is cut into micro-batches, the gradient is the same."""

from dataclasses import replace

import pytest
import torch

from sharpen.actor import text
from sharpen.batching import connected, pack
from sharpen.core import Part
from sharpen.ctx import Ctx
from sharpen.errors import SharpenError
from sharpen.learner import Learner
from sharpen.loop import Trainer
from sharpen.loss.policy import KL, NLL, PPOClip
from sharpen.recipe import AdamW, Recipe, Term, Update
from sharpen.recipes import recipe
from sharpen.reduction import count, numerator
from sharpen.rows import Pairs, Traces, best, worst
from sharpen.source.problems import Uniform
from sharpen.tally import Gap
from sharpen.types import Batch, Group, Problem, Sampling, Scored, Segment, Sets, Trace
from toy import Copy, nano_actor, weights_equal


def traces(actor, lengths, seed=0, credit=True):
    """Groups of two traces of given lengths with made-up credit and log-probs near the policy's own."""
    gen = torch.Generator().manual_seed(seed)
    out = []
    for k, n in enumerate(lengths):
        p = Problem(str(k // 2), "ab" + "c" * (k % 3))
        atoms = torch.randint(4, 90, (n,), generator=gen)
        s = Segment(atoms, True, drawn=Sampling(), by="policy@0", role="assistant", text="x" * n)
        t = Trace(p, [*actor.prompt(p), s])
        with torch.no_grad():
            s.put("logp_old", actor.score(actor.collate([t], torch.tensor([0]), ())).logp.float())
        s.cols["logp_old"] += 0.3 * torch.rand(n, generator=gen) - 0.15
        s.put("logp_ref", s.cols["logp_old"] - 0.1)
        s.put("adv", float(torch.randn((), generator=gen)) if credit else 0.0)
        s.put("late", (torch.arange(n) >= n // 2).float())
        s.put("scale", torch.rand(n, generator=gen))
        t.reward = float(k)
        out.append(t)
    return [Group(out[i].problem, out[i : i + 2]) for i in range(0, len(out), 2)]


class Drift(Part):
    """A pair loss: the difference of total log-probs, weighed by a number of the pair."""

    unit = "set"
    wants = ()
    silent_where = None

    def __call__(self, new: Scored, batch: Batch) -> torch.Tensor:
        total = torch.zeros(len(batch.traces), dtype=new.logp.dtype).index_add(0, batch.trace, new.logp)
        pairs = torch.tensor(batch.sets.members)
        return -torch.sigmoid(total[pairs[:, 0]] - total[pairs[:, 1]])


class Spread(Part):
    """A group loss: variance of the traces' log-probs inside each group."""

    unit = "group"
    wants = ()
    silent_where = None

    def __call__(self, new: Scored, batch: Batch) -> torch.Tensor:
        total = torch.zeros(len(batch.traces), dtype=new.logp.dtype).index_add(0, batch.trace, new.logp)
        ids = batch.group.unique(return_inverse=True)[1]
        n = torch.bincount(ids)
        mean = torch.zeros(len(n), dtype=total.dtype).index_add(0, ids, total) / n
        return torch.zeros(len(n), dtype=total.dtype).index_add(0, ids, (total - mean[ids]) ** 2) / n


def gradient(terms, groups, actor, micro_tokens, rows=None):
    ctx = Ctx(replace(recipe("grpo"), waive=("agreement",)), Copy(), {"policy": actor}, micro_tokens=micro_tokens)
    learner = Learner(Update(terms, rows or Traces(), optimiser=AdamW(lr=1e-30, clip=1e9)), "u", actor)
    learner.learn(groups, ctx)
    return {n: p.grad.clone() for n, p in actor.parameters()}, ctx.metrics.take()


PPO = Term(PPOClip(), mean_over="trace")
TERMS = {
    "trace mean": (PPO, Term(KL(), 0.1)),
    "token mean": (Term(PPOClip(), mean_over="atom"),),
    "horizon": (Term(PPOClip(), mean_over="horizon", horizon=9),),
    "two streams": (
        Term(PPOClip(), where="late", name="rl"),
        Term(NLL(), 0.5, mean_over="atom", where="late", name="sft"),
    ),
    "weights": (Term(NLL(), mean_over="atom", weight_by="scale"),),
    "groups": (Term(Spread()),),
    "trace ratio": (Term(PPOClip(3e-4, 4e-4, "trace", "mean")),),
}


@pytest.fixture
def whole_rows(monkeypatch):
    """Each row goes through the model with its prompt: norms are in float32, so sharing prompts rounds otherwise."""
    monkeypatch.setattr(text, "shared", lambda *rows: None)


@pytest.mark.parametrize("name", TERMS)
@pytest.mark.parametrize("credit", [True, False])
@pytest.mark.usefixtures("whole_rows")
def test_one_micro_batch_and_many_give_the_same_gradient(name, credit):
    actor = nano_actor()
    actor.module.double()
    groups = traces(actor, [3, 9, 5, 5, 1, 7, 4, 6], credit=credit)
    if not credit:  # two traces with credit among silent ones: these cost nothing and still count
        groups[1].traces[0].actions[0].put("adv", 1.0)
        groups[2].traces[1].actions[0].put("adv", -2.0)
    one, figures = gradient(TERMS[name], groups, actor, 10**6)
    for tokens in (1, 30):
        many, same = gradient(TERMS[name], groups, actor, tokens)
        for key in one:
            torch.testing.assert_close(many[key], one[key], rtol=1e-9, atol=1e-12)
        for key in figures:
            assert same[key] == pytest.approx(figures[key], rel=1e-6, abs=1e-9), key


@pytest.mark.usefixtures("whole_rows")
def test_pairs_are_never_split():
    actor = nano_actor()
    actor.module.double()
    groups = traces(actor, [3, 9, 5, 5, 1, 7, 4, 6])
    one, _ = gradient((Term(Drift()),), groups, actor, 10**6, Pairs(best, worst))
    many, _ = gradient((Term(Drift()),), groups, actor, 1, Pairs(best, worst))
    for key in one:
        torch.testing.assert_close(many[key], one[key], rtol=1e-9, atol=1e-12)


def test_the_gradient_is_that_of_the_formula_written_out():
    """Trace mean of the clipped objective plus 0.1 x k3, by a plain loop over traces and padded full log-probs."""
    actor = nano_actor()
    actor.module.double()
    groups = traces(actor, [3, 9, 5, 5])
    got, _ = gradient(TERMS["trace mean"], groups, actor, 10**6)
    actor.module.zero_grad()
    total = torch.zeros((), dtype=torch.float64)
    rows = [t for g in groups for t in g.traces]
    for t in rows:
        ids = torch.cat([s.atoms for s in t.segments])[None]
        logp = actor.module(input_ids=ids).logits.log_softmax(-1)[0, :-1].gather(-1, ids[0, 1:, None]).squeeze(-1)
        s = t.actions[0]
        logp = logp[-len(s) :]
        value = torch.zeros((), dtype=torch.float64)
        for i in range(len(s)):
            r, a = (logp[i] - s.cols["logp_old"][i]).exp(), s.cols["adv"][i]
            value = value - torch.min(r * a, r.clamp(0.8, 1.2) * a)
            d = s.cols["logp_ref"][i] - logp[i]
            value = value + 0.1 * (d.exp() - d - 1)
        total = total + value / len(s) / len(rows)
    total.backward()
    for name, p in actor.parameters():
        torch.testing.assert_close(got[name], p.grad, rtol=1e-6, atol=1e-9)


def test_silent_traces_cost_no_pass_and_stay_in_the_denominator():
    actor = nano_actor()
    groups = traces(actor, [4, 4, 4, 4], credit=False)
    groups[0].traces[0].actions[0].put("adv", 1.0)
    ctx = Ctx(replace(recipe("grpo"), waive=("agreement",)), Copy(), {"policy": actor})
    Learner(Update((PPO,), optimiser=AdamW(lr=1e-30)), "u", actor).learn(groups, ctx)
    assert ctx.cost.trained_tokens == 4
    alone, _ = gradient((PPO,), [Group(groups[0].problem, groups[0].traces[:1])], actor, 10**6)
    among, _ = gradient((PPO,), groups, actor, 10**6)
    for key in alone:
        torch.testing.assert_close(among[key] * 4, alone[key], rtol=1e-4, atol=1e-7)


def test_denominators_by_hand():
    seg = torch.tensor([0, 0, 1, 1, 1])
    cols = {"w": torch.tensor([1.0, 0, 0, 0, 1]), "f": torch.tensor([2.0, 2, 3, 3, 3])}
    batch = Batch([None, None, None], cols, seg, seg, torch.tensor([0, 0, 1]), {}, Sets([(0, 1)]))
    new = Scored(torch.tensor([-1.0, -2, -3, -4, -5]))
    assert count(Term(NLL(), mean_over="atom"), batch) == 5
    assert count(Term(NLL(), mean_over="atom", where="w"), batch) == 2
    assert count(Term(NLL()), batch) == 2
    assert count(Term(NLL(), mean_over="horizon", horizon=7), batch) == 14
    assert count(Term(NLL(), mean_over="horizon"), batch, longest=5) == 10
    assert count(Term(NLL(), mean_over="sum"), batch) == 1
    assert count(Term(Drift()), batch) == 1
    assert float(numerator(Term(NLL(), mean_over="atom"), new, batch)) == 15
    assert float(numerator(Term(NLL()), new, batch)) == 1.5 + 4
    assert float(numerator(Term(NLL(), where="w"), new, batch)) == 1 + 5
    assert float(numerator(Term(NLL(), mean_over="atom", weight_by="f"), new, batch)) == 6 + 36


def test_pack_and_connected():
    assert connected(6, [(0, 1), (1, 2), (4, 5)]) == [[0, 1, 2], [4, 5]]
    assert pack([[0], [1], [2], [3]], [10, 2, 3, 9], 20) == [[0, 3], [1, 2]]
    assert pack([[0, 1], [2]], [5, 5, 5], 1) == [[0, 1], [2]]
    # 2 x 200 atoms of padding are less than a pass costs (512), 3 x 200 are more
    assert pack([[i] for i in range(6)], [300, 100, 500, 300, 300, 300], 10_000) == [[0, 2, 3], [1, 4, 5]]
    assert pack([[i] for i in range(4)], [700, 100, 100, 100], 10_000) == [[0], [1, 2, 3]]
    assert pack([[0, 1], [2, 3]], [700, 500, 600, 400], 10_000) == [[0, 1, 2, 3]]


def test_stale_weights_stop_the_run_before_the_step():
    actor = nano_actor()
    trainer = Trainer(recipe("grpo"), Copy(), actor)
    drawn = actor.engine.generate

    def stale(prompts):
        with torch.no_grad():
            before = {n: p.clone() for n, p in actor.parameters()}
            for _, p in actor.parameters():
                p += 0.02 * torch.randn(p.shape, generator=torch.Generator().manual_seed(1))
            out = drawn(prompts)
            for n, p in actor.parameters():
                p.copy_(before[n])
        return out

    actor.engine.generate = stale
    kept = {n: w.clone() for n, w in actor.weights().items()}
    with pytest.raises(SharpenError, match=r"reference must be the policy itself"):
        trainer.step()
    trainer = Trainer(replace(recipe("grpo"), waive=("reference",)), Copy(), actor)
    with pytest.raises(SharpenError, match=r"Rollout and training disagree in iteration 0.*stale or partial"):
        trainer.step()
    assert weights_equal(kept, actor.weights())


def test_gap_looks_only_at_what_this_policy_drew_now():
    actor = nano_actor()
    groups = traces(actor, [3, 4])
    rows = [t for g in groups for t in g.traces]
    rows[0].actions[0].by = "policy@7"
    batch = actor.collate(rows, torch.tensor([0, 0]), ("logp_old",))
    gap = Gap()
    with torch.no_grad():
        gap.add(actor.score(batch), batch, "policy@7")
    assert gap.atoms == 3


def test_a_non_finite_loss_names_the_sample_and_keeps_the_weights():
    actor = nano_actor()
    groups = traces(actor, [3, 4, 5, 6])
    groups[1].traces[0].actions[0].cols["adv"][1] = float("inf")
    kept = {n: w.clone() for n, w in actor.weights().items()}
    with pytest.raises(
        SharpenError, match=r"Column 'adv' is inf in iteration 0, in the loss of update 'u', first on problem '1'"
    ):
        gradient((PPO,), groups, actor, 10**6)
    assert weights_equal(kept, actor.weights())


def test_no_gradient_is_expected_where_nothing_was_credited():
    """In the first iteration nothing may be solved, and the policy is still its reference."""
    actor = nano_actor()
    groups = traces(actor, [3, 4], credit=False)
    for g in groups:
        for t in g.traces:
            for s in t.actions:
                with torch.no_grad():
                    s.put("logp_ref", actor.score(actor.collate([t], torch.tensor([0]), ())).logp.float())
    gradients, figures = gradient((PPO, Term(KL(), 0.1)), groups, actor, 10**6)
    assert figures["grad_norm"] < 1e-6
    assert set(gradients) == {n for n, _ in actor.parameters()}


def test_no_gradient_is_noticed():
    class Cut(NLL):
        def __call__(self, new, batch):
            return new.logp.detach() + 0 * new.logp

    actor = nano_actor()
    with pytest.raises(SharpenError, match="No gradient reached the weights in update 'u'"):
        gradient((Term(Cut()),), traces(actor, [3, 4]), actor, 10**6)


def test_a_loss_at_rest_has_lost_no_gradient():
    """All answers of a group alike and in balance: a square at its optimum, 0 with a gradient of 0."""

    class Rest(NLL):
        def __call__(self, new, batch):
            return (new.logp - new.logp.detach()) ** 2

    actor = nano_actor()
    _, figures = gradient((Term(Rest()),), traces(actor, [3, 4]), actor, 10**6)
    assert figures["grad_norm"] == 0.0


def test_a_ratio_of_atoms_with_unknown_origin_is_refused():
    actor = nano_actor()
    groups = traces(actor, [3, 4])
    groups[0].traces[1].actions[0].moved = True
    with pytest.raises(SharpenError, match="behaviour log-prob is unknown"):
        gradient((PPO,), groups, actor, 10**6)
    groups[0].traces[1].actions[0].put("known", 0.0)
    groups[0].traces[0].actions[0].put("known", 1.0)
    gradient((Term(PPOClip(), where="known"),), groups, actor, 10**6)


def test_expert_iteration_may_restart_from_the_base():
    actor = nano_actor()
    base = {n: w.clone() for n, w in actor.weights().items()}
    r = recipe("sft")
    steady = replace(r, loop=replace(r.loop, problems=4, iterations=2, reset="base"))
    trainer = Trainer(steady, Copy(), actor)
    trainer.step()
    moved = {n: w.clone() for n, w in actor.weights().items()}
    assert not weights_equal(base, moved)
    actor.load_weights({n: w + 1 for n, w in moved.items()})
    trainer.ctx.rng.seed(0)
    trainer.ctx.rng.setstate(Ctx(steady, Copy(), {"policy": actor}).rng.getstate())
    trainer.ctx.step = 0
    trainer.step()
    assert weights_equal(moved, actor.weights())


def test_warmup_rises_to_the_rate():
    learner = Learner(Update((PPO,), optimiser=AdamW(lr=0.4, scale=2.0, warmup=3)), "u", nano_actor())
    rates = []
    for learner.steps in range(5):
        rates.append(learner.rate())
    assert rates == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8])


def test_recipe_without_updates_is_allowed():
    r = Recipe("look", Uniform(), (), ())
    trainer = Trainer(r, Copy(), nano_actor())
    assert trainer.step().cost["updates"] == 0
