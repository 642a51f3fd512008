"""`sharpen train --from RUN`: the bits are those of the run; whatever would make it another run is refused."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import sharpen as library
from command import refused
from sharpen.errors import SharpenError

TWO = (
    *("--set", "Loop.iterations=2", "--checkpoint-every", "1", "--seed", "3", "--measure-every", "1"),
    *("--eval-problems", "2", "--eval-samples", "2", "--measure-problems", "2", "--rollouts-every", "1"),
)

OWN = """from dataclasses import dataclass, replace
from sharpen.loss.policy import PPOClip
from sharpen.recipe import Term, Update
from sharpen.recipes.policy import grpo

@dataclass(frozen=True)
class Mine(PPOClip):
    bonus: float = 0.5

mine = replace(grpo, name="mine", updates=(Update((Term(Mine()), grpo.updates[0].terms[1])),))
"""

SAME = (
    *("metrics.jsonl", "curve.jsonl", "evaluation.json", "policy/model.safetensors"),
    *("checkpoints/000002/state.json", "checkpoints/000002/tensors.safetensors"),
)


def bits(run: str) -> dict[str, bytes]:
    return {name: (Path(run) / name).read_bytes() for name in SAME}


def lasting(run: str) -> dict[str, object]:
    told = json.loads((Path(run) / "manifest.json").read_bytes())
    return {k: v for k, v in told.items() if k != "created"}


def process(*words: str, threads: int = 1) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": str(threads)}
    command = [sys.executable, "-m", "sharpen", *words]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    ("recipe", "changes"), [("rloo", ()), ("grpo", ("--set", "Term.kl.weight=0.5")), ("mine.py:mine", ())]
)
def test_the_bits_are_those_of_the_run(train, sharpen, recipe, changes):
    """A plain recipe, one that was changed, and one of a file."""
    Path("mine.py").write_text(OWN)
    assert train(recipe, *TWO, *changes).status == 0
    said = sharpen("train", "--from", "run", "--out", "again")
    assert (said.status, said.err) == (0, "")
    assert bits("again") == bits("run")
    assert lasting("again") == lasting("run")
    # and what is made again is a run like any other, which can be made again and gone on with
    assert sharpen("train", "--from", "again", "--out", "third").status == 0
    shutil.rmtree("third/policy")
    shutil.rmtree("third/checkpoints/000002")
    assert sharpen("train", "--resume", "--out", "third").status == 0
    assert bits("third") == bits("run")


def test_by_the_real_command_line_and_with_other_workers_for_the_reward(train):
    """Another process, three processes that compute the reward instead of one, and checkpoints less often."""
    assert train("grpo", *TWO).status == 0
    more = ("--reward-workers", "3", "--reward-timeout", "20", "--checkpoint-every", "2")
    done = process("train", "--from", "run", "--out", "again", *more)
    assert (done.returncode, done.stderr) == (0, "")
    assert bits("again") == bits("run")
    setup = lasting("again")["setup"]["fields"]
    assert (setup["reward_workers"], setup["checkpoint_every"], setup["seed"]) == (3, 2, 3)


def test_from_python(train):
    assert train("grpo", *TWO).status == 0
    library.train(from_run="run", out="again", checkpoint_every=2)
    assert bits("again") == bits("run")
    for given, name in (
        ({"seed": 1}, "seed"),
        ({"recipe": "grpo"}, "recipe"),
        ({"task": "grid"}, "task"),
        ({"resume": True}, "resume"),
        ({"set": ["Sample.n=3"]}, "set"),
        ({"micro_tokens": 3}, "micro_tokens"),
    ):
        with pytest.raises(SharpenError, match=f"as it was, and '{name}' might make it another"):
            library.train(from_run="run", out="no", **given)
    with pytest.raises(SharpenError, match=r"^sharpen.train needs a recipe, like"):
        library.train(out="no")
    assert not Path("no").exists()


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("grpo",), "grpo"),
        (("--seed", "3"), "--seed"),
        (("--set", "Sample.n=3"), "--set"),
        (("--micro-tokens", "64"), "--micro-tokens"),
        (("--task", "chain"), "--task"),
        (("--resume",), "--resume"),
        (("--device", "cpu"), "--device"),
    ],
)
def test_what_might_make_it_another_run_is_refused(train, sharpen, words, what):
    assert train("grpo", *TWO, "--dry-run").status == 0
    refused(
        sharpen("train", "--from", "run", "--out", "again", *words),
        f"`--from run` makes that run again as it was, and {what} might make it another. Leave {what} out (what may be "
        "given: --out, --checkpoint-every, --reward-timeout, --reward-workers), or leave --from out",
    )
    assert not Path("again").exists()


def test_files_that_are_not_what_they_were(train, sharpen, tiny):
    """The recipe's, the task's, the reward's and the model's: whichever changed is named."""
    Path("mine.py").write_text(OWN)
    shutil.copytree(tiny, "model")
    assert train("mine.py:mine", *TWO, "--model", "model").status == 0
    content = lasting("run")["content"]
    assert sorted(content) == ["data.jsonl", "mine.py", "model", "reward.py"]
    for name, file in (("mine.py", ""), ("data.jsonl", ""), ("reward.py", ""), ("model", "config.json")):
        path = Path(name) / file
        was = path.read_bytes()
        path.write_bytes(was + b"\n")
        refused(
            sharpen("train", "--from", "run", "--out", "again"),
            f"The run in run cannot be made again: {name} is not what it was (their SHA-256 when it was made stand ",
        )
        path.write_bytes(was)
    Path("data.jsonl").rename("elsewhere.jsonl")
    refused(sharpen("train", "--from", "run", "--out", "again"), "there is no data.jsonl here", "in the same folder")
    assert not Path("again").exists()
    refused(sharpen("train", "--from", "gone"), "The run gone is not there.")


def test_other_versions_are_told(train, sharpen):
    assert train("grpo", *TWO).status == 0
    told = json.loads(Path("run/manifest.json").read_bytes())
    told["versions"]["torch"] = "2.0"
    told["threads"] = 64
    Path("run/manifest.json").write_text(json.dumps(told))
    said = sharpen("train", "--from", "run", "--out", "again", "--json")
    assert said.status == 0
    json.loads(said.out)
    line = r"sharpen: warning: the run was begun with torch 2.0, here "
    assert said.err.startswith(line)
    assert "; threads 64, here 1. Its numbers may differ in their last bits, and then in what is drawn." in said.err
    assert said.err.endswith(" `OMP_NUM_THREADS=64` gives as many threads.\n")
    assert said.err.count("\n") == 1
    assert bits("again") == bits("run")
    del told["content"]
    Path("run/manifest.json").write_text(json.dumps(told))
    said = sharpen("train", "--from", "run", "--dry-run")
    assert said.err.count("\n") == 2
    assert "the run's manifest does not say what files held" in said.err
    # one that goes on elsewhere is told the same
    shutil.rmtree("run/policy")
    assert " ".join(sharpen("train", "--resume", "--out", "run").out.split()).startswith(
        "Warning: the run was begun with torch 2.0, here "
    )


def test_a_built_in_recipe_that_has_changed_since_is_taken_as_it_was(train, sharpen, monkeypatch):
    """The manifest holds every value of it."""
    from dataclasses import replace

    from sharpen.recipes import policy

    assert train("rloo", *TWO).status == 0
    monkeypatch.setattr(policy, "rloo", replace(policy.rloo, loop=replace(policy.rloo.loop, reset="base")))
    said = sharpen("train", "--from", "run", "--out", "again")
    assert said.status == 0
    assert "warning: the recipe 'rloo' has changed since (" in said.err
    assert bits("again") == bits("run")
    assert lasting("again")["origin"] == {"recipe": None, "set": []}
    shutil.rmtree("again/policy")
    assert sharpen("train", "--resume", "--out", "again").status == 0


def test_a_usual_value_that_is_given_is_a_value_that_is_given(train, sharpen):
    """`--resume` with an option's usual value, where the run was started with another."""
    assert train("grpo", *TWO).status == 0
    shutil.rmtree("run/policy")
    refused(
        sharpen("train", "--resume", "--out", "run", "--seed", "0"),
        "The run in run was started with another --seed (3, now 0), and is resumed exactly as it was.",
    )
    refused(
        sharpen("train", "--resume", "--out", "run", "--task", "chain"), "started with another --task ('data.jsonl'"
    )
    assert sharpen("train", "--resume", "--out", "run", "--seed", "3", "--checkpoint-every", "25").status == 0
