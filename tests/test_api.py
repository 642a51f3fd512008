"""The commands as functions: on a tiny model, with values that the command line gives too."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest

import sharpen
from sharpen.actor.nano import Nano, character_tokenizer, nano_model
from sharpen.cli.main import main
from sharpen.errors import SharpenError
from sharpen.recipe import Loop
from sharpen.recipes.policy import grpo

SHORT = {"eval_problems": 2, "eval_samples": 4, "max_tokens": 8, "device": "cpu"}
SET = ["Loop.iterations=2", "Loop.problems=2", "Sample.n=2"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    nano_model(Nano(width=16, layers=1, heads=2, context=128)).save_pretrained(folder)
    character_tokenizer().save_pretrained(folder)
    return folder


def metrics(path):
    return (path / "metrics.jsonl").read_bytes()


def test_train_measure_and_resume_are_those_of_the_command_line(model, tmp_path, capsys):
    run = sharpen.train("sft", model=model, out=tmp_path / "a", seed=3, set=SET[:2], **SHORT)
    words = ["train", "sft", "--model", str(model), "--out", str(tmp_path / "b"), "--seed", "3", "--json"]
    words += [w for s in SET[:2] for w in ("--set", s)]
    words += [w for k, v in SHORT.items() for w in (f"--{k.replace('_', '-')}", str(v))]
    assert main(words) == 0
    told = json.loads(capsys.readouterr().out)
    assert metrics(run.path) == metrics(tmp_path / "b")
    assert len(run.history) == 2
    assert {s: {w: e.to_plain() for w, e in t.items()} for s, t in run.evaluation.items()} == told["evaluation"]

    # a run's folder brings its own task and limits
    measured = sharpen.measure(run.path, k=[1, 4], problems=2, split=["test"])
    assert measured["test"] == run.evaluation["test"]["after"]
    assert main(["eval", str(run.path), "--k", "1,4", "--problems", "2", "--split", "test", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["evaluation"] == {"test": measured["test"].to_plain()}


def test_a_run_goes_on_by_function_and_by_command(model, tmp_path, capsys):
    whole = sharpen.train("sft", model=model, out=tmp_path / "whole", set=SET[:2], checkpoint_every=1, **SHORT)
    for name, go_on in {
        "function": lambda out: sharpen.train("sft", out=out, set=SET[:2], resume=True).path,
        "command": lambda out: main(["train", "--resume", "--out", str(out), "--json"]),
    }.items():
        out = tmp_path / name
        sharpen.train("sft", model=model, out=out, set=SET[:2], checkpoint_every=1, **SHORT)
        for left in ("policy", "report.html", "checkpoints/000002"):  # as if it had been killed in iteration 2
            subprocess.run(["rm", "-r", str(out / left)], check=True)
        go_on(out)
        assert metrics(out) == metrics(whole.path)
        assert (out / "policy" / "model.safetensors").read_bytes() == (
            whole.path / "policy" / "model.safetensors"
        ).read_bytes()
    with pytest.raises(SharpenError, match="was started with another recipe, or with other values"):
        sharpen.train("sft", out=tmp_path / "whole", set=["Loop.iterations=9"], resume=True)
    capsys.readouterr()


def test_a_recipe_given_as_an_object_is_resumed_from_its_values(model, tmp_path, capsys):
    sft = sharpen.find_recipe("sft")
    short = replace(sft, loop=Loop(iterations=2, problems=2), about="mine")
    run = sharpen.train(short, model=model, out=tmp_path / "a", **SHORT)
    assert json.loads((run.path / "manifest.json").read_text())["origin"] == {"recipe": None, "set": []}
    assert main(["train", "--resume", "--out", str(run.path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["recipe"] == "sft"
    assert len(metrics(run.path).splitlines()) == 2
    assert main(["train", "grpo", "--resume", "--out", str(run.path)]) == 2
    assert "was started with the recipe 'sft', not 'grpo'" in capsys.readouterr().err


def test_what_cannot_be_is_refused(tmp_path):
    with pytest.raises(SharpenError, match=r"sharpen\.train has no option 'eval_problem'. Did you mean eval_problems"):
        sharpen.train("grpo", eval_problem=3)
    with pytest.raises(SharpenError, match=r"sharpen\.measure has no option 'lra'. Did you mean lora"):
        sharpen.measure("nano", lra=3)
    with pytest.raises(SharpenError, match="`resume` needs `out`"):
        sharpen.train("grpo", resume=True)
    with pytest.raises(SharpenError, match=r"k=\[0\], problems=256, temperature=1.0 cannot be measured"):
        sharpen.measure("nano", k=[0])
    assert sharpen.find_recipe("grpo") is grpo


def test_importing_is_light_and_the_module_runs():
    code = "import sys, sharpen; print('torch' in sys.modules, sharpen.__version__, dir(sharpen))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False 0.1.0 ['__version__', 'compare', 'find_recipe', 'measure', 'train']\n"
    done = subprocess.run([sys.executable, "-m", "sharpen", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == "sharpen 0.1.0\n"
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = sharpen.trian
