"""A run that somebody else made: its manifest alone has no code run, neither its own nor that of its model."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import pytest

import sharpen as library
from command import refused
from sharpen.errors import SharpenError

CODE = """from pathlib import Path
Path("ran").write_text("x")
from sharpen.recipes.policy import grpo as mine
from sharpen.task.files import Files as Mine
def score(text, problem):
    return 1.0
"""
"""What tells that it was run."""

COMMANDS = (("train", "--resume", "--out", "run"), ("train", "--from", "run", "--out", "again"), ("eval", "run"))


def manifest(change):
    path = Path("run/manifest.json")
    told = json.loads(path.read_text())
    change(told)
    path.write_text(json.dumps(told))


def fields(told):
    return told["setup"]["fields"]


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    return tmp_path_factory.mktemp("kept") / "run"


@pytest.fixture
def theirs(train, kept):
    """A finished run of an iteration, made once; its report is gone, so that there is something to go on with."""
    if not kept.exists():
        assert train("grpo", "--set", "Loop.iterations=1").status == 0
        Path("run/report.html").unlink()
        Path("run/evil.py").write_text(CODE)
        Path("run").rename(kept)
    shutil.copytree(kept, "run")


NAMED = {
    "recipe": lambda told: told["origin"].update(recipe="run/evil.py:mine"),
    "recipe, another spelling": lambda told: told["origin"].update(recipe="run/../run/evil.py:mine"),
    "task": lambda told: fields(told).update(task="run/evil.py:Mine"),
    "task, wrapped": lambda told: fields(told).update(task="confident:confident:run/evil.py:Mine"),
    "reward": lambda told: fields(told).update(reward="run/evil.py:score"),
    "reward, absolute": lambda told: fields(told).update(reward=f"{Path.cwd()}/run/evil.py:score"),
}


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("what", NAMED)
def test_a_file_in_the_folder_of_the_run_is_not_run(theirs, sharpen, what, words):
    if "recipe" in what and words[0] == "eval":  # measuring asks for no recipe: it is as with the one that was trained
        measure = (*words, "--problems", 2, "--k", 1, "--json")
        before = json.loads(sharpen(*measure).out)
        manifest(NAMED[what])
        after = sharpen(*measure)
        assert (after.status, json.loads(after.out)) == (0, before)
        assert before["evaluation"]["test"]["samples"] == 1
        assert not Path("ran").exists()
        return
    manifest(NAMED[what])
    refused(sharpen(*words), "evil.py, a file of Python in its own folder, which would be run", "read the file")
    assert not Path("ran").exists()
    assert not Path("again").exists()


def test_a_link_in_the_folder_is_a_file_in_it(theirs, sharpen):
    Path("run/evil.py").rename("elsewhere.py")
    Path("run/evil.py").symlink_to(Path("elsewhere.py").absolute())
    manifest(NAMED["reward"])
    refused(sharpen(*COMMANDS[0]), "a file of Python in its own folder")
    assert not Path("ran").exists()


def test_a_file_of_ones_own_stays_one_command(theirs, sharpen):
    """Beside the run, as it is where a user wrote it; and one that is named now, wherever it lies."""
    Path("run/evil.py").rename("mine.py")
    manifest(lambda told: told["origin"].update(recipe="mine.py:mine"))
    assert sharpen(*COMMANDS[0]).status == 0
    assert Path("ran").exists()
    Path("mine.py").rename("run/mine.py")
    manifest(NAMED["reward"])
    manifest(lambda told: told["origin"].update(recipe="grpo"))
    refused(sharpen("eval", "run", "--problems", 2, "--k", 1), "a file of Python in its own folder")
    assert sharpen("eval", "run", "--problems", 2, "--k", 1, "--reward", "run/mine.py:score").status == 0


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_code_of_a_model_is_trusted_by_who_is_here(theirs, sharpen, words):
    manifest(lambda told: fields(told)["model_setup"]["fields"].update(trust_remote_code=True))
    text = "was made with --trust-remote-code: code that comes with the model"
    refused(sharpen(*words), text, "give --trust-remote-code again if you trust the model.")
    assert not Path("again").exists()
    more = ("--problems", 2, "--k", 1) if words[0] == "eval" else ()
    done = sharpen(*words, *more, "--trust-remote-code")
    if "--resume" in words:  # its checkpoints are those of a run that did not say so
        refused(done, "it is of another run")
    else:
        assert done.status == 0


def test_the_same_from_python(theirs, sharpen):
    manifest(lambda told: fields(told)["model_setup"]["fields"].update(trust_remote_code=True))
    changes = ["Loop.iterations=1", "Loop.problems=2", "Sample.n=2"]
    for ask in (
        lambda **more: library.train("grpo", out="run", resume=True, set=changes, **more),
        lambda **more: library.train(out="again", from_run="run", **more),
        lambda **more: library.measure("run", problems=2, k=[1], **more),
    ):
        with pytest.raises(SharpenError, match=r"give --trust-remote-code again"):
            ask()
    assert library.train(out="again", from_run="run", trust_remote_code=True).path == Path("again")
    assert library.measure("run", problems=2, k=[1], trust_remote_code=True)["test"].samples == 1


def test_code_that_comes_with_a_model_is_not_run_unasked(theirs, sharpen, train):
    """The same of a model's folder: without the option it is refused, or read without its code."""
    config = Path("run/policy/config.json")
    told = json.loads(config.read_text()) | {
        "model_type": "theirs",
        "auto_map": {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"},
    }
    config.write_text(json.dumps(told))
    Path("run/policy/evil.py").write_text(CODE)
    refused(sharpen("eval", "run", "--problems", 2, "--k", 1), "could not be loaded")
    refused(train("grpo", "--model", "run/policy", "--out", "other"), "could not be loaded")
    assert not Path("ran").exists()


@pytest.mark.parametrize("name", ["pytorch_model.bin", "adapter_model.bin", "model.pt"])
def test_pickles_are_not_opened(theirs, sharpen, name):
    """A pickle that leaves a file behind, as the only weights of a model."""

    class Evil:
        def __reduce__(self):
            return (Path("ran").write_text, ("x",))

    Path("run/policy/model.safetensors").unlink()
    Path("run/policy", name).write_bytes(pickle.dumps(Evil()))
    if name.startswith("adapter"):
        Path("run/policy/adapter_config.json").write_text('{"peft_type": "LORA", "base_model_name_or_path": "."}')
    Path("ran").unlink(missing_ok=True)
    refused(sharpen("eval", "run", "--problems", 2, "--k", 1), "could not be loaded")
    assert not Path("ran").exists()


ACTS = "\x1b]0;yours\x07\x1b[2J\u202emoc"
SHOWN = "⟨U+001B⟩]0;yours⟨U+0007⟩⟨U+001B⟩[2J⟨U+202E⟩moc"


def test_words_of_a_manifest_do_not_act_on_the_terminal(theirs, sharpen):
    """In an error, in a warning, and in a message while the run goes on."""
    manifest(lambda told: told["content"].update({ACTS: "0"}))
    assert f"there is no {SHOWN} here" in refused(sharpen(*COMMANDS[1]), "cannot be made again")
    manifest(lambda told: (told["content"].pop(ACTS), told["versions"].update(torch=ACTS)))
    again = sharpen(*COMMANDS[1])
    assert f"sharpen: warning: the run was begun with torch {SHOWN}, here" in again.err
    going = sharpen(*COMMANDS[0])
    assert f"Warning: the run was begun with torch {SHOWN}, here" in going.out
    for said in (again, going):
        assert "\x1b" not in said.out + said.err


def test_words_of_a_checkpoint_do_not_act_on_the_terminal(theirs, sharpen):
    path = Path("run/checkpoints/000001/manifest.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": ACTS}))
    refused(sharpen(*COMMANDS[0]), f"it has format {ACTS!r} and this version")


def test_words_of_problems_do_not_act_on_the_terminal(sharpen):
    rows = [{"prompt": f"{ACTS}{k}", "answer": str(k), "solution": f"{ACTS}{k}"} for k in range(9)]
    Path("data.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    said = sharpen("check", "data.jsonl", "--problems", 5, "--reward", "reward.py:score")
    assert said.status == 1
    assert "\x1b" not in said.out + said.err
    assert "moc" in said.out
