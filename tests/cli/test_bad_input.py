"""Whatever a user gets wrong: one paragraph that says what, where and what to do, status 2, and no run spoiled."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from command import Said, refused
from sharpen.run import files
from sharpen.run.directory import RunDir

FOUR = ("--set", "Loop.iterations=4", "--checkpoint-every", "2")
ONE = ("--set", "Loop.iterations=1")


def untouched() -> bool:
    """Whether no run was begun."""
    return not Path("run").exists()


# ---------------------------------------------------------------- names and values


@pytest.mark.parametrize(
    ("words", "texts"),
    [
        (["trian", "grpo"], ["There is no command 'trian'. Did you mean train?"]),
        ([], ["The following arguments are required: COMMAND", "`sharpen --help` lists what there is."]),
        (["train"], ["`sharpen train` needs a recipe, like `sharpen train grpo`. `sharpen recipes` lists them."]),
        (["train", "grpp"], ["There is no recipe 'grpp'. Did you mean grpo or"]),
        (["train", "grpo", "--sed", "1"], ["`sharpen train` has no option --sed. Did you mean --seed"]),
        (["train", "grpo", "sft"], ["`sharpen train` was given 'sft', which is one word too many."]),
        (["train", "grpo", "--seed", "x"], ["Argument --seed: invalid int value: 'x'. `sharpen train --help` lists"]),
        (["train", "grpo", "--seed", "-1"], ["`--seed -1` must be 0 or more, and below 2^63."]),
        (["train", "grpo", "--lr", "nan"], ["`--lr nan` must be a finite number above 0"]),
        (["train", "grpo", "--lr", "0"], ["`--lr 0.0` must be a finite number above 0"]),
        (["train", "grpo", "--lora", "-1"], ["`--lora -1` must be 0 or more."]),
        (["train", "grpo", "--eval-samples", "0"], ["`--eval-samples 0` must be 1 or more."]),
        (["train", "grpo", "--checkpoint-every", "0"], ["`--checkpoint-every 0` must be 1 or more."]),
        (["train", "grpo", "--reward-timeout", "0"], ["`--reward-timeout 0.0` must be a number of seconds above 0."]),
        (["train", "grpo", "--task", "chian"], ["There is no task 'chian'. Did you mean chain?"]),
        (["train", "grpo", "--task-set", "low"], ["`--task-set low` is not of the form FIELD=VALUE"]),
        (["train", "grpo", "--task-set", "lo=3"], ["Task chain has no option 'lo'. Did you mean low"]),
        (["train", "grpo", "--task-set", "low=many"], ["Task chain: low: 'many' is not a whole number."]),
        (["train", "grpo", "--tracker", "wandbb"], ["There is no tracker 'wandbb'. Did you mean wandb?"]),
        (["train", "grpo", "--device", "gpu"], ["There is no kind of device 'gpu'. Use `--device cpu`"]),
        (["train", "grpo", "--resume"], ["`--resume` needs `--out DIR`, the directory of the run to go on with."]),
        (["train", "--resume", "--out", "gone"], ["The run gone is not there. Give the folder that a training was"]),
        (["train", "mine.py"], ["There is no file mine.py to take a recipe from. Write FILE.py:NAME."]),
    ],
)
def test_mistyped_words(sharpen, tiny, words, texts):
    more = ["--model", tiny, "--out", "run"] if words[:2] == ["train", "grpo"] and "--resume" not in words else []
    refused(sharpen(*words, *more), *texts)
    assert untouched()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ("Sampel.n=3", "`--set Sampel.n=3`: the recipe has no part 'Sampel'. Did you mean Sample?"),
        ("Sample.m=3", "`--set Sample.m=3`: Sample has no field 'm'. Known: actor, max_tokens, method, n, program"),
        ("n=3", "is not of the form PART.FIELD=VALUE, like `--set Sample.n=32`. Did you mean Sample.n?"),
        ("Sample.n", "`--set Sample.n` is not of the form PART.FIELD=VALUE"),
        ("Sample.n=many", "`--set Sample.n=many`: 'many' is not a whole number."),
        ("Sample.n=0", "Sample: n is 0, and must be 1 or more"),
        ("Sample.temperature=nan", "Sample: temperature is nan, and must be 0 (greedy) or more, and finite."),
        ("Term.weight=0", "there are 2 parts of that kind. Name one: Term.0 is Term(PPOClip), Term.1 is Term(KL, "),
        ("Term.kl.weight=nan", "Term: weight is nan, and must be a finite number."),
        ("Term.kl.mean_over=trase", "'trase' is not one of atom, trace, horizon, sum. Did you mean trace?"),
        ("Loop.iterations=0", "Loop: iterations is 0, and must be 1 or more. Give another value (`--set Loop.iter"),
        ("Loop.iterations=-3", "Loop: iterations is -3, and must be 1 or more."),
        ("Loop.problems=0", "Loop: problems is 0, and must be 1 or more."),
        ("Update.minibatch=-1", "Update: minibatch is -1, and must be 0 (all rows at once) or more."),
        ("Update.epochs=0", "Update: epochs is 0, and must be 1 or more."),
        ("AdamW.lr=0", "AdamW: lr is 0.0, and must be a finite number above 0, or none for the model's own."),
        ("AdamW.lr=-1e-6", "AdamW: lr is -1e-06, and must be a finite number above 0"),
        ("AdamW.lr=nan", "AdamW: lr is nan, and must be a finite number above 0"),
        ("AdamW.scale=inf", "AdamW: scale is inf, and must be a finite number above 0."),
        ("AdamW.beta1=1", "AdamW: beta1 is 1.0, and must be at least 0 and below 1."),
        ("AdamW.clip=nan", "AdamW: clip is nan, and must be above 0 (inf does not clip)."),
        ("PPOClip.low=-0.5", "PPOClip: low is -0.5, and must be 0 or more."),
        ("Total.weights=correct", "'correct' is not a list of pairs. Write them like `correct:1,format:0.1`."),
        ("Total.weights=beauty:1", "Total weighs the reward 'beauty', and task 'data.jsonl' computes correct, unjudg"),
        ("Update.actor=critic", "an update trains the actor 'critic'; its actors are policy, ref."),
        ("Annotate.actor=rf", "Recipe 'grpo': Annotate asks the actor 'rf'. Did you mean ref?"),
        ("Uniform.split=tests", "Uniform draws from the split 'tests' of task 'data.jsonl'. Did you mean test?"),
        ("Sample.program=mine", "a Callable cannot be given as text. Make a recipe of your own"),
    ],
)
def test_changes_of_a_recipe(train, change, text):
    refused(train("grpo", "--set", change, own=False), text)
    assert untouched()


# ---------------------------------------------------------------- data


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("", "The file data.jsonl has no rows. Put at least two problems in it, or give another file."),
        ('{"prompt": "1", "answer": "2"}\n{"prompt": 3,\n', "data.jsonl line 2 is not JSON: "),
        ('{"prompt": "1", "answer": "2"}\n\n[1]\n', "data.jsonl line 3 is a list, not an object."),
        ('{"prompt": "1", "reply": "2"}\n', "has no column for the answer: it has prompt, reply, and none of answer,"),
        ('{"prompt": "1", "answer": "2"}\n{"prompt": "2"}\n', "data.jsonl line 2 has no 'answer'; it has prompt."),
        ('{"prompt": "1", "answer": "2"}\n', "has no problem in its split 'test'. Give it more rows."),
        ('{"prompt": "é", "answer": "2"}\n{"prompt": "2", "answer": "1"}\n', "does not give back the text of problem"),
    ],
)
def test_bad_data(train, data, text):
    Path("data.jsonl").write_text(data)
    refused(train("grpo", own=False), text)
    assert untouched()


def test_a_task_file_that_is_not_there(train):
    refused(train("grpo", "--task", "gone.jsonl", own=False), "There is no file 'gone.jsonl'.")
    assert untouched()


def test_an_option_of_a_data_file(train):
    refused(
        train("grpo", "--task-set", "match=maths", own=False),
        "Task data.jsonl: match: 'maths' is not one of auto, exact, number, math, choice. Did you mean math?",
    )


# ---------------------------------------------------------------- rewards


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("def other(text, problem): return 1", "'score' of reward.py could not be loaded: "),
        ("def score(text, problem): return 1 +", "could not be loaded, at line 1"),
        ("def score(text, problem):\n    return 1 / 0", "failed, at line 2 (return 1 / 0): ZeroDivisionError"),
        ("def score(text, problem): return float('nan')", "failed: returned nan, and a reward must be finite."),
        ("def score(text, problem): return 'good'", "failed: returned a str ('good'), not a number"),
        ("def score(texts, problems): return [1.0, 2.0, 3.0]", "failed: returned 3 rewards for 1 texts."),
        ("import time\ndef score(text, problem): time.sleep(60)", "did not return within 0.3 s, at line 2"),
        ("import os\ndef score(text, problem): os._exit(3)", "ended the process it ran in"),
    ],
)
def test_bad_rewards_stop_before_a_run_begins(train, code, text):
    Path("reward.py").write_text(code)
    refused(train("grpo", "--reward-timeout", "0.3"), text)
    assert untouched()


def test_a_reward_that_fails_in_the_middle(train, sharpen):
    good = Path("reward.py").read_text()
    Path("reward.py").write_text(good.replace("return", "return 1 / 0 if len(text) == 4 else"))
    said = train("grpo", *FOUR)
    text = refused(said, "ZeroDivisionError", "The problem was 'data.jsonl/", "Go on from its beginning with `sharpen")
    assert text in Path("run/log.txt").read_text() or "ZeroDivisionError" in Path("run/log.txt").read_text()
    assert Path("run/report.html").exists()
    Path("reward.py").write_text(good)
    assert sharpen("train", "--resume", "--out", "run").status == 0
    assert len(Path("run/metrics.jsonl").read_text().splitlines()) == 4


def test_rewards_that_are_not_there(train):
    refused(train("grpo", "--reward", "reward.py"), "The reward 'reward.py' does not name a function.")
    refused(train("grpo", "--reward", "gone.py:score"), "There is no file 'gone.py', which the reward")
    assert untouched()


# ---------------------------------------------------------------- models


def test_a_prompt_longer_than_the_context(train):
    rows = [{"prompt": "1+1=" * (20 if k else 1) + str(k), "answer": "2"} for k in range(9)]
    Path("data.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    refused(
        train("grpo", *ONE, own=False),
        "The prompt of problem 'data.jsonl/",
        "has 83 tokens, and the model's context holds 64, answer included.",
    )


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--max-tokens", "64"], "`--max-tokens 64` leaves no room for a prompt: the context holds 64 tokens"),
        (["--max-tokens", "8", "--max-context", "8"], "leaves no room for a prompt: the context holds 8 tokens"),
        (["--max-context", "65"], "`--max-context 65` is more than the model's 64. Use at most that."),
        (["--max-tokens", "-2"], "`--max-tokens -2` must be 0 or more."),
    ],
)
def test_limits(train, options, text):
    refused(train("grpo", *options), text)
    assert untouched()


def broken(tiny: Path, **changes: object) -> Path:
    """A copy of the model whose tokenizer lacks or has something."""
    shutil.copytree(tiny, "model")
    path = Path("model/tokenizer_config.json")
    config = {k: v for k, v in (json.loads(path.read_text()) | changes).items() if v is not None}
    path.write_text(json.dumps(config))
    for name in ("config.json", "generation_config.json"):
        config = json.loads((Path("model") / name).read_text())
        config.pop("eos_token_id", None)
        (Path("model") / name).write_text(json.dumps(config))
    return Path("model")


def test_a_tokenizer_without_end_or_padding(train, tiny):
    model = broken(tiny, eos_token=None, pad_token=None)
    assert AutoTokenizer.from_pretrained(model).eos_token is None
    refused(
        train("grpo", "--model", model),
        "The tokenizer has neither a padding nor an end-of-text token. Set `eos_token`",
        "tokenizer_config.json.",
    )
    shutil.rmtree("model")
    model = broken(tiny, eos_token=None)
    refused(train("grpo", "--model", model), "The tokenizer has no end-of-text token and the model's configuration")
    assert untouched()


def test_a_tokenizer_without_padding_uses_its_end(train, tiny):
    assert train("grpo", *ONE, "--model", broken(tiny, pad_token=None)).status == 0


def test_folders_that_are_no_models(train, tiny):
    Path("empty").mkdir()
    refused(train("grpo", "--model", "empty"), "The folder 'empty' has no config.json, so it is no model.")
    refused(train("grpo", "--model", "data.jsonl"), "The model 'data.jsonl' is a file. Give a folder written by")
    refused(train("grpo", "--model", "./gone"), "There is no model folder ./gone. Give a folder")
    refused(train("grpo", "--model", ""), "`--model` is empty.")
    shutil.copytree(tiny, "model")
    weights = Path("model/model.safetensors")
    weights.write_bytes(weights.read_bytes()[:1000])
    refused(train("grpo", "--model", "model"), "The model 'model' could not be loaded: ")
    Path("model/config.json").write_text("{")
    refused(train("grpo", "--model", "model"), "The model 'model' could not be loaded: ")
    assert untouched()


def test_weights_that_are_missing_are_not_left_random(train, tiny):
    from safetensors.torch import load_file, save_file

    shutil.copytree(tiny, "model")
    tensors = load_file("model/model.safetensors")
    gone = sorted(n for n in tensors if "q_proj" in n)[0]
    save_file({n: t for n, t in tensors.items() if n != gone}, "model/model.safetensors", {"format": "pt"})
    refused(train("grpo", "--model", "model"), "lack 1 tensors that its config.json asks for", gone)


# ---------------------------------------------------------------- run directories


def test_used_directories(train, sharpen):
    assert train("grpo", *ONE).status == 0
    before = sorted(map(str, Path("run").rglob("*")))
    refused(
        train("grpo", *ONE),
        "run holds a run already (1 iterations). Go on with it by `sharpen train --resume --out run`, or choose",
    )
    assert sorted(map(str, Path("run").rglob("*"))) == before
    Path("full").mkdir()
    Path("full/mine.txt").write_text("x")
    refused(
        train("grpo", "--out", "full"), "full is not empty (it holds mine.txt), and a run wants a folder of its own."
    )
    assert sorted(p.name for p in Path("full").iterdir()) == ["mine.txt"]


def test_places_that_cannot_be_written(train):
    Path("file").write_text("x")
    refused(train("grpo", "--out", "file"), "is a file, so file can be no folder. Choose another with --out.")
    refused(train("grpo", "--out", "file/run"), "is a file, so file/run can be no folder.")


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_folder_of_somebody_else(train):
    Path("theirs").mkdir(mode=0o555)
    refused(train("grpo", "--out", "theirs/run"), "The run may not be written in theirs/run", "choose another folder")


def test_a_forbidden_folder_also_for_root(train, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: not str(path).endswith("theirs"))
    Path("theirs").mkdir()
    refused(train("grpo", "--out", "theirs/run"), "The run may not be written in theirs/run: ", "is not open to you.")


def test_two_trainings_in_one_directory(train, sharpen, monkeypatch):
    assert train("grpo", *FOUR).status == 0
    shutil.rmtree("run/policy")  # not finished
    with RunDir.open("run").lock():
        refused(
            sharpen("train", "--resume", "--out", "run"),
            f"run is being written by process {os.getpid()} on ",
            "Wait until that has ended (or end it), or choose another folder with --out.",
        )
    assert sharpen("train", "--resume", "--out", "run").status == 0


def full_disk(monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    """No room any more for files whose path contains `part`."""
    opened, written = os.open, os.write
    paths: dict[int, str] = {}

    def open_(path, *rest, **more):
        fd = opened(path, *rest, **more)
        paths[fd] = str(path)
        return fd

    def write(fd, data):
        if part in paths.get(fd, ""):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return written(fd, data)

    monkeypatch.setattr(files.os, "open", open_)
    monkeypatch.setattr(files.os, "write", write)


def test_a_full_disk_while_a_checkpoint_is_written(train, sharpen, monkeypatch):
    assert train("grpo", *FOUR, "--out", "whole").status == 0
    with monkeypatch.context() as m:
        full_disk(m, "new-000004")
        refused(
            train("grpo", *FOUR),
            "There is no room left for the checkpoint of iteration 4 in run/checkpoints (No space left on device).",
            "What was written before is intact. Free some space there (or raise the quota), then go on with --resume.",
        )
    assert sorted(p.name for p in Path("run/checkpoints").iterdir()) == ["000002"]
    assert sharpen("train", "--resume", "--out", "run").status == 0
    for name in ("metrics.jsonl", "checkpoints/000004/tensors.safetensors", "checkpoints/000004/state.json"):
        assert (Path("run") / name).read_bytes() == (Path("whole") / name).read_bytes(), name


def test_a_full_disk_from_the_first_line_on(train, monkeypatch):
    with monkeypatch.context() as m:
        full_disk(m, "metrics.jsonl")
        refused(train("grpo", *ONE), "There is no room left for metrics.jsonl in run (No space left on device).")
    assert Path("run/metrics.jsonl").read_bytes() == b""


# ---------------------------------------------------------------- resuming


def test_resuming_as_something_else(train, sharpen, tiny):
    assert train("grpo", *FOUR).status == 0
    go_on = ("train", "--resume", "--out", "run")
    refused(
        sharpen("train", "sft", "--resume", "--out", "run"),
        "The run in run was started with the recipe 'grpo', not 'sft'. Leave the recipe out, or give another --out",
    )
    refused(
        sharpen(*go_on, "--set", "Loop.iterations=9"),
        "The run in run was started with --set Loop.problems=2 --set Sample.n=2 --set Loop.iterations=4, and is",
        "by `--model run/policy` if it is finished",
    )
    refused(sharpen(*go_on, "--seed", "5"), "was started with another --seed (0, now 5), and is resumed exactly as it")
    refused(sharpen(*go_on, "--max-tokens", "9"), "was started with another --max-tokens (4, now 9)")
    assert sharpen(*go_on, "--checkpoint-every", "1", "--micro-tokens", "99").status == 0
    Path("run/manifest.json").write_text(
        Path("run/manifest.json").read_text().replace('"weight": 0.04', '"weight": 0.05')
    )
    refused(
        sharpen(*go_on),
        "The run in run was started with another recipe: recipe.updates[0].terms[1].weight was 0.05, is 0.04.",
    )


def test_a_manifest_that_is_missing_or_spoiled(train, sharpen):
    assert train("grpo", *ONE).status == 0
    path = Path("run/manifest.json")
    good = path.read_text()
    go_on = ("train", "--resume", "--out", "run")
    path.write_text(good[:100])
    refused(sharpen(*go_on), "run/manifest.json cannot be read (", "Put back a copy, or start anew with another --out.")
    path.write_text('{"format": 1}')
    refused(sharpen(*go_on), "run/manifest.json lacks name, task, seed, recipe,")
    path.write_text(good.replace('"format": 1', '"format": 99'))
    refused(sharpen(*go_on), "run/manifest.json has format 99, and this version of sharpen reads 1.")
    path.unlink()
    refused(sharpen(*go_on), "The run run holds no manifest.json, so it is not a run.")
    path.write_text(good)
    Path("run/evaluation.json").write_text("{")
    refused(sharpen(*go_on), "run/evaluation.json cannot be read (", "delete it to have the model measured again.")


def test_checkpoints_that_are_spoiled_or_of_another_run(train, sharpen):
    assert train("grpo", *FOUR).status == 0
    shutil.rmtree("run/policy")
    tensors = Path("run/checkpoints/000004/tensors.safetensors")
    tensors.write_bytes(tensors.read_bytes()[:-10])
    refused(
        sharpen("train", "--resume", "--out", "run"),
        "Checkpoint run/checkpoints/000004 cannot be used: tensors.safetensors has ",
        "so it was cut off or changed. The newest good one is 000002: delete 000004 in run/checkpoints and run again "
        "with --resume to go on from iteration 2.",
    )
    shutil.rmtree("run/checkpoints/000004")
    assert sharpen("train", "--resume", "--out", "run").status == 0
    assert train("sft", *FOUR, "--out", "other", own=False).status == 0
    shutil.rmtree("run/policy")
    shutil.rmtree("run/checkpoints")
    shutil.copytree("other/checkpoints", "run/checkpoints")
    refused(
        sharpen("train", "--resume", "--out", "run"),
        "Checkpoint run/checkpoints/000004 cannot be used: it is of another run (another recipe, setup or seed), or ",
        "There is no other good one: start anew with another --out, or put back a copy of this folder and run again "
        "with --resume.\n",
    )


# ---------------------------------------------------------------- recipes of one's own

HEAD = """from dataclasses import dataclass, replace
import torch
from sharpen.core import Part
from sharpen.loss.policy import NLL, PPOClip
from sharpen.recipe import AdamW, Term, Update
from sharpen.recipes.policy import grpo
"""

BODIES = {
    "inf credit": (
        """@dataclass(frozen=True)
class Blow(Part):
    reads = ("adv",)
    def __call__(self, groups, ctx):
        for g in groups:
            for t in g.traces:
                for s in t.actions:
                    s.put("adv", float("inf") if ctx.step == 2 else s.cols["adv"])
        return groups
mine = replace(grpo, collect=(*grpo.collect, Blow()))
""",
        "Column 'adv' is inf after Blow in iteration 2, first on problem 'data.jsonl/",
    ),
    "nan loss": (
        """class Bad(NLL):
    def __call__(self, new, batch):
        return new.logp * float("nan")
mine = replace(grpo, updates=(Update((Term(Bad()),)),))
""",
        "The term 'bad' (Bad) is not finite in iteration 0, in the loss of update 'policy', although all it is "
        "computed from is, first on problem 'data.jsonl/",
    ),
    "nan gradient": (
        """class Bad(NLL):
    def __call__(self, new, batch):
        return torch.where(new.logp > 1, (new.logp - new.logp.detach()).sqrt(), -new.logp) + 0 * (
            new.logp - new.logp.detach()).abs().sqrt()
mine = replace(grpo, updates=(Update((Term(Bad()),)),))
""",
        "in update 'policy' of actor 'policy' in iteration 0, first for problem 'data.jsonl/",
    ),
    "a loss that raises": (
        """class Bad(NLL):
    def __call__(self, new, batch):
        return {}["weights"]
mine = replace(grpo, updates=(Update((Term(Bad()),)),))
""",
        "mine.py failed at line 9: KeyError: 'weights'. `--traceback` shows the whole way there.",
    ),
}


@pytest.mark.parametrize("name", BODIES)
def test_losses_and_gradients_that_are_not_finite(train, name):
    body, text = BODIES[name]
    Path("mine.py").write_text(HEAD + body)
    said = train("mine.py:mine", *FOUR, "--checkpoint-every", "1")
    refused(said, text)
    done = Path("run/metrics.jsonl")
    steps = len(done.read_text().splitlines()) if done.exists() else 0
    assert steps == (2 if name == "inf credit" else 0)
    assert Path("run/report.html").exists()
    if steps:
        assert sorted(p.name for p in Path("run/checkpoints").iterdir()) == ["000001", "000002"]
        assert "Go on from iteration 2 with `sharpen train --resume --out run`." in said.err


@pytest.mark.parametrize(
    ("code", "name", "text"),
    [
        ("x = (1,\n", ":mine", "mine.py could not be read at line 1: SyntaxError: '(' was never closed."),
        ("\n\nx = 1 / 0\n", ":mine", "mine.py could not be read at line 3: ZeroDivisionError: division by zero."),
        ("import gone_module\n", ":mine", "at line 1: ModuleNotFoundError: No module named 'gone_module'."),
        ("from sharpen.recipes.policy import grpo as mime\n", ":mine", "has no recipe 'mine'. Did you mean mime?"),
        (
            "mine = 3\n",
            ":mine",
            "not a Recipe. It has no recipe; write ",
        ),
        ("from sharpen.recipes.policy import grpo\n", "", "Name the recipe of mine.py as mine.py:NAME. It has grpo."),
        (
            "from sharpen.recipe import AdamW\n\nx = AdamW(lr=-1.0)\n",
            ":mine",
            "mine.py at line 3: AdamW: lr is -1.0, and must be",
        ),
        (
            "from dataclasses import replace\nfrom sharpen.recipes.policy import grpo\n"
            "mine = replace(grpo, collect=grpo.collect[:1])\n",
            ":mine",
            "mine.py at line 3: Recipe 'grpo': PPOClip reads 'adv', and no part before it writes that. Put one of",
        ),
    ],
)
def test_recipe_files(train, code, name, text):
    Path("mine.py").write_text(code)
    refused(train(f"mine.py{name}"), text)
    assert untouched()


def test_a_recipe_that_cannot_be_written_down(train):
    Path("mine.py").write_text(
        "from dataclasses import replace\nfrom sharpen.recipes.policy import grpo\nfrom sharpen.reward.verify import "
        "Total\nmine = replace(grpo, collect=tuple(replace(x, how=lambda v, w: 1.0) if isinstance(x, Total) else x for "
        "x in grpo.collect))\n"
    )
    refused(train("mine.py:mine"), "Total.how is the function '<genexpr>.<lambda>', which cannot be found by its name.")
    assert untouched()


# ---------------------------------------------------------------- other


def test_a_tracker_that_is_not_installed(train, monkeypatch):
    import sharpen.run.trackers as trackers

    def missing(name: str) -> None:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(trackers.importlib, "import_module", missing)
    for name in ("wandb", "trackio"):
        refused(
            train("grpo", "--tracker", name),
            f"The tracker {name!r} needs a package that is not installed (No module named {name!r}). Install it with "
            f"`pip install {name}`, or train without that tracker: metrics.jsonl holds the same numbers.",
        )
    assert untouched()


def test_too_little_memory(train, monkeypatch):
    import torch

    def much(*rest: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setattr("sharpen.learner.Learner.learn", much)
    refused(train("grpo", *ONE), "There was not enough memory (OutOfMemoryError: CUDA", "smaller `--micro-tokens`")


def test_a_defect_is_told_as_one_and_kept(train, monkeypatch):
    monkeypatch.setattr("sharpen.learner.Learner.learn", lambda *rest: [][1])
    said = train("grpo", *ONE)
    # the lambda stands in this file, which is nobody's but the user's
    assert said.status == 2
    assert "test_bad_input.py failed at line" in said.err
    assert "Traceback" in Path("run/log.txt").read_text()


def test_a_traceback_on_demand(train):
    said = train("grpo", "--set", "Sample.n=0", "--traceback")
    assert said.status == 2
    assert said.err.startswith("Traceback (most recent call last):")
    assert said.err.splitlines()[-1].startswith("sharpen: Sample: n is 0")


def test_errors_with_json_are_words_on_standard_error(train):
    said = train("grpo", "--set", "Sample.n=0", "--json")
    assert said == Said(2, "", said.err)
    refused(said, "Sample: n is 0")
