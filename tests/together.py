"""What `test_parallel` has several processes do: `python together.py FOLDER WORDS...` leaves there what each found.

The same functions run in the test's own process, alone.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import traceback
from dataclasses import replace
from pathlib import Path

import torch
import torch.distributed.fsdp  # here, so that it is there before anything forks
from safetensors.torch import save_file

from sharpen.actor.base import Request
from sharpen.budget import Budget, budget
from sharpen.cli.main import main
from sharpen.ctx import Ctx
from sharpen.learner import Learner
from sharpen.loop import Trainer
from sharpen.numbers import NotFinite
from sharpen.overrides import override
from sharpen.parallel.group import joined
from sharpen.parallel.world import World
from sharpen.recipe import AdamW, Term, Update
from sharpen.recipes import recipe
from sharpen.rollout.program import Scheduler
from sharpen.rows import Pairs, Traces, best, worst
from sharpen.run import checkpoint
from sharpen.task.taste import Taste
from sharpen.types import Problem, Sampling
from test_learner import PPO, Drift, Spread, traces
from toy import Copy, nano_actor

HALF, WHOLE = 2, 3
"""Iterations before a checkpoint, and in all."""

STEPS = ("--set", "Loop.iterations=4", "--checkpoint-every", "2", "--device", "cpu")


class Graded(Copy):
    """Every answer earns something, so that no advantage is the rounding of a zero."""

    def verify(self, problem, trace):
        return {"correct": (sum(map(ord, trace.text)) % 7) / 7, "short": 0.5}


COURSES = {
    # nine rows of ten tokens in passes of two, dealt 5 to 4: one process makes a pass more than the other
    "grpo": ("grpo", Graded, {"problems": 3, "n": 3, "epochs": 2}, {}, 24),
    "lora": ("grpo", Graded, {"problems": 2, "n": 2}, {"lora": 2, "checkpointing": True}, 16384),
    "half": ("grpo", Graded, {"problems": 3, "n": 3}, {"dtype": "bfloat16"}, 24),
    "ppo": ("ppo", Graded, {"problems": 5, "minibatch": 3}, {}, 16384),
    "dpo": ("dpo", Taste, {"problems": 5, "minibatch": 3}, {"max_tokens": 12}, 64),
    "sft": ("sft", Copy, {"problems": 3, "minibatch": 1}, {}, 16384),  # a process without a row
}
"""A recipe, a task, what is changed, the model, and the tokens of a pass."""


def trainer(name: str, world: World, budget: Budget | None = None) -> Trainer:
    """A run of a few iterations of a course, or until a budget is spent."""
    method, task, changes, model, tokens = COURSES[name]
    changes = dict(changes)
    loop = [f"Loop.iterations={WHOLE}", f"Loop.problems={changes.pop('problems')}"]
    method = override(recipe(method), [*loop, *(f"Sample.n={changes.pop(n)}" for n in ("n",) if n in changes)])
    method = replace(method, updates=tuple(replace(u, **changes) for u in method.updates))
    policy = world.spread(nano_actor(layers=2, lr=1e-3, **model))
    return Trainer(method, task(), policy, seed=3, micro_tokens=tokens, budget=budget)


def course(name: str, world: World) -> tuple[dict, dict[str, torch.Tensor]]:
    """Each iteration's metrics, costs, tokens and rewards, and the weights at the end."""
    run = trainer(name, world)
    told = []
    while not run.done:
        done = run.step()
        drawn = [t for g in done.groups for t in g.traces]
        told.append(
            {
                "metrics": done.metrics,
                "cost": done.cost,
                "tokens": [[s.atoms.tolist() for s in t.segments] for t in drawn],
                "rewards": [t.rewards for t in drawn],
                "texts": [t.text for t in drawn],
            }
        )
    actors = {"policy": run.policy, **run.trained()}
    return told, {f"{a}/{n}": w.clone() for a, x in sorted(actors.items()) for n, w in x.weights().items()}


def budgets(world: World) -> dict:
    """Iterations made and what is spent after each, by budget; where seconds count, the last process is the slowest."""
    found = {}
    for text in ("400-tokens", "7-steps", "1s"):
        run = trainer("grpo", world, budget(text))
        spent = []
        while not run.done:
            if run.meter.budget.kind == "seconds":
                run.meter.seconds += 0.3 * world.rank
            run.step()
            spent.append(run.spent)
        found[text] = [run.ctx.step, spent]
    return found


GRADIENTS = {
    "atoms": ((PPO,), None, 24, 4),
    "groups": ((Term(Spread(), mean_over="trace"),), None, 24, 1),  # one bundle: a process has nothing to do
    "sets": ((Term(Drift(), mean_over="trace"),), Pairs(best, worst), 24, 3),
}


def gradient(name: str, world: World) -> dict[str, torch.Tensor]:
    """The gradient of an optimiser step over groups of two traces."""
    terms, rows, tokens, groups = GRADIENTS[name]
    plain = nano_actor(layers=2)
    made = traces(plain, [2, 3, 4, 4, 1, 2, 3, 4][: 2 * groups])
    actor = world.spread(plain)
    ctx = Ctx(
        replace(recipe("grpo"), waive=("agreement",)), Copy(), {"policy": actor}, micro_tokens=tokens, world=world
    )
    Learner(Update(terms, rows or Traces(), optimiser=AdamW(lr=1e-30, clip=1e9)), "u", actor).learn(made, ctx)
    return {n: world.kept(p.grad).clone() for n, p in actor.parameters()}


def half(name: str, world: World, folder: Path) -> None:
    """The first iterations, and a checkpoint."""
    run = trainer(name, world)
    for _ in range(HALF):
        run.step()
    state = run.state()
    if world.main:
        checkpoint.save(folder, HALF, state)


def rest(name: str, world: World, folder: Path) -> dict[str, torch.Tensor]:
    """The weights and moments at the end of a run that goes on from a checkpoint."""
    run = trainer(name, world)
    run.load(checkpoint.newest(folder)[1])
    while not run.done:
        run.step()
    return ended(run)


def ended(run: Trainer) -> dict[str, torch.Tensor]:
    """Weights and the optimisers' moments."""
    state = run.state()
    found = {f"{a}/{n}": w for a, x in state["weights"].items() for n, w in x.items()}
    moments = {u: x["optimiser"] for u, x in state["learners"].items()}
    found |= {f"{u}/{i}/{k}": x for u, m in moments.items() for i, s in m.items() for k, x in s.items()}
    return {k: x.clone() for k, x in found.items()}


def pieces(world: World) -> dict:
    """What each process holds of a model, before, while and after it is sampled and trained."""
    run = trainer("grpo", world)
    actor = run.policy

    def held() -> list[int]:
        shards = sum(p.to_local().numel() for p in actor.trained.module.parameters())
        return [shards, sum(p.numel() for p in actor.module.parameters())]

    found = {"begun": held()}
    run._check_reference = lambda groups: found.update(drawn=held())
    run.step()
    moments = [x for s in run.learners[0].optimiser.state.values() for k, x in s.items() if k != "step"]
    return found | {"trained": held(), "moments": sum(x.to_local().numel() for x in moments)}


def kinds(world: World) -> dict:
    """The types of the whole copy of a model that computes in half precision, and whether its weights are as before."""
    plain = nano_actor(layers=2, dtype="bfloat16")
    before = {n: w.clone() for n, w in plain.weights().items()}
    actor = world.spread(plain)
    requests = [Request(tuple(actor.prompt(Problem("p", "2?"))), Sampling(), i, "policy@0") for i in range(2)]

    def types() -> list[str]:
        return sorted({str(p.dtype) for p in actor.module.parameters() if p.numel()})

    drawn = [s.atoms.tolist() for s in actor.sample(requests)]
    found = {"drawing": types(), "drawn": drawn}
    after = actor.weights()
    found |= {"asked": types(), "same": all(torch.equal(before[n], w) for n, w in after.items())}
    actor.sample(requests)  # what is there is good enough
    return found | {"still": types()}


PROMPTS = ("1+1=", "7+1=", "2+1=", "3+1=", "7+2=")
"""What `lost` asks: two processes get three and two of them, and each has one with a 7."""


def lost(world: World) -> dict:
    """What is said of samples that are no numbers: which of all that were asked for, and of which problem it is."""
    plain = nano_actor(layers=2)
    [seven] = [t for t in plain.encode("7") if plain.decode([t]) == "7"]
    actor = world.spread(plain)

    def spoil(module, args, out):
        return out.masked_fill((args[0] == seven)[..., None], float("nan"))

    hook = actor.module.get_input_embeddings().register_forward_hook(spoil)
    requests = [Request(tuple(actor.prompt(Problem(p, p))), Sampling(max_tokens=2), 0, "policy@0") for p in PROMPTS]
    found: dict = {"told": []}
    scheduler = Scheduler({"policy": actor})

    async def ask(prompt: str, request: Request) -> None:
        try:
            await scheduler.ask("policy", request)
        except NotFinite as error:
            found["item"] = error.item
            found["told"].append(prompt)
            raise

    try:
        scheduler.run([ask(p, r) for p, r in zip(PROMPTS, requests, strict=True)])
    except NotFinite:
        hook.remove()
    return found


def exchange(world: World) -> dict:
    """The small exchanges, from things that differ between processes."""
    r = world.rank
    asked: list[str] = []

    class Asked(Copy):
        def verify(self, problem, trace):
            asked.append(problem)
            return {"correct": float(problem) / 3, "short": r}

    rewards = world.verify(Asked(), [(str(i), None) for i in range(5)])
    return {
        "rank": [world.rank, world.size, world.main],
        "gather": world.gather({"r": r, "x": 0.1 + r, "odd": float("inf")}),
        "rows": world.join(torch.arange(6.0).view(3, 2)[: 1 + 2 * r] + 10 * r).tolist(),
        "numbers": world.join(torch.arange(2 * r)).tolist(),
        "none": world.join(torch.zeros(0, 3)).shape,
        "first": world.first(lambda: "mine"),
        "share": list(world.share(5)),
        "verify": rewards,
        "asked": asked,
    }


def everything(folder: Path) -> None:
    """All of the above, by several processes."""
    with joined() as world:
        plain = {"exchange": world.gather(exchange(world)), "pieces": world.gather(pieces(world)), "courses": {}}
        plain["budgets"] = world.gather(budgets(world))
        plain["kinds"] = world.gather(kinds(world))
        plain["lost"] = world.gather(lost(world))
        tensors = {}
        for name in COURSES:
            plain["courses"][name], weights = course(name, world)
            tensors |= {f"course/{name}/{k}": x for k, x in weights.items()}
        for name in GRADIENTS:
            tensors |= {f"gradient/{name}/{k}": x for k, x in gradient(name, world).items()}
        half("ppo", world, folder / "two")
        tensors |= {f"rest/{k}": x for k, x in rest("ppo", world, folder / "one").items()}
        try:
            world.alike(lambda: world.rank, "here")
        except Exception as error:
            plain["alike"] = str(error)
        if world.main:
            (folder / "found.json").write_text(json.dumps(plain))
            save_file({k: x.contiguous() for k, x in tensors.items()}, folder / "found.safetensors")


def work(folder: str, words: list[str]) -> int:
    """Everything, and twice more in one script: a whole run, then the rest of one that a single process began."""
    everything(Path(folder))
    return main([*words, "--out", "two"]) or main(["train", "--resume", "--out", "half"])


def forked(size: int, folder: str, words: list[str]) -> int:
    """`work` in processes as `torchrun` starts them, but forked, which saves the time of importing everything.

    OMP_NUM_THREADS must be 1: threads do not survive it.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(size)}
    children = []
    for rank in range(size):
        child = os.fork()
        if child == 0:
            os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank)}
            status = 1
            try:
                status = work(folder, words)
            except BaseException:
                traceback.print_exc()
            sys.stdout.flush()
            os._exit(status)
        children.append(child)
    return max(os.waitstatus_to_exitcode(os.waitpid(c, 0)[1]) for c in children)


if __name__ == "__main__":
    sys.exit(forked(2, sys.argv[1], sys.argv[2:]))
