"""Flow policies: steps by hand, draws that depend on their seed alone, marginals, what is kept, what is refused."""

import math
import random
from itertools import pairwise

import pytest
import torch
from torch import nn

from sharpen.actor.base import Request
from sharpen.actor.flow import FlowActor, load_flow
from sharpen.actor.load import ModelSetup
from sharpen.actor.velocity import FlowConfig, velocity_field
from sharpen.errors import SharpenError
from sharpen.evaluate import evaluate
from sharpen.latents import read, shown
from sharpen.loop import Trainer
from sharpen.loss.steps import StepPreference
from sharpen.maths.flow import noise_level, ode_step, sde_step, times
from sharpen.recipes import recipe
from sharpen.run.opening import open_policy
from sharpen.run.setup import Setup
from sharpen.search import Beam
from sharpen.task import Chain, Points, task
from sharpen.types import Batch, Problem, Sampling, Scored, Segment, Sets, Trace
from toy import weights_equal

PROBLEM = Problem("toy:1", "anything", "1", info={"condition": (1.0,)})


def actor(seed=0, shape=(2,), **config):
    """A small flow policy with a noise head that says something else for every latent."""
    config = FlowConfig(shape, 1, **{"width": 16, "layers": 1, "steps": 4, **config})
    field = velocity_field(config, seed)
    torch.nn.init.normal_(field.noise[-1].weight, generator=torch.Generator().manual_seed(seed))
    return FlowActor(field, config)


def guessing(*data):
    """A flow policy that takes everything for one datum, b, so that v = (x - b) / t; and learnt noise of one size."""
    made = actor(steps=2)
    with torch.no_grad():
        for p in made.module.parameters():
            p.zero_()
        made.module.clean[-1].bias.copy_(torch.tensor(data))
    return made


def context(made, seed=0):
    return (*made.prompt(PROBLEM), *made.start(random.Random(seed)))


def draw(made, seeds, method="sde", **sampling):
    return made.sample([Request(context(made, s), Sampling(method=method, **sampling), s, "policy@0") for s in seeds])


def chain(made, x, latents, method, temperature=1.0):
    """A batch of one trace from the noise `x` along `latents`."""
    noise = Segment(torch.tensor([x]), role="noise", text="")
    drawn = Segment(torch.tensor(latents), trainable=True, drawn=Sampling(temperature, method=method), role="assistant")
    return made.collate([Trace(PROBLEM, [*made.prompt(PROBLEM), noise, drawn])], torch.zeros(1, dtype=torch.long), ())


def scored(made, segments, seeds, wants=()):
    traces = [Trace(PROBLEM, [*context(made, s), drawn]) for s, drawn in zip(seeds, segments, strict=True)]
    return made.score(made.collate(traces, torch.zeros(len(traces), dtype=torch.long), ()), wants)


def normal(x, mean, std):
    return -(((x - mean) / std) ** 2) / 2 - math.log(std) - math.log(2 * math.pi) / 2


def entropy(std):
    return math.log(std) + (1 + math.log(2 * math.pi)) / 2


# ------------------------------------------------------------------ steps by hand


def test_one_step_of_the_sde_by_hand():
    """t = 0.8, h = 0.1, sigma = 0.5: sigma^2 / 2t = 0.15625, and x + 0.2 v = 1.2 + 0.2 * -0.5 = 1.1."""
    numbers = (torch.tensor([[x]], dtype=torch.float64) for x in (1.2, -0.5, 0.8, 0.1, 0.5))
    mean, std = sde_step(*numbers)
    assert mean.item() == pytest.approx(1.2 - 0.1 * (-0.5 + 0.15625 * 1.1))
    assert std.item() == pytest.approx(0.5 * math.sqrt(0.1))


def test_without_noise_the_sde_is_the_ode():
    gen = torch.Generator().manual_seed(0)
    x, v, t = (torch.randn(5, 3, generator=gen, dtype=torch.float64) for _ in range(3))
    h = torch.full((5, 3), 0.1, dtype=torch.float64)
    mean, std = sde_step(x, v, t.abs(), h, torch.zeros_like(x))
    assert torch.equal(mean, ode_step(x, v, h))
    assert torch.equal(std, torch.zeros_like(x))


def test_the_noise_level_is_kept_finite_at_the_start():
    t, h = times(4), torch.full((4,), 0.25, dtype=torch.float64)
    assert t.tolist() == [1, 0.75, 0.5, 0.25]
    want = [0.7 * math.sqrt(x) for x in (1 / 0.25, 3, 1, 1 / 3)]
    assert noise_level(t, h, 0.7).tolist() == pytest.approx(want)


def test_log_densities_of_the_sde_are_means_over_dimensions():
    """b = (1, -1), a = 0.7, two steps from (0.5, 0).

    Step 0: v = x - b = (-0.5, 1); sigma^2 = 0.49 / 0.5 = 0.98, so the drift is v + 0.49 x = (-0.255, 1).
    Step 1 from (1, 0): v = (x - b) / 0.5 = (0, 2); sigma^2 = 0.49, so it is v + 0.49 (x + v / 2) = (0.49, 2.49).
    """
    made = guessing(1.0, -1.0)
    out = made.score(chain(made, [0.5, 0.0], [[1.0, 0.0], [0.5, -1.0]], "sde"), ("entropy",))
    one, two = 0.7, 0.7 * math.sqrt(0.5)
    want = [
        (normal(1.0, 0.6275, one) + normal(0.0, -0.5, one)) / 2,
        (normal(0.5, 0.755, two) + normal(-1.0, -1.245, two)) / 2,
    ]
    assert out.logp.tolist() == pytest.approx(want, rel=1e-6)
    assert out.extra["entropy"].tolist() == pytest.approx([entropy(one), entropy(two)], rel=1e-6)


def test_log_densities_of_learnt_noise_are_sums_over_dimensions():
    """The same chain: means x - v / 2 = (0.75, -0.5) and (1, -1); a head of zeros has std sqrt(0.1 * 0.24)."""
    made = guessing(1.0, -1.0)
    out = made.score(chain(made, [0.5, 0.0], [[1.0, 0.0], [0.5, -1.0]], "learnt-noise"), ("entropy",))
    std = math.sqrt(0.1 * 0.24)
    want = [normal(1.0, 0.75, std) + normal(0.0, -0.5, std), normal(0.5, 1.0, std) + normal(-1.0, -1.0, std)]
    assert out.logp.tolist() == pytest.approx(want, rel=1e-5)
    assert out.extra["entropy"].tolist() == pytest.approx([2 * entropy(std)] * 2, rel=1e-6)


def test_temperature_multiplies_the_noise_and_its_correction():
    """At 2 the first step has sigma^2 = 4 * 0.98 and the drift v + 1.96 x = (0.48, 1)."""
    made = guessing(1.0, -1.0)
    got = made.score(chain(made, [0.5, 0.0], [[1.0, 0.0]] * 2, "sde", 2.0)).logp[0].item()
    assert got == pytest.approx((normal(1.0, 0.26, 1.4) + normal(0.0, -0.5, 1.4)) / 2, rel=1e-6)
    got = made.score(chain(made, [0.5, 0.0], [[1.0, 0.0]] * 2, "learnt-noise", 2.0)).logp[0].item()
    std = 2 * math.sqrt(0.1 * 0.24)
    assert got == pytest.approx(normal(1.0, 0.75, std) + normal(0.0, -0.5, std), rel=1e-6)


def test_learnt_noise_stays_within_its_bounds():
    made = actor()
    with torch.no_grad():
        for sign, bound in ((1e3, 0.24), (-1e3, 0.10)):
            made.module.noise[-1].bias.fill_(sign)
            _, std = made.module(torch.zeros(3, 2), torch.full((3,), 0.5), torch.ones(3, 1), noise=True)
            assert std.flatten().tolist() == pytest.approx([bound] * 6)


@pytest.mark.parametrize(("method", "reached"), [("sde", ["clean"]), ("learnt-noise", ["clean", "noise"])])
def test_only_learnt_noise_sends_gradient_to_its_head(method, reached):
    made = actor()
    scored(made, draw(made, range(3), method), range(3)).logp.sum().backward()
    found = {n.split(".")[0] for n, p in made.parameters() if p.grad is not None and bool(p.grad.abs().max() > 1e-6)}
    assert sorted(found) == reached


# ------------------------------------------------------------------ draws


@pytest.mark.parametrize("method", ["sde", "learnt-noise"])
def test_rollout_and_score_agree(method):
    made = actor(shape=(3, 4), steps=10)
    segments = draw(made, range(5), method)
    again = scored(made, segments, range(5), ("entropy",))
    assert (again.logp - torch.cat([s.logp for s in segments])).abs().max() < 1e-5
    assert (again.extra["entropy"] - torch.cat([s.cols["entropy"] for s in segments])).abs().max() < 1e-5
    for s in segments:
        assert torch.equal(s.cols["logp_old"], s.logp)
        assert s.atoms.shape == (10, 12)
        assert s.text == shown(s.atoms[-1], (3, 4)) == made.decode(s.atoms.tolist())


def test_a_draw_depends_on_its_seed_alone():
    made = actor()
    alone = [draw(made, [seed], method)[0] for seed, method in ((1, "sde"), (2, "learnt-noise"), (3, "sample"))]
    requests = [
        Request(context(made, seed), Sampling(method=method, max_tokens=steps), seed, "policy@0")
        for seed, method, steps in (
            (7, "sde", 9),
            (3, "sample", 0),
            (2, "learnt-noise", 0),
            (8, "sde", 0),
            (1, "sde", 4),
        )
    ]
    mixed = made.sample(requests)
    for one, other in zip(alone, (mixed[4], mixed[2], mixed[1]), strict=True):
        assert torch.equal(one.atoms, other.atoms)
        assert torch.equal(one.logp, other.logp)
    assert [len(s) for s in mixed] == [9, 4, 4, 4, 4]
    # `sample` is the SDE; another seed from the same noise is another draw
    assert torch.equal(draw(made, [3])[0].atoms, alone[2].atoms)
    start = context(made, 1)
    one, two = made.sample([Request(start, Sampling(method="sde"), seed, "policy@0") for seed in (1, 2)])
    assert torch.equal(one.atoms, alone[0].atoms)
    assert (one.atoms - two.atoms).abs().min() > 1e-3


def test_at_temperature_zero_a_chain_is_eulers():
    made = actor()
    start = context(made, 3)
    one, two = made.sample([Request(start, Sampling(0.0, method=m), s, "p@0") for s, m in enumerate(("sde", "sample"))])
    assert torch.equal(one.atoms, two.atoms)
    assert one.logp.tolist() == [0.0] * 4
    x = start[-1].atoms
    with torch.no_grad():
        for k, t in enumerate((1.0, 0.75, 0.5, 0.25)):
            x = x - 0.25 * made.module(x, torch.tensor([t]), torch.ones(1, 1))[0]
            assert one.atoms[k].tolist() == pytest.approx(x[0].tolist(), abs=1e-5)
    with pytest.raises(SharpenError, match="drawn at temperature 0 has no density"):
        scored(made, [one], [3])


# ------------------------------------------------------------------ marginals

MEAN, STD = 1.5, 0.5
"""Of normal data, for which all is known: x_t is normal with mean (1 - t) MEAN and variance as below."""


def variance(t):
    return (1 - t) ** 2 * STD**2 + t**2


class Normal(nn.Module):
    """The velocity of that flow: E[eps | x] - E[x_0 | x]."""

    def forward(self, x, t, condition, noise=False):
        t = t[:, None]
        return -MEAN + (t - (1 - t) * STD**2) / variance(t) * (x - (1 - t) * MEAN), None


def moments(steps, level, begin=0.8, end=0.0):
    """Mean and variance after so many steps from the exact marginal at `begin`; each step is linear in x."""
    h = torch.tensor([[(begin - end) / steps]], dtype=torch.float64)
    mean, var = (1 - begin) * MEAN, variance(begin)
    for k in range(steps):
        t = begin - k * h
        x = torch.tensor([[mean], [mean + 1]], dtype=torch.float64)
        v, _ = Normal()(x, t.expand(2, 1)[:, 0], x)
        after, std = sde_step(x, v, t.expand(2, 1), h, noise_level(t, h, level))
        mean, slope = after[0].item(), (after[1] - after[0]).item()
        var = slope**2 * var + std[0].item() ** 2
    return mean, var


@pytest.mark.parametrize("level", [0.0, 0.7, 1.5])
@pytest.mark.parametrize("end", [0.4, 0.0])
def test_the_sde_keeps_the_marginals_of_the_flow(level, end):
    """Whatever the noise; what is left is the error of finite steps, which halves with them."""
    errors = []
    for steps in (200, 400, 800):
        mean, var = moments(steps, level, end=end)
        errors.append((abs(mean - (1 - end) * MEAN), abs(var - variance(end))))
    assert max(errors[-1]) < 0.005
    for one, two in pairwise(errors):
        assert all(b < 0.6 * a + 1e-12 for a, b in zip(one, two, strict=True))


def test_chains_of_a_policy_end_where_the_data_are():
    """2000 chains of 200 steps: by a linear recursion, and by the data up to the steps' length."""
    made = FlowActor(Normal(), FlowConfig((1,), 1, steps=200))
    x = torch.stack([s.atoms[-1, 0] for s in draw(made, range(2000))]).double()
    assert float(x.mean()) == pytest.approx(MEAN, abs=4 * STD / math.sqrt(2000) + 0.02)
    assert float(x.std()) == pytest.approx(STD, abs=4 * STD / math.sqrt(4000) + 0.02)


# ------------------------------------------------------------------ D3PO


def pair(reference, members=((0, 1),), trace=(0, 0, 1, 1)):
    trace = torch.tensor(trace)
    traces = [Trace(PROBLEM, []) for _ in range(int(trace.max()) + 1)]
    cols = {"logp_ref": torch.tensor(reference)}
    return Batch(traces, cols, trace, trace, torch.zeros(len(traces), dtype=torch.long), {}, Sets(list(members)))


def slow(logp, reference, pairs, beta, eps):
    """The loss of each pair, step by step, in plain numbers of the probability ratios."""
    out = []
    for won, lost in pairs:
        terms = []
        for w, r in zip(won, lost, strict=True):
            ratios = [(logp[i] - reference[i]).exp().clip(1 - eps, 1 + eps) for i in (w, r)]
            terms.append((1 + (ratios[1] / ratios[0]) ** beta).log())
        out.append(torch.stack(terms).mean())
    return torch.stack(out)


@pytest.mark.parametrize(("beta", "eps"), [(0.1, 0.1), (3.0, 0.4)])
def test_step_preference_against_a_slow_version(beta, eps):
    """Two pairs of four chains, of two and of three steps; the second prefers the later chain."""
    gen = torch.Generator().manual_seed(1)
    trace, pairs = [0, 0, 1, 1, 2, 2, 2, 3, 3, 3], [([0, 1], [2, 3]), ([7, 8, 9], [4, 5, 6])]
    reference = torch.randn(10, generator=gen, dtype=torch.float64)
    near = reference + 0.2 * torch.randn(10, generator=gen, dtype=torch.float64)
    fast, other = near.clone().requires_grad_(), near.clone().requires_grad_()
    b = pair([0.0] * 10, [(0, 1), (3, 2)], trace)
    b.cols["logp_ref"] = reference
    values, want = StepPreference(beta, eps)(Scored(fast, {}), b), slow(other, reference, pairs, beta, eps)
    weights = torch.tensor([1.0, 2.0], dtype=torch.float64)
    (values * weights).sum().backward()
    (want * weights).sum().backward()
    assert values.tolist() == pytest.approx(want.tolist(), rel=1e-9)
    assert fast.grad.tolist() == pytest.approx(other.grad.tolist(), rel=1e-9, abs=1e-12)


def test_step_preference_at_the_reference_and_beyond_its_clip():
    """At the reference: log 2, and +- beta / 2 over two steps. Step 1 has left the clip on both sides."""
    reference = [-1.0, -2.0, 0.5, 0.0]
    logp = torch.tensor(reference).requires_grad_()
    loss = StepPreference()
    values = loss(Scored(logp, {}), pair(reference))
    values.sum().backward()
    assert values.tolist() == pytest.approx([math.log(2)])
    assert logp.grad.tolist() == pytest.approx([-0.025, -0.025, 0.025, 0.025])

    moved = torch.tensor([-1.0, -1.8, 0.5, -0.2]).requires_grad_()
    values = loss(Scored(moved, {}), pair(reference))
    values.sum().backward()
    z = 0.1 * math.log(1.1 / 0.9)
    assert values.tolist() == pytest.approx([(math.log(2) + math.log(1 + math.exp(-z))) / 2])
    assert moved.grad.tolist() == pytest.approx([-0.025, 0.0, 0.025, 0.0])
    watched = loss.watch(Scored(moved.detach(), {}), pair(reference))
    assert watched["clipped"].tolist() == [0, 1, 0, 1]
    assert watched["accuracy"].tolist() == [0, 1]


def test_only_the_side_that_left_the_clip_is_silent():
    """The preferred step is 20 percent likelier than under the reference, the other one 5 percent less likely."""
    logp = torch.tensor([math.log(1.2), math.log(0.95)]).requires_grad_()
    StepPreference()(Scored(logp, {}), pair([0.0, 0.0], trace=(0, 1))).sum().backward()
    z = 0.1 * math.log(1.1 / 0.95)
    assert logp.grad.tolist() == pytest.approx([0.0, 0.1 / (1 + math.exp(z))])


def test_step_preference_refuses_what_it_cannot_compare():
    for members, trace, told in (
        ([(0, 1, 2)], (0, 1, 2), "compares two chains at a time"),
        ([(0, 1)], (0, 0, 1), "'toy:1' have 2 and 1 denoising steps"),
    ):
        with pytest.raises(SharpenError, match=told):
            StepPreference()(Scored(torch.zeros(3), {}), pair([0.0] * 3, members, trace))
    for change, told in (({"beta": 0.0}, "beta"), ({"eps": 1.0}, "eps")):
        with pytest.raises(SharpenError, match=told):
            StepPreference(**change)


# ------------------------------------------------------------------ what is kept


def test_an_exported_policy_is_loaded_as_it_was(tmp_path):
    made = actor(shape=(2, 3), steps=5, level=0.4)
    made.export(tmp_path / "policy")
    back = load_flow(tmp_path / "policy")
    assert back.config == made.config
    assert weights_equal(back.weights(), made.weights())
    assert torch.equal(draw(back, [4])[0].atoms, draw(made, [4])[0].atoms)
    assert (back.max_tokens, back.rate) == (5, 1e-3)
    other = load_flow(tmp_path / "policy", ModelSetup(max_tokens=9, lr=0.5))
    assert (other.max_tokens, other.rate) == (9, 0.5)


def test_latents_as_text_and_back():
    assert shown(torch.tensor([0.424, -1.05]), (2,)) == "(0.42, -1.05)"
    assert read("(0.42, -1.05)", (2,)).tolist() == pytest.approx([0.42, -1.05])
    picture = torch.tensor([-9.0, -0.99, -0.7, 0.1, 0.99, math.nan])
    assert shown(picture, (2, 3)) == "..:\n+@."
    assert read("..:\n+@.", (2, 3)).tolist() == [-0.875, -0.875, -0.625, 0.125, 0.875, -0.875]
    for text in ("", "(0.42)", "(0.42, 1.0)", "0.42, -1.05", "(0.42, -1.05, 0.00)", "(nan, 0.00)"):
        assert read(text, (2,)) is None
    for text in ("..:", "..:\n+@", "..:\n+@.\n...", "..:\n+@x"):
        assert read(text, (2, 3)) is None


# ------------------------------------------------------------------ what is refused


def broken_file(tmp_path):
    actor().export(tmp_path / "policy")
    (tmp_path / "policy" / "model.safetensors").write_bytes(b"none")
    return load_flow(tmp_path / "policy")


def other_task(tmp_path):
    actor().export(tmp_path / "policy")
    return open_policy(Setup(task="chain", model=str(tmp_path / "policy")), Chain())


def language_model(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text('{"model_type": "qwen2"}')
    return open_policy(Setup(task="points", model=str(tmp_path / "model")), Points())


def whole():
    """A policy that draws points."""
    config = FlowConfig((2,), 8, width=8, layers=1)
    return FlowActor(velocity_field(config), config)


def with_setup(tmp_path, **setup):
    actor().export(tmp_path / "policy")
    return load_flow(tmp_path / "policy", ModelSetup(**setup))


@pytest.mark.parametrize(
    ("do", "told"),
    [
        (language_model, "could not be loaded as a flow policy"),
        (other_task, "is a flow policy, which draws latents, and task 'chain' is answered in text"),
        (broken_file, "The flow policy in"),
        (lambda p: with_setup(p, lora=4), "`--lora` means nothing to it"),
        (lambda p: with_setup(p, dtype="bfloat16"), "`--dtype` means nothing to it"),
        (lambda p: actor().say("hello"), "holds no conversation"),
        (lambda p: actor().given("(0.00, 0.00)"), "cannot imitate a text"),
        (lambda p: actor().prompt(Points().fixed("test", 1)[0]), "is conditioned on 1 numbers, and problem 'points:"),
        (lambda p: draw(actor(), [0], "beam"), "knows the methods sample, sde, learnt-noise"),
        (lambda p: draw(actor(), [0], top_p=0.9), "top-p, top-k and stop texts mean nothing there"),
        (lambda p: draw(actor(), [0], temperature=-1.0), "asked for temperature -1.0"),
        (lambda p: actor().sample([Request((), Sampling(), 0, "p@0")]), "this trace lacks one of them"),
        (lambda p: scored(actor(), draw(actor(), [0]), [0], ("value",)), "A flow policy cannot score value"),
        (lambda p: actor().load_weights(actor(width=8).weights()), "weights are not those of this flow policy"),
        (lambda p: FlowConfig((0,), 1), "describes no flow policy"),
        (lambda p: FlowConfig((2,), 1, low=0.3), "describes no flow policy"),
        (lambda p: Trainer(recipe("flow-grpo"), Chain(), actor()), "needs 'latent' of the task"),
        (lambda p: evaluate(whole(), Points(), "test", problems=1, program=Beam()), "Beam searches among texts"),
        (lambda p: Trainer(recipe("ppo"), Points(), actor()), "a value model is made of a language model"),
        (lambda p: Points().lesson(random.Random(0)), "asks for latents, so there are no lessons in words"),
        (lambda p: Points(test_share=1), "leaves the train or the test split empty"),
    ],
)
def test_what_is_refused(do, told, tmp_path):
    with pytest.raises(SharpenError) as caught:
        do(tmp_path)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


# ------------------------------------------------------------------ tasks


def rewards(one, problem, x):
    drawn = Segment(torch.stack([torch.zeros_like(x), x]), trainable=True, role="assistant", text=one.text(x))
    return one.verify(problem, Trace(problem, [drawn]))


def test_points():
    one = Points()
    east = next(p for p in one.everything() if p.key == "points:350")
    assert (east.answer, east.info["category"]) == ("0", 0)
    turns = [math.radians(350 * m) for m in (1, 2, 4, 8)]
    assert east.info["condition"] == pytest.approx([f(a) for a in turns for f in (math.cos, math.sin)])
    assert one.target(east).tolist() == [1.5, 0.0]
    for x, correct, near in (
        ((1.5, 0.0), 1, 1.0),
        ((1.5, 0.44), 1, 1 - 0.44 / 3),
        ((1.5, -0.46), 0, 1 - 0.46 / 3),
        ((-1.5, 0.0), 0, 0.0),
        ((9.0, 9.0), 0, 0.0),
    ):
        assert rewards(one, east, torch.tensor(x)) == pytest.approx({"correct": correct, "near": near}, abs=1e-6)
    assert [one.answer_of(t) for t in ("(1.50, 0.44)", "(0.00, 1.50)", "(0.00, 0.00)", "east")] == [
        "0",
        "2",
        None,
        None,
    ]


def test_digits():
    one = task("digits")
    p = next(p for p in one.everything() if p.key == "digits:3 in 75")
    assert p.info["condition"] == (0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0.0)
    target = one.target(p)
    assert one.answer_of(one.text(target)) == "3"
    assert rewards(one, p, target) == {"correct": 1.0, "likeness": 1.0}
    # one pixel of 64 turned from paper (-1) into ink (0.5): a difference of 1.5
    spoilt = target.clone()
    spoilt[0] = 0.5
    assert rewards(one, p, spoilt) == pytest.approx({"correct": 1.0, "likeness": 1 - 1.5 / 64 / 2})
    # another digit, and nothing at all: as far from the clean picture as the ink of the digit, 1.5 a pixel
    eight = one.target(next(q for q in one.everything() if q.key == "digits:8 in 75"))
    assert rewards(one, p, eight)["correct"] == 0
    blank = torch.full((64,), -1.0)
    ink = int((target > 0).sum())
    assert rewards(one, p, blank) == pytest.approx({"correct": 0.0, "likeness": 1 - 1.5 * ink / 64 / 2})
    # moved down by two rows it is as good
    moved = target.view(8, 8).roll(2, 0).flatten()
    assert rewards(one, p, moved) == {"correct": 1.0, "likeness": 1.0}
    # brightness beyond the edges counts as the edge
    assert rewards(one, p, torch.where(target < 0, -5.0, target)) == {"correct": 1.0, "likeness": 1.0}


def test_a_careless_source_shows_what_was_asked_for_at_its_rate():
    one = Points(sloppy=0.4)
    problems, x = one.examples(4000, torch.Generator().manual_seed(0))
    right = sum(one.answer(row) == p.answer for p, row in zip(problems, x, strict=True)) / 4000
    # of the others, one in eight is right by chance; 3 standard deviations away hardly any datum is
    assert right == pytest.approx(0.6 + 0.4 / 8, abs=0.035)
    clean, x = Points(sloppy=0.0).examples(200, torch.Generator().manual_seed(0))
    assert sum(one.answer(row) == p.answer for p, row in zip(clean, x, strict=True)) >= 190
