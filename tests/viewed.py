"""Runs to look at, made once: real ones of four recipes on toys, and one whose every text is hostile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

import benches
from benches import COPY, COUNT, DOUBTFUL, Bench
from sharpen.actor.nano import Nano, character_tokenizer, upbringing
from sharpen.api import train
from sharpen.task.base import Task
from sharpen.task.grid import Grid
from sharpen.types import Group, Problem, Segment, Trace
from sharpen.view.app import app

TESTS = Path(__file__).parent
SIZE = ("Loop.iterations=6", "Loop.problems=4")
KEPT = {"eval_problems": 8, "eval_samples": 4, "rollouts_every": 1, "checkpoint_every": 100, "max_context": 64}


def exported(bench: Bench, task: Task, folder: Path) -> Path:
    """A model for the task of a bench, brought up in half the time of its base."""
    actor = bench.actor()
    actor.load_weights(benches._brought_up(task, steps=80))
    actor.export(folder)
    return folder


def grid_base(folder: Path) -> Path:
    """A model that knows how to walk in small rooms, and loses its way."""
    nano = Nano(width=32, layers=2, heads=2, context=256, steps=60, batch=24, warmup=10)
    tokenizer = character_tokenizer()
    upbringing(Grid(low=3, high=3), nano, tokenizer).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def study(where: Path, models: Path) -> None:
    """Two recipes at three seeds each, measured while they train."""
    noisy = f"{TESTS / 'benches.py'}:Noisy"
    for recipe in ("dr-grpo", "grpo"):
        for seed in range(3):
            sets = [*SIZE, "Sample.n=8", "AdamW.lr=3e-3", "AdamW.scale=1"]
            more = KEPT | {"rollouts_every": 100, "measure_every": 2, "measure_problems": 8, "measure_samples": 4}
            train(recipe, noisy, models / "copy", where / f"{recipe}-seed{seed}", seed, set=sets, **more)


def made(where: Path) -> None:
    """Five runs of real recipes, a few seconds each."""
    models = where.parent / "models"
    lively = ["AdamW.lr=3e-3", "AdamW.scale=1"]
    searched = ["MCTS.sims=16", "MCTS.expand=4", "AdamW.0.lr=3e-3", "AdamW.1.lr=3e-3", "Update.0.minibatch=16"]
    rooms = {"low": 3, "high": 3, "harder_low": 4, "harder_high": 4}
    copy = exported(COPY, benches.Noisy(), models / "copy")
    noisy, count, doubtful = (f"{TESTS / 'benches.py'}:{name}" for name in ("Noisy", "Count", "Doubtful"))

    def run(recipe: str, task: str, model: Path, name: str, sets: list[str], seed: int = 0, **more: Any) -> None:
        train(recipe, task, model, where / name, seed, set=[*SIZE, *sets], **{**KEPT, **more})

    run("grpo", noisy, copy, "copy/grpo", ["Sample.n=8", *lively])
    run("dr-grpo", noisy, copy, "copy/dr-grpo", ["Sample.n=8", *lively], seed=1)
    run("rest-mcts", count, exported(COUNT, benches.Count(), models / "count"), "tree", searched)
    run(
        "rlcr",
        f"confident:{doubtful}",
        exported(DOUBTFUL, DOUBTFUL.task(), models / "sure"),
        "sure",
        ["Sample.n=16", *lively],
    )
    walk = ["Loop.iterations=4"]
    run("gigpo", "grid", grid_base(models / "grid"), "walk", walk, max_context=256, eval_problems=4, task_set=rooms)


EVIL = (
    "<script>window.hit = 1</script>",
    '<img src=x onerror="window.hit = 1">',
    "javascript:window.hit=1",
    "[a](javascript:window.hit=1)",
    "\x1b]0;title\x07\x1b[31mred\x1b[0m",
    "\u202egnp.exe",
    '<iframe srcdoc="<script>parent.hit = 1</script>"></iframe>',
    '</script></style></textarea><svg onload="window.hit = 1">',
    "http://192.0.2.1/pixel.png",
)
"""Texts that act, hide, or load something wherever they are taken for more than text."""


def hostile() -> list[Group]:
    """A group whose every text is hostile."""
    encode = character_tokenizer()
    problem = Problem("\n".join(EVIL), "\n".join(EVIL))
    traces = []
    for k, text in enumerate(EVIL):
        asked = Segment(_atoms(encode, text), role=text, by=text, text=text)
        said = Segment(_atoms(encode, text), True, role="assistant", by=text, text=text, state=text)
        said.logp = said.atoms.float() * -0.01
        said.put("adv", (-1.0) ** k)
        said.put(text, 0.5)
        said.info["<b>visits</b>"] = 2
        traces.append(
            Trace(problem, [asked, said], {text: 1.0}, 0.5 * k, k % 2 == 0, agent=text, episode=text, info={text: 1.0})
        )
    return [Group(problem, traces)]


def _atoms(tokenizer: Any, text: str) -> Any:
    return tokenizer(text, return_tensors="pt").input_ids[0]


def client(folder: Path, host: str = "127.0.0.1", token: str = "", base: str = "http://127.0.0.1:8000") -> TestClient:
    """Somebody who asks a server for the runs below a folder."""
    return TestClient(app([folder], host, token), base_url=base, follow_redirects=False)


def said(answer: Any, status: int = 200) -> Any:
    """What an answer holds, after checking its status."""
    assert answer.status_code == status, answer.text
    return answer.json()


def listed(ask: TestClient) -> dict[str, dict[str, Any]]:
    """The runs by name."""
    return {r["folder"]: r for r in said(ask.get("/api/runs"))["runs"]}


def number(ask: TestClient, name: str) -> int:
    """The number of a run."""
    return int(listed(ask)[name]["id"])
