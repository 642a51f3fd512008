"""The base model of a task of latents, made on the spot: a velocity field trained by flow matching on careless data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from sharpen.actor.flow import FlowActor
from sharpen.actor.nano import cache_folder, keep
from sharpen.actor.velocity import FlowConfig, VelocityField, velocity_field
from sharpen.task.latent import Latent


@dataclass(frozen=True)
class FlowNano:
    """Upbringing of a base model. The number of batches is fixed, not the time; 0 leaves it and the width to the task.

    `noise` examples share a batch with fresh noise and times each.
    """

    width: int = 0
    layers: int = 3
    batches: int = 0
    batch: int = 256
    lr: float = 2e-3
    warmup: int = 50
    seed: int = 0
    format: int = 1

    def config(self, task: Latent) -> FlowConfig:
        """The network for a task."""
        return FlowConfig(task.shape, task.conditions, self.width or task.width, self.layers)

    def length(self, task: Latent) -> int:
        """How many batches it is trained on."""
        return self.batches or task.batches


def flow_base(task: Latent, nano: FlowNano | None = None, watch: Callable[[int, float], None] | None = None) -> Path:
    """The folder of the base model for a task, trained now if it is not in the cache.

    `watch(step, loss)` sees it learn.
    """
    nano = nano or FlowNano()
    key = json.dumps([asdict(nano), asdict(nano.config(task)), nano.length(task), task.identity()], sort_keys=True)
    folder = cache_folder() / f"flow-{task.label}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
    if not (folder / "config.json").exists():
        field = upbringing(task, nano, watch)
        keep(folder, FlowActor(field, field.config).export)
    return folder


def upbringing(
    task: Latent, nano: FlowNano | None = None, watch: Callable[[int, float], None] | None = None
) -> VelocityField:
    """Train a fresh field by conditional flow matching on what a careless source shows of the task.

    Loss: the mean of |v(x_t, t, c) - (eps - x)|^2 t^2 over examples x with condition c, eps ~ N(0, I), t ~ U(0, 1) and
    x_t = (1 - t) x + t eps (rectified flow: 2209.03003, eq. 1), which is |f(x_t, t, c) - x|^2. The noise head learns
    nothing here.
    """
    nano = nano or FlowNano()
    gen = torch.Generator().manual_seed(nano.seed)
    field = velocity_field(nano.config(task), nano.seed)
    parameters = list(field.clean.parameters())
    optimiser = torch.optim.AdamW(parameters, lr=nano.lr, betas=(0.9, 0.95), weight_decay=0.0)
    total = nano.length(task)
    for step in range(total):
        problems, x = task.examples(nano.batch, gen)
        condition = torch.tensor([p.info["condition"] for p in problems])
        eps, t = torch.randn(x.shape, generator=gen), torch.rand(len(x), generator=gen)
        guess = field.guess((1 - t[:, None]) * x + t[:, None] * eps, t, condition)
        loss = ((guess - x) ** 2).mean()
        # the rate rises, stays, and falls over the last half: what is learnt late is learnt finely
        rise, left = min(1.0, (step + 1) / nano.warmup), (total - step) / (0.5 * total)
        for g in optimiser.param_groups:
            g["lr"] = nano.lr * rise * min(1.0, 0.02 + 0.98 * left)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        if watch and ((step + 1) % 20 == 0 or step + 1 == total):
            watch(step + 1, float(loss.detach()))
    return field.eval()
