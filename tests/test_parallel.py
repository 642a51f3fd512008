"""Two processes compute what one does: the same samples, losses and weights, from and to the same checkpoints."""

import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file

import together
from command import REWARD, SMALL
from sharpen.actor.base import Request
from sharpen.actor.scripted import ScriptedActor
from sharpen.budget import budget
from sharpen.cli.main import main
from sharpen.errors import Elsewhere, SharpenError
from sharpen.parallel.deal import deal, spans
from sharpen.parallel.group import Group, joined, placed
from sharpen.parallel.sharded import sharded
from sharpen.parallel.world import ALONE
from sharpen.run.directory import RunDir
from sharpen.run.onlooker import Onlooker
from sharpen.types import Problem, Sampling
from toy import nano_actor

pytestmark = pytest.mark.skipif(
    not (dist.is_available() and dist.is_gloo_available()), reason="this PyTorch has no torch.distributed with gloo"
)

TOLERANCE = 2e-6
"""Of metrics and gradients, relative and absolute: sums of float32 numbers of size 1 in another order."""
WEIGHTS = 2e-5
"""Of weights after some steps: AdamW makes steps of equal size of all gradients, those too that are nearly rounding."""

RUN = ("train", "grpo", "--model", "tiny", "--task", "data.jsonl", *SMALL, *together.STEPS)
BAD = """import os
def score(text, problem):
    if os.environ.get("RANK") == "1" and os.path.exists("bad/metrics.jsonl"):
        raise ValueError("no")
    return len(text) / 9
"""


TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def launch(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Processes on this machine that talk over its loopback."""
    here = Path(__file__).parent
    path = os.pathsep.join([str(here.parent / "src"), str(here)])
    env = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    return subprocess.run([sys.executable, *words], cwd=folder, env=env, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model, a task, and a run that one process began."""
    folder = tmp_path_factory.mktemp("together")
    nano_actor().export(folder / "tiny")
    rows = [{"prompt": f"{d}+1=", "answer": str(d + 1), "solution": str(d + 1)} for d in range(60)]
    (folder / "data.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    (folder / "reward.py").write_text(REWARD)
    (folder / "bad.py").write_text(BAD)
    was = Path.cwd()
    os.chdir(folder)
    try:
        assert main([*RUN, "--reward", "reward.py:score", "--out", "one"]) == 0
    finally:
        os.chdir(was)
    # what a run leaves that is killed after its second iteration
    shutil.copytree(folder / "one", folder / "half")
    shutil.rmtree(folder / "half" / "checkpoints" / "000004")
    shutil.rmtree(folder / "half" / "policy")
    evaluation = json.loads((folder / "half" / "evaluation.json").read_text())
    (folder / "half" / "evaluation.json").write_text(json.dumps(evaluation | {"done": ["before"]}))
    together.half("ppo", ALONE, folder / "kept" / "one")
    return folder


@pytest.fixture(scope="module")
def found(folder):
    """What two processes found: plain data, tensors, and what they printed."""
    said = launch(folder, str(Path(together.__file__)), "kept", *RUN, "--reward", "reward.py:score")
    assert said.returncode == 0, said.stderr
    return (
        json.loads((folder / "kept" / "found.json").read_text()),
        load_file(folder / "kept" / "found.safetensors"),
        said,
    )


def close(a: dict, b: dict, tolerance: float = TOLERANCE) -> None:
    """The same names, and numbers that differ by rounding."""
    assert a.keys() == b.keys()
    for name, x in a.items():
        torch.testing.assert_close(
            torch.as_tensor(b[name]),
            torch.as_tensor(x),
            rtol=tolerance,
            atol=tolerance,
            msg=lambda m, n=name: f"{n}: {m}",
        )


def under(tensors, *place):
    """The tensors whose names begin so, without that."""
    start = "/".join(place) + "/"
    return {k.removeprefix(start): x for k, x in tensors.items() if k.startswith(start)}


@pytest.mark.parametrize("name", [n for n in together.COURSES if n != "half"])
def test_courses(found, name):
    plain, tensors, _ = found
    told, weights = together.course(name, ALONE)
    theirs = plain["courses"][name]
    assert len(told) == len(theirs) == together.WHOLE
    for one, two in zip(told, theirs, strict=True):
        for part in ("cost", "tokens", "rewards", "texts"):
            assert two[part] == one[part]
        if two is theirs[0]:  # the policy is the reference still: which answer it likes better is rounding
            one["metrics"].pop("pair/accuracy", None)
            two["metrics"].pop("pair/accuracy", None)
        close(one["metrics"], two["metrics"])
    close(weights, under(tensors, "course", name), WEIGHTS)


def test_budgets_end_all_processes_at_once(found):
    """What counts tokens or steps ends where one process ends; seconds are those of the slowest."""
    one, two = found[0]["budgets"]
    assert one == two
    alone = together.budgets(ALONE)
    for text in ("400-tokens", "7-steps"):
        assert two[text] == alone[text]
        assert two[text][1][-2] < budget(text).amount <= two[text][1][-1]
    assert two["1s"][1] == sorted(two["1s"][1])
    assert all(after - before > 0.3 for before, after in itertools.pairwise([0, *two["1s"][1]]))


def test_half_precision(found):
    """Products are rounded as in one process, so log-probs are the same to the bit; gradients are summed otherwise."""
    (one, *_), _ = together.course("half", ALONE)
    two = found[0]["courses"]["half"][0]
    for part in ("cost", "tokens", "rewards", "texts"):
        assert two[part] == one[part]
    mine, theirs = one["metrics"], two["metrics"]
    exact = ["agreement/max", "agreement/mean", "entropy", "loss/kl", "solved"]
    assert {n: mine[n] for n in exact} == {n: theirs[n] for n in exact}
    assert mine["agreement/mean"] > 1e-4  # it is half precision
    assert theirs["grad_norm"] == pytest.approx(mine["grad_norm"], rel=4e-3)


@pytest.mark.parametrize("name", list(together.GRADIENTS))
def test_gradients_are_sums_over_processes(found, name):
    mine = together.gradient(name, ALONE)
    assert max(float(g.abs().max()) for g in mine.values()) > 1e-3
    close(mine, under(found[1], "gradient", name))


def test_checkpoints_load_at_another_size(found, folder):
    run = together.trainer("ppo", ALONE)
    while not run.done:
        run.step()
    whole = together.ended(run)
    assert sum("exp_avg" in k for k in whole) > 20
    close(whole, under(found[1], "rest"), WEIGHTS)  # 1 -> 2
    close(whole, together.rest("ppo", ALONE, folder / "kept" / "two"), WEIGHTS)  # 2 -> 1


def test_what_a_process_holds(found):
    """Its pieces, and the whole model (which the reference was copied from, and samples come from) until it trains."""
    total = sum(p.numel() for p in nano_actor(layers=2).module.parameters())
    held = found[0]["pieces"]
    for when, whole in (("begun", total), ("drawn", total), ("trained", 0)):
        assert [h[when] for h in held] == [[total // 2, whole]] * 2
    assert [h["moments"] for h in held] == [total, total]


def test_the_whole_copy_is_drawn_from_in_the_type_of_the_products_and_its_weights_stay_whole(found):
    plain = nano_actor(layers=2, dtype="bfloat16")
    requests = [Request(tuple(plain.prompt(Problem("p", "2?"))), Sampling(), i, "policy@0") for i in range(2)]
    drawn = [s.atoms.tolist() for s in plain.sample(requests)]
    narrow, wide = ["torch.bfloat16"], ["torch.float32"]
    expected = {"drawing": narrow, "drawn": drawn, "asked": wide, "same": True, "still": wide}
    assert found[0]["kinds"] == [expected, expected]


def test_exchange_by_value(found):
    zero, one = found[0]["exchange"]
    assert [zero["rank"], one["rank"]] == [[0, 2, True], [1, 2, False]]
    assert [zero["share"], one["share"]] == [[0, 1, 2], [3, 4]]
    assert [zero["asked"], one["asked"]] == [["0", "1", "2"], ["3", "4"]]
    for said in (zero, one):
        assert said["gather"] == [{"r": r, "x": 0.1 + r, "odd": float("inf")} for r in (0, 1)]
        assert said["rows"] == [[0, 1], [10, 11], [12, 13], [14, 15]]
        assert said["numbers"] == [0, 1]
        assert said["none"] == [0, 3]
        assert said["first"] == "mine"
        assert said["verify"] == [{"correct": i / 3, "short": float(i > 2)} for i in range(5)]
    assert found[0]["alike"].startswith(
        "The 2 processes of this run no longer compute the same thing (here): a task, an"
    )


def test_a_number_that_is_none_is_named_by_its_place_among_all(found):
    """In the second process, which draws the last two of five, the last is the second it draws and the fifth of all."""
    assert found[0]["lost"] == [{"told": ["7+1="], "item": 1}, {"told": ["7+2="], "item": 4}]
    assert together.lost(ALONE) == {"told": ["7+1="], "item": 1}


def test_whole_runs_of_the_command_line(found, folder):
    """`two` is of two processes, `half` of one and then two; the first process alone prints and writes."""
    out = found[2].stdout
    assert [out.count(x) for x in ("training with grpo\n", "4/4 100 %", "Run: two", "Run: half")] == [2, 2, 1, 1]
    metrics = {
        r: [json.loads(x) for x in (folder / r / "metrics.jsonl").read_text().splitlines()]
        for r in ("one", "two", "half")
    }
    state = {r: load_file(folder / r / "checkpoints" / "000004" / "tensors.safetensors") for r in metrics}
    model = {r: load_file(folder / r / "policy" / "model.safetensors") for r in metrics}
    for run in ("two", "half"):
        close(state["one"], state[run], WEIGHTS)
        close(model["one"], model[run], WEIGHTS)
        assert len(metrics[run]) == 4
        for a, b in zip(metrics["one"], metrics[run], strict=True):
            assert a["cost"] == b["cost"]
            close(a["metrics"], b["metrics"])
    assert sorted(p.name for p in (folder / "two").iterdir()) == sorted(p.name for p in (folder / "one").iterdir())


def test_an_error_of_one_process_is_told_once_and_ends_all(folder):
    start = time.monotonic()
    said = launch(folder, *TORCHRUN, "-m", "sharpen", *RUN, "--reward", "bad.py:score", "--out", "bad")
    assert time.monotonic() - start < 60
    assert said.returncode != 0
    (line,) = [x for x in said.stderr.splitlines() if x.startswith("sharpen: ")]
    assert 'failed, at line 4 (raise ValueError("no")): ValueError: no.' in line
    assert line.endswith("Go on from its beginning with `sharpen train --resume --out bad`.")
    assert said.stderr.count("Traceback") == 1  # that of torchrun
    assert (folder / "bad" / "log.txt").read_text().count("ValueError: no") == 1
    assert (folder / "bad" / "report.html").exists()


# ---------------------------------------------------------------------- one process is enough for these


def test_spans():
    assert spans(7, 3) == [range(0, 3), range(3, 5), range(5, 7)]
    assert spans(1, 3) == [range(0, 1), range(1, 1), range(1, 1)]
    assert spans(4, 1) == [range(0, 4)]


def test_deal():
    assert deal([5, 1, 4, 3, 3], 2) == [[0, 4], [1, 2, 3]]  # 5 | 4 | 4+3 | 5+3 | 7+1: 8 and 8
    assert deal([3, 1, 2], 1) == [[0, 1, 2]]
    assert deal([7], 3) == [[0], [], []]
    assert deal([], 2) == [[], []]


def test_a_process_alone():
    x = torch.arange(3.0)
    assert (ALONE.rank, ALONE.size, ALONE.main, list(ALONE.share(3))) == (0, 1, True, [0, 1, 2])
    assert ALONE.join(x) is x
    assert ALONE.kept(x) is x
    assert ALONE.like(x, x) is x
    actor = nano_actor()
    assert ALONE.spread(actor) is actor
    assert actor.undivided() is actor
    with joined() as world:
        assert world is ALONE


@pytest.mark.parametrize(("rank", "size"), [("2", "2"), ("-1", "2"), ("x", "2"), ("0", "")])
def test_nonsense_of_the_environment(monkeypatch, rank, size):
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", size)
    with pytest.raises(SharpenError, match=f"RANK={rank} and WORLD_SIZE={size} are no place among processes. Leave"):
        placed()


def test_processes_that_nobody_started_together(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    monkeypatch.delenv("MASTER_PORT", raising=False)
    with (
        pytest.raises(SharpenError, match="asks for several processes, and MASTER_ADDR and MASTER_PORT, where they"),
        joined(),
    ):
        pass


def test_other_commands_run_in_one_process(monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    said = []
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        assert main(["recipes"]) == 2
        said.append(capsys.readouterr().err)
    assert said == ["sharpen: `sharpen recipes` runs in one process. Start it without `torchrun`.\n", ""]


def test_what_cannot_be_spread():
    with pytest.raises(SharpenError, match="A ScriptedActor is trained in one process: only language models"):
        sharded(ScriptedActor(lambda problem, rng: ""), ALONE)


def test_an_onlooker_writes_nothing(tmp_path):
    run = RunDir.create(tmp_path / "run", {"name": "x"})
    before = set(tmp_path.rglob("*"))
    other = Onlooker.open(tmp_path / "run")
    asked = []
    with run.lock(), other.lock() as held:  # nor does it ask for the lock
        assert held is other
        other.append_metrics(0, {"x": 1.0}, {})
        other.append_timing(0, {"x": 1.0})
        other.append_rollouts(0, [])
        other.save(1, {"x": 1})
        other.rewind(0)
        other.put_policy(asked.append)  # all processes put a model together
        other.put_actor("value", asked.append)
        other.write_evaluation({})
        other.log("x")
        assert asked == [tmp_path / "run" / "policy", tmp_path / "run" / "actors" / "value"]
    assert set(tmp_path.rglob("*")) == before
    assert (run.writes, other.writes) == (True, False)
    assert other.manifest() == {"name": "x"}


class Store(dict):
    """What the processes' store does, in one."""

    def add(self, key, n):
        self[key] = self.get(key, 0) + n
        return self[key]

    set = dict.__setitem__

    def wait(self, keys, timeout):
        assert all(k in self for k in keys)

    def get(self, key, default=b""):
        found = dict.get(self, key, default)
        return found.encode() if isinstance(found, str) else found


def test_who_tells_of_an_error(monkeypatch):
    monkeypatch.setattr("signal.signal", lambda *_: None)
    store = Store(failed=0)
    first, second = Group(0, 2, store), Group(1, 2, store)
    with pytest.raises(ValueError, match=r"^mine$"), first.together(), first.together():
        raise ValueError("mine")
    with pytest.raises(Elsewhere, match=r"^mine$"), second.together(), second.together():
        raise RuntimeError("gloo: connection closed by peer")
    lonely = Group(0, 2, Store(failed=0))
    with (
        pytest.raises(SharpenError, match="Another process of this run ended without a word") as told,
        lonely.together(),
    ):
        raise RuntimeError("gloo: connection closed by peer")
    assert not isinstance(told.value, Elsewhere)
