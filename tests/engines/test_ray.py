"""The Ray engine on a real Ray: the draws of its workers, what their deaths change (nothing), and what it refuses."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
import torch

from command import REWARD, SMALL, refused
from hands import HOLD, Held, Other, Stubborn
from sharpen import api
from sharpen.actor.base import Request
from sharpen.actor.engine import cluster, nodes
from sharpen.actor.engine.base import Prompt
from sharpen.actor.engine.choose import engine_of, ready
from sharpen.actor.engine.copied import CopiedEngine
from sharpen.actor.engine.description import Arithmetic, describe
from sharpen.actor.engine.proof import fingerprints
from sharpen.actor.engine.worker import versions
from sharpen.cli.main import main
from sharpen.errors import SharpenError
from sharpen.parallel.deal import spans
from sharpen.run.manifest import describe as as_json
from sharpen.run.opening import _nano
from sharpen.run.setup import Setup, setup_from, setup_to_measure
from sharpen.run.watching import Silent
from sharpen.types import Problem, Sampling
from toy import nano_actor

ROOT = Path(__file__).parents[2]
REPORTS: list[str] = []
"""What Ray would have printed."""
needed = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed (sharpen[ray])")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A Ray for all tests here, and the folder that its workers look into."""
    from sharpen.actor.engine.nodes import Cluster

    folder = tmp_path_factory.mktemp("hold")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as many as a worker has
    os.environ[HOLD] = str(folder)
    here = Cluster(4, size=0, trainer=torch.device("cpu"), report=REPORTS.append)
    del os.environ[HOLD]
    yield folder
    assert len(marked(str(folder))) > 3
    here.close()
    torch.set_num_threads(threads)
    assert once(lambda: not marked(str(folder)))


@pytest.fixture(scope="module")
def engine(place, tmp_path_factory):
    """Two workers with copies of the nano model."""
    told = []
    made = cluster.RayEngine(actor(), tmp_path_factory.mktemp("run"), workers=2, told=told.append, worker=Held)
    made.heard = told
    yield made
    pids = [h.pid for h in made.hands]
    made.close()
    assert gone(pids)


def actor(shift=0.0):
    made = nano_actor(layers=2, max_tokens=8)
    if shift:
        made.load_weights({n: w + shift for n, w in made.weights().items()})
    return made


def prompts(n=9, **sampling):
    a = actor()
    texts = [a.prompt(Problem("p", t))[0].atoms.tolist() for t in ("ab", "3+4?", "abc")]
    return [Prompt(tuple(texts[3 * i // n]), Sampling(max_tokens=16, **sampling), 7 * 2**58 + i) for i in range(n)]


def seeds(*given):
    return [Prompt((1,), Sampling(max_tokens=1), s) for s in given]


def undisturbed(folder, asked, shift=0.0, workers=2):
    """What so many copies in this process draw, each its stretch."""
    made = actor(shift)
    describe(made, folder)
    copy = CopiedEngine(folder, Arithmetic.of(made))
    copy.sync(made.served())
    return [d for span in spans(len(asked), workers) for d in copy.generate([asked[i] for i in span])]


def same(drawn, others):
    assert len(drawn) == len(others)
    for a, b in zip(drawn, others, strict=True):
        assert a.end == b.end
        for column in ("tokens", "logp", "logp_full", "entropy"):
            assert torch.equal(getattr(a, column), getattr(b, column))


def gone(pids, seconds=10.0):
    """Whether processes end within that time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not any(alive(p) for p in pids):
            return True
        time.sleep(0.05)
    return False


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def once(condition, seconds=300.0):
    """What a condition gives, as soon as it gives something."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError("it did not happen")


def killed_while(place, what, pid, call):
    """The result of a call in which the process is killed as soon as it does `what`, which all workers wait in."""
    for old in place.glob("*-*"):
        old.unlink()
    hold = place / f"hold-{what}"
    hold.touch()

    def kill():
        once(lambda: (place / f"{what}-{pid}").exists())
        os.kill(pid, signal.SIGKILL)
        hold.unlink()

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        return call()
    finally:
        killer.join()
        hold.unlink(missing_ok=True)


@needed
def test_workers_draw_what_copies_draw_of_the_same_stretches(engine, tmp_path):
    with pytest.raises(SharpenError, match="asked to draw before it was sent any weights"):
        engine.generate(prompts())
    weights = actor().served()
    assert engine.sync(weights) == fingerprints(weights)
    for sampling in ({}, {"top_p": 0.7, "temperature": 1.2}, {"temperature": 0.0}, {"stop": ("a", "7")}):
        same(engine.generate(prompts(**sampling)), undisturbed(tmp_path, prompts(**sampling)))
    assert engine.generate([]) == []
    same(engine.generate(prompts(1)), undisturbed(tmp_path, prompts(1)))
    assert engine.replaced == 0


@needed
def test_an_actor_on_it_draws_what_it_draws_locally(engine):
    served, local = actor(), actor()
    # not closed with the actor: the engine is for all tests here
    served.engine, served.rescores = engine, True
    asked = [Request(tuple(served.prompt(Problem("p", "ab"))), Sampling(), s, "policy@0") for s in range(4)]
    for _ in range(2):
        for s, t in zip(served.sample(asked), local.sample(asked), strict=True):
            assert s.atoms.tolist() == t.atoms.tolist()
            torch.testing.assert_close(s.cols["logp_old"], t.cols["logp_old"], atol=1e-5, rtol=0)
            assert 0 <= float(s.cols["mismatch"].abs().max()) < 1e-5
        for a in (served, local):
            a.load_weights({n: w + 0.01 for n, w in a.weights().items()})


@needed
def test_a_worker_that_dies_changes_nothing(engine, place, tmp_path, capsys):
    """Killed while it draws, between two calls, and in a sync: the draws are those of an undisturbed engine."""
    engine.sync(actor().served())
    want = undisturbed(tmp_path, prompts())
    first, second = (h.pid for h in engine.hands)

    same(killed_while(place, "generate", first, lambda: engine.generate(prompts())), want)
    assert engine.replaced == 1
    assert engine.hands[0].pid not in (first, 0)
    assert engine.hands[1].pid == second  # the other one went on, and its work was kept
    assert len(list(place.glob(f"generate-{second}"))) == 1

    os.kill(second, signal.SIGKILL)
    assert gone([second])
    same(engine.generate(prompts()), want)
    assert engine.replaced == 2

    weights = actor(0.01).served()
    third = engine.hands[0].pid
    assert killed_while(place, "sync", third, lambda: engine.sync(weights)) == fingerprints(weights)
    assert engine.replaced == 3
    same(engine.generate(prompts()), undisturbed(tmp_path, prompts(), shift=0.01))

    log = engine.log.read_text()
    for name, pid in (("worker 0", first), ("worker 1", second), ("worker 0", third)):
        assert f" {name} (process {pid} on " in log
        assert [x for x in log.splitlines() if f"(process {pid} on" in x and "died: The actor is dead" in x]
    assert "2 workers on the Ray that this process has joined" in log
    assert [x for x in engine.heard if f"(process {first} on" in x and "died and is replaced" in x] == engine.heard
    assert len(engine.heard) == 1
    # Ray's own words are not among what a run prints
    once(lambda: any("A worker died or was killed" in x for x in REPORTS))
    assert tuple(capsys.readouterr()) == ("", "")


@needed
def test_a_worker_that_holds_something_else_is_told_to_the_caller(engine, place):
    engine.sync(actor().served())
    weights = actor(0.02).served()
    deaf = place / f"deaf-{engine.hands[1].pid}"
    deaf.touch()
    try:
        assert engine.sync(weights) == fingerprints(actor().served()) != fingerprints(weights)
    finally:
        deaf.unlink()
    with pytest.raises(SharpenError, match="does not hold the trainer's weights after a sync"):
        engine.generate(prompts())
    assert engine.sync(weights) == fingerprints(weights)


@needed
def test_what_a_worker_refuses_is_said_with_its_name(engine):
    engine.sync(actor().served())
    long = [Prompt((1,) * 64, Sampling(), 1)]
    with pytest.raises(SharpenError, match=r"Rollout worker 0 \(process \d+ on .*\) says: A prompt has 64 tokens"):
        engine.generate(long)


@needed
def test_work_that_kills_every_worker_stops_the_run_after_three(place, tmp_path):
    made = cluster.RayEngine(actor(), tmp_path, workers=2, worker=Stubborn)
    try:
        weights = actor().served()
        made.sync(weights)
        assert [int(d.tokens[0]) for d in made.generate(seeds(1, 2, 3, 4, 5))] == [1, 2, 3, 4, 5]
        pids = [h.pid for h in made.hands]
        with pytest.raises(SharpenError, match=r"worker 1 died 3 times over the same work, .*engine.log lists them"):
            made.generate(seeds(1, 2, 3, 13))
        assert made.replaced == 2
        pids += [int(x.split("process ")[1].split()[0]) for x in made.log.read_text().splitlines() if "begun" in x]
        assert len(set(pids)) == 4
        # the other one, and a new one in the place of the last, work on
        assert [int(d.tokens[0]) for d in made.generate(seeds(6, 7))] == [6, 7]
        with pytest.raises(SharpenError, match=r"Rollout worker 0 .* failed: ZeroDivisionError: fourteen. Nothing"):
            made.generate(seeds(14))
        pids += [h.pid for h in made.hands]
    finally:
        made.close()
    assert gone(set(pids))
    made.close()


@needed
def test_other_versions_and_no_room_are_refused(place, tmp_path, monkeypatch):
    with pytest.raises(SharpenError, match=r"has torch 0.4.1 where the trainer has .*: it may draw otherwise"):
        cluster.RayEngine(actor(), tmp_path, workers=1, worker=Other)
    with pytest.raises(SharpenError, match=r"no room for its workers: 99 of them take 1 CPU each, .* has 4"):
        engine_of("ray", actor(), tmp_path, workers=99)
    monkeypatch.setattr(cluster, "PATIENCE", -1.0)
    with pytest.raises(SharpenError, match=r"worker \d could not be started within -1 seconds"):
        cluster.RayEngine(actor(), tmp_path, workers=2, worker=Stubborn)


@needed
def test_gpus_are_one_a_worker_and_none_is_the_trainers(place, engine, monkeypatch):
    import ray

    def divided(wanted, total, free):
        monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 4.0, "GPU": total})
        monkeypatch.setattr(ray, "available_resources", lambda: {"CPU": 4.0, "GPU": free} if free else {"CPU": 4.0})
        return nodes.Cluster(wanted, size=0, trainer=torch.device("cpu"), report=print)

    made = divided(0, 4.0, 3.0)  # the fourth is that of the trainer's job
    assert (made.workers, made.device, made.options) == (3, "cuda", {"num_gpus": 1, "num_cpus": 0})
    assert divided(2, 4.0, 3.0).workers == 2
    for wanted, said in ((0, "at least 1 of them take 1 GPU each, .* has 1 of which 0 are free"), (2, "2 of them")):
        with pytest.raises(SharpenError, match=f"no room for its workers: {said}"):
            divided(wanted, 1.0, 0.0)
    made = divided(0, 0.0, 0.0)
    assert (made.workers, made.device, made.options) == (2, "cpu", {"num_gpus": 0, "num_cpus": 1})

    monkeypatch.setattr(engine, "_gpu", "GPU-1")
    told = {"versions": versions(), "gpu": "GPU-2", "node": "here"}
    engine._equal("worker 1", told)
    with pytest.raises(SharpenError, match=r"worker 1 was given the trainer's own GPU.* --entrypoint-num-gpus 1"):
        engine._equal("worker 1", told | {"gpu": "GPU-1"})


def test_the_gpus_of_a_machine_are_those_beside_the_trainers(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert nodes.others(torch.device("cpu")) is None
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert nodes.others(torch.device("cpu")) == ["0", "1", "2"]
    assert nodes.others(torch.device("cuda")) == ["1", "2"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7,2")
    assert nodes.others(torch.device("cuda:1")) == ["5", "2"]


@needed
def test_a_cluster_that_is_not_there_is_refused(place, tmp_path, monkeypatch):
    """In a process that has joined none."""
    code = (
        "import os, torch\nfrom sharpen.actor.engine.nodes import Cluster\nfrom sharpen.errors import SharpenError\n"
        "for where in ('nonsense', 'ray://here:10001'):\n    os.environ['RAY_ADDRESS'] = where\n"
        "    try:\n        Cluster(2, size=0, trainer=torch.device('cpu'), report=print)\n"
        "    except SharpenError as e:\n        print('said:', e)\n"
    )
    env = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], env=env, capture_output=True, text=True)
    wrong, client = done.stdout.splitlines()
    assert wrong.startswith("said: `--engine ray` found no Ray cluster: the Ray cluster at nonsense gave "), done
    assert client.startswith("said: `--engine ray` cannot draw through Ray's client (RAY_ADDRESS=ray://here:10001)")
    assert done.stderr == ""


# ---------------------------------------------------------------------- whole runs


WORDS = "train grpo --model tiny --task data.jsonl --reward reward.py:score --max-tokens 8 --eval-problems 2"
WORDS += " --eval-samples 2 --set Loop.problems=4 --set Sample.n=4 --set Loop.iterations=8 --checkpoint-every 1 --json"
WORDS += " --engine ray --workers 2"
OPTIONS = {
    "set": ["Loop.problems=4", "Sample.n=4", "Loop.iterations=8"],
    "reward": "reward.py:score",
    "max_tokens": 8,
    "eval_problems": 2,
    "eval_samples": 2,
    "checkpoint_every": 1,
    "engine": "ray",
    "workers": 2,
}
"""The same as a call."""


class Watching(Silent):
    """Keeps the messages."""

    def __init__(self):
        self.said = []

    def message(self, text):
        self.said.append(text)


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """An untrained model, data and a reward in the folder that commands run in."""
    monkeypatch.chdir(tmp_path)
    nano_actor(layers=2).export(Path("tiny"))
    rows = [{"prompt": f"{d}+1=", "answer": str(d + 1), "solution": str(d + 1)} for d in range(60)]
    Path("data.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    Path("reward.py").write_text(REWARD)
    return tmp_path


def marked(mark):
    """The processes whose environment holds a text."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return [p for p in found if alive(p)]


def words(pid):
    """How a process calls itself."""
    return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")


@needed
def test_a_run_whose_worker_is_killed_gives_what_it_gives_undisturbed(place, desk, capsys):
    assert main([*WORDS.split(), "--out", "calm"]) == 0
    calm = json.loads(capsys.readouterr().out)  # and nothing else
    whole = (desk / "calm" / "metrics.jsonl").read_bytes()
    assert whole.count(b"\n") == 8
    for line in whole.splitlines():
        told = json.loads(line)["metrics"]
        assert told["engine/gap"] < 1e-5
        assert told["grad_norm"] > 0

    watcher = Watching()
    hit = killed(desk / "hit", watcher=watcher, **OPTIONS)
    assert (desk / "hit" / "metrics.jsonl").read_bytes() == whole
    plain = {split: {when: e.to_plain() for when, e in times.items()} for split, times in hit.evaluation.items()}
    assert plain == calm["evaluation"]
    assert len(watcher.said) == 1
    assert "worker 1 (process " in watcher.said[0]
    assert capsys.readouterr().out == ""

    resumed(desk, whole, calm["evaluation"])


def killed(out, **options):
    """A run one of whose workers is killed when it has made an iteration."""

    def kill():
        metrics, log = out / "metrics.jsonl", out / "engine.log"
        once(lambda: metrics.exists() and metrics.read_bytes())
        os.kill(int(log.read_text().split("worker 1 (process ")[1].split()[0]), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    run = api.train("grpo", "data.jsonl", "tiny", out, **options)
    killer.join()
    assert (out / "engine.log").read_text().count(" died: ") == 1
    return run


@needed
def test_a_run_that_draws_ahead_gives_the_same_when_a_worker_is_killed(place, desk):
    for name, train in (("calm", api.train), ("hit", None)):
        options = OPTIONS | {"ahead": 1, "eval_problems": 0}
        run = killed(desk / name, **options) if train is None else train("grpo", "data.jsonl", "tiny", name, **options)
        gaps = [x["metrics"]["engine/gap"] for x in run.history]
        # the first two were drawn by the model the run began with
        assert gaps[0] < 1e-5
        assert all(g > 1e-4 for g in gaps[1:])
        assert all("waited" in json.loads(line) for line in (desk / name / "timing.jsonl").read_text().splitlines())
    assert (desk / "hit" / "metrics.jsonl").read_bytes() == (desk / "calm" / "metrics.jsonl").read_bytes()


def resumed(desk, whole, evaluation):
    """The same of a run whose trainer is killed, on a Ray of its own, and goes on on a cluster that has an address."""
    import ray

    mark = f"mark-{os.getpid()}-{time.time_ns()}"
    env = {n: v for n, v in os.environ.items() if n != "RAY_ADDRESS"}
    env |= {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1", "SHARPEN_TESTS_MARK": mark}
    command = [sys.executable, "-W", "error", "-m", "sharpen"]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    metrics, log = desk / "cut" / "metrics.jsonl", desk / "cut" / "engine.log"
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as short:  # a socket's path is a hundred letters
        mine = env | {"TMPDIR": short}
        with subprocess.Popen([*command, *WORDS.split(), "--out", "cut"], env=mine, **streams) as trainer:
            once(lambda: trainer.poll() is not None or (metrics.exists() and metrics.read_bytes().count(b"\n") >= 2))
            assert trainer.poll() is None, trainer.communicate()
            trainer.kill()
            trainer.communicate()
        assert once(lambda: not any(words(p).startswith("ray::Worker") for p in marked(mark)))
        # what is left are agents of Ray, which need a minute to see that its daemon has gone
        for pid in marked(mark):
            assert "Agent" in words(pid)
            os.kill(pid, signal.SIGKILL)
    assert "2 workers on a Ray of its own on this machine" in log.read_text()
    assert metrics.read_bytes() != whole

    address = ray.get_runtime_context().gcs_address
    again = [*command, "train", "--resume", "--out", "cut", "--json"]
    done = subprocess.run(again, env=env | {"RAY_ADDRESS": address}, **streams)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert json.loads(done.stdout)["evaluation"] == evaluation
    assert metrics.read_bytes() == whole
    assert f"2 workers on the Ray cluster at {address}" in log.read_text()
    assert gone([int(x.split("process ")[1].split()[0]) for x in log.read_text().splitlines() if "begun" in x])


# ---------------------------------------------------------------------- what needs no Ray


def test_it_is_a_part_of_the_setup(tmp_path):
    from sharpen.actor.load import ModelSetup

    assert setup_from(as_json(Setup(engine="ray", workers=3))).workers == 3
    plain = as_json(Setup(engine="vllm"))
    del plain["fields"]["workers"]  # of a run from before
    assert setup_from(plain) == Setup(engine="vllm")
    measured = setup_to_measure("m", ModelSetup(), "chain", {}, {}, "ray", 2)
    assert (measured.engine, measured.workers) == ("ray", 2)


def test_the_nano_model_is_the_usual_one():
    """Half as many heads are for vLLM, which has no kernel for the usual ones."""
    heads = {e: _nano(Setup(engine=e)).heads for e in ("local", "ray", "vllm", "vllm-server", "ray:vllm")}
    assert heads == {"local": 4, "ray": 4, "vllm": 2, "vllm-server": 2, "ray:vllm": 2}


def test_workers_without_a_cluster_are_refused(desk, capsys):
    from command import Said

    def said(*words):
        return Said(main([*words]), *capsys.readouterr())

    words = ("train", "grpo", "--model", "tiny", "--task", "chain", *SMALL)
    refused(said(*words, "--workers", "2"), "`--workers 2` are those of a cluster, and `--engine local` has none")
    refused(said(*words, "--engine", "vllm", "--workers", "2"), "and `--engine vllm` has none")
    refused(said(*words, "--engine", "ray", "--workers", "-1"), "`--workers -1` must be 0")
    refused(said("eval", "tiny", "--task", "chain", "--workers", "2"), "`--engine local` has none")
    refused(said(*words, "--engine", "rai"), "`--engine rai` is not known", "Did you mean ray")
    assert not Path("runs").exists()


def test_several_trainers_do_not_share_a_cluster(desk):
    from sharpen.parallel.world import World
    from sharpen.recipes import recipe
    from sharpen.run.session import train

    several = World()
    several.size = 2
    with pytest.raises(SharpenError, match="`--engine ray` serves one process, and this run has 2"):
        train(recipe("grpo"), Setup(engine="ray", model="tiny"), desk / "run", world=several)
    assert not (desk / "run").exists()


def test_without_ray_it_is_said_what_to_install(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "ray" else find(name, *a))
    for name in ("ray", "ray:vllm"):
        with pytest.raises(SharpenError, match=rf'`--engine {name}` needs Ray, .* `pip install "sharpen\[ray\]"`'):
            ready(name, actor())
