"""The flow actor: a policy that is no language model. Its atoms are the latents of a denoising chain.

A trace is a condition (given), a starting noise x_0 (given, drawn by `start`), and one trainable segment whose atom k
is the latent x_{k+1} that denoising step k led to, as `float32[K, d]`. So each atom's predecessor is the atom before
it, or the starting noise, and `logp[k]` is the log-density of the Gaussian that step k drew from:

- `sde` (the default): Flow-GRPO's SDE (2505.05470, section 4.2; `sharpen.maths.flow`), a Gaussian whose spread is
  fixed. Its log-density is the mean over the d numbers of a latent, as in the code of Flow-GRPO, DDPO and D3PO.
- `learnt-noise`: x_{k+1} = x_k - h v + sigma(x_k, t_k, c) eps with a learnt sigma (ReinFlow, 2505.22094).
  Its log-density is the sum over the d numbers, as in the paper.

ReinFlow's code cuts the sampled noise off at three standard deviations, samples at other times than it scores at, and
scores the whole Gaussian. Here what is scored is what was drawn from: no noise is cut off, and both use one function.

`temperature` multiplies the noise. At 0 the chain is Euler's of the ODE: it depends on x_0 alone and has log-prob 0.
"""

from __future__ import annotations

import copy
import json
import math
import random
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from sharpen.actor.base import Actor, Request
from sharpen.actor.load import ModelSetup, pick_device
from sharpen.actor.text import column_of
from sharpen.actor.velocity import FlowConfig, VelocityField
from sharpen.errors import SharpenError, option
from sharpen.latents import shown
from sharpen.maths.flow import gaussian_entropy, gaussian_logp, noise_level, ode_step, sde_step, times
from sharpen.types import Batch, Problem, Sampling, Scored, Segment, Sets, Trace

KIND = "sharpen-flow"
"""`model_type` in the config.json of a flow policy."""

METHODS = ("sample", "sde", "learnt-noise")
"""What `Sampling.method` may be; `sample` is the SDE."""


def usual_rate(config: FlowConfig) -> float:
    """The learning rate that suits a small perceptron: 1e-3 for latents of at most 8 numbers, 1e-4 for pictures.

    With many numbers the trained mean moves further for the same step of the weights, against a noise as small.
    """
    return 1e-3 if config.size <= 8 else 1e-4


class FlowActor(Actor):
    """A velocity field that draws denoising chains and gives log-densities of their steps.

    `module(x, t, condition, noise)` gives a velocity `[n, d]` and, where `noise` asks for it, a standard deviation
    `[n, d]`. Rollout and training compute in float64 (float32 parameters, float32 latents), so a draw does not depend
    on what else is in its batch. `max_tokens` is the number of denoising steps where a request names none.
    """

    agreement = 1e-5

    def __init__(
        self, module: nn.Module, config: FlowConfig, *, rate: float | None = None, max_tokens: int = 0
    ) -> None:
        self.module = module
        self.config = config
        self.rate = usual_rate(config) if rate is None else rate
        self.max_tokens = max_tokens or config.steps

    # ------------------------------------------------------------------ text

    def decode(self, tokens: Sequence[Any]) -> str:
        """The last of some latents as text (`sharpen.latents.shown`)."""
        return shown(torch.tensor(tokens[-1]), self.config.shape) if len(tokens) else ""

    def prompt(self, problem: Problem) -> list[Segment]:
        """The problem's condition, `info["condition"]`, as one given atom `float32[1, c]`."""
        condition = problem.info.get("condition", ())
        if len(condition) != self.config.conditions:
            raise SharpenError(
                f"The flow policy is conditioned on {self.config.conditions} numbers, and problem {problem.key!r} has "
                f"{len(condition) or 'none'}: it is of another task. Give a task with latents that this policy was "
                "made for (`sharpen tasks` says what each gives), or a policy of this task."
            )
        atoms = torch.tensor([condition], dtype=torch.float32)
        return [Segment(atoms, role="user", text=str(problem.prompt))]

    def start(self, rng: random.Random) -> list[Segment]:
        """The noise x_0 a chain begins with, standard normal, as one given atom `float32[1, d]`."""
        return [Segment(_normal(rng.getrandbits(62), 1, self.config.size).float(), role="noise", text="")]

    def say(self, text: str, role: str = "user") -> Segment:
        """Refused: a flow policy holds no conversation."""
        raise SharpenError(
            "A flow policy draws one latent and holds no conversation, so it cannot be told anything after its "
            "condition. Use a recipe that draws single answers, or a language model."
        )

    def given(self, text: str) -> Segment:
        """Refused: a demonstration would need a denoising chain, which a text has not."""
        raise SharpenError(
            "A flow policy cannot imitate a text: its atoms are the steps of denoising chains, and nobody drew one "
            "here. Use a recipe that imitates the policy's own samples, such as expert-iteration, or a language model."
        )

    # ------------------------------------------------------------------ sampling

    @property
    def longest(self) -> int:
        """The denoising steps of a chain."""
        return self.max_tokens

    @torch.no_grad()
    def sample(self, requests: Sequence[Request]) -> list[Segment]:
        """One chain a request, in order; its noise comes from the request's seed alone."""
        for request in requests:
            _drawable(request.sampling)
        lengths = [r.sampling.max_tokens or self.max_tokens for r in requests]
        out: dict[int, Segment] = {}
        for steps in dict.fromkeys(lengths):  # chains of one length advance together
            chosen = [i for i, n in enumerate(lengths) if n == steps]
            drawn = self._chains([requests[i] for i in chosen], steps)
            out |= dict(zip(chosen, drawn, strict=True))
        return [out[i] for i in range(len(requests))]

    def _chains(self, requests: Sequence[Request], steps: int) -> list[Segment]:
        n, d, device = len(requests), self.config.size, self._device()
        condition, start = (torch.cat(part) for part in zip(*(_given(r.context) for r in requests), strict=True))
        noise = torch.stack([_normal(r.seed, steps, d) for r in requests], dim=1).to(device)
        heat = torch.tensor([r.sampling.temperature for r in requests], dtype=torch.float64, device=device)
        learnt = torch.tensor([r.sampling.method == "learnt-noise" for r in requests], device=device)
        condition, x = condition.to(device), start.to(device)
        h = torch.full((n,), 1 / steps, dtype=torch.float64, device=device)
        latents, logps, entropies = [], [], []
        for k, t in enumerate(times(steps).tolist()):
            mean, std = self._step(x, torch.full_like(h, t), h, condition, heat, learnt)
            still = heat == 0
            y = (mean + std * noise[k]).float()  # atoms are float32, and what is scored is what is kept
            safe = std.masked_fill(still[:, None], 1.0)
            logp, entropy = _density(gaussian_logp(y.double(), mean, safe), gaussian_entropy(safe), learnt)
            latents.append(y)
            logps.append(logp.masked_fill(still, 0.0))
            entropies.append(entropy.masked_fill(still, 0.0))
            x = y
        atoms, logp, entropy = (torch.stack(part, dim=1).float().cpu() for part in (latents, logps, entropies))
        return [
            Segment(
                atoms[i],
                trainable=True,
                logp=logp[i],
                drawn=r.sampling,
                by=r.by,
                role="assistant",
                text=shown(atoms[i, -1], self.config.shape),
                cols={"logp_old": logp[i], "entropy": entropy[i]},
                info={"end": "stop"},
            )
            for i, r in enumerate(requests)
        ]

    def _step(
        self, x: Tensor, t: Tensor, h: Tensor, condition: Tensor, heat: Tensor, learnt: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation `float64[n, d]` of the latent after x `[n, d]`; all else but c is `[n]`."""
        named = {name: p.double() for name, p in [*self.module.named_parameters(), *self.module.named_buffers()]}
        x = x.double()
        any_learnt = bool(learnt.any())
        v, spread = torch.func.functional_call(self.module, named, (x, t, condition.double()), {"noise": any_learnt})
        column = (t[:, None], h[:, None])
        sigma = noise_level(*column, self.config.level * heat[:, None])
        mean, std = sde_step(x, v, *column, sigma)
        if any_learnt:
            rows = learnt[:, None]
            mean = torch.where(rows, ode_step(x, v, column[1]), mean)
            std = torch.where(rows, spread * heat[:, None], std)
        return mean, std

    def _device(self) -> torch.device:
        return next((p.device for p in self.module.parameters()), torch.device("cpu"))

    # ------------------------------------------------------------------ scoring

    def size(self, trace: Trace) -> int:
        """Its denoising steps: each is one pass of the network, whatever stands before it."""
        return max(1, trace.length)

    def collate(
        self, traces: Sequence[Trace], groups: Tensor, columns: Sequence[str], sets: Sets | None = None
    ) -> Batch:
        """Every denoising step as a row: the latent before it, its time, the condition, and the latent it led to."""
        trained: list[Segment] = []
        owner: list[int] = []
        before: list[Tensor] = []
        conditions: list[Tensor] = []
        for b, trace in enumerate(traces):
            for i, s in enumerate(trace.segments):
                if s.trainable and len(s):
                    condition, start = _given(trace.segments[:i])
                    before.append(torch.cat([start, s.atoms[:-1]]))
                    conditions.append(condition.expand(len(s), -1))
                    trained.append(s)
                    owner.append(b)
        lengths = torch.tensor([len(s) for s in trained], dtype=torch.long)
        steps = lengths.repeat_interleave(lengths)

        def each(values: list[float]) -> Tensor:
            return torch.tensor(values, dtype=torch.float64).repeat_interleave(lengths)

        none = torch.zeros(0, self.config.size)
        return Batch(
            list(traces),
            {name: torch.cat([column_of(s, name) for s in trained]) if trained else torch.zeros(0) for name in columns},
            torch.arange(len(trained)).repeat_interleave(lengths),
            torch.tensor(owner, dtype=torch.long).repeat_interleave(lengths),
            groups,
            {
                "before": torch.cat(before) if before else none,
                "after": torch.cat([s.atoms for s in trained]) if trained else none,
                "condition": torch.cat(conditions) if conditions else torch.zeros(0, self.config.conditions),
                "t": 1
                - (torch.arange(len(steps)) - (lengths.cumsum(0) - lengths).repeat_interleave(lengths))
                / steps.double(),
                "h": 1 / steps.double(),
                "heat": each([s.drawn.temperature if s.drawn else 1.0 for s in trained]),
                "learnt": each([float(s.drawn is not None and s.drawn.method == "learnt-noise") for s in trained]) > 0,
            },
            sets,
        )

    def score(self, batch: Batch, wants: Sequence[str] = ()) -> Scored:
        """Log-density of every denoising step under the noise it was drawn with; `wants` may hold `entropy`."""
        unknown = set(wants) - {"entropy"}
        if unknown:
            raise SharpenError(f"A flow policy cannot score {', '.join(sorted(unknown))}; it knows: entropy.")
        if bool((batch.data["heat"] <= 0).any()):
            raise SharpenError(
                "A denoising chain drawn at temperature 0 has no density, so it cannot be trained on. Draw with a "
                "temperature above 0 (`--set Sample.temperature=1`)."
            )
        d = {k: v.to(self._device()) for k, v in batch.data.items()}
        mean, std = self._step(d["before"], d["t"], d["h"], d["condition"], d["heat"], d["learnt"])
        logp, entropy = _density(gaussian_logp(d["after"].double(), mean, std), gaussian_entropy(std), d["learnt"])
        return Scored(logp.float().cpu(), {"entropy": entropy.float().cpu()} if "entropy" in wants else {})

    # ------------------------------------------------------------------ weights

    def parameters(self) -> list[tuple[str, nn.Parameter]]:
        """What gradient may reach."""
        return [(n, p) for n, p in self.module.named_parameters() if p.requires_grad]

    def weights(self) -> dict[str, Tensor]:
        """Every parameter."""
        return {n: p.detach() for n, p in self.module.named_parameters()}

    @torch.no_grad()
    def load_weights(self, weights: dict[str, Tensor]) -> None:
        """Copy in place, so that the optimiser sees the same parameters."""
        mine = self.weights()
        if {n: p.shape for n, p in mine.items()} != {n: p.shape for n, p in weights.items()}:
            raise SharpenError(
                "The checkpoint's weights are not those of this flow policy: names or shapes differ. Resume with the "
                "model the run was started with."
            )
        for name, tensor in mine.items():
            tensor.copy_(weights[name])

    def freeze(self, *, still: bool = True) -> FlowActor:
        """A copy without gradient."""
        module = copy.deepcopy(self.module).requires_grad_(False)
        return FlowActor(module, self.config, rate=self.rate, max_tokens=self.max_tokens)

    def export(self, folder: Path) -> None:
        """`config.json` and `model.safetensors`, which `load_flow` reads."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        save_file({n: p.contiguous().cpu() for n, p in self.weights().items()}, folder / "model.safetensors")
        (folder / "config.json").write_text(json.dumps({"model_type": KIND, **asdict(self.config)}, indent=2) + "\n")


def _normal(seed: int, n: int, d: int) -> Tensor:
    """`float64[n, d]` standard normal numbers that depend on the seed alone."""
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _drawable(sampling: Sampling) -> None:
    """Refuse what a flow policy cannot draw by."""
    if sampling.method not in METHODS or sampling.top_p < 1 or sampling.top_k or sampling.stop:
        raise SharpenError(
            f"A flow policy draws from Gaussians and knows the methods {', '.join(METHODS)}; top-p, top-k and stop "
            f"texts mean nothing there, and it was asked for {sampling}. Leave those options out."
        )
    if not 0 <= sampling.temperature < math.inf or sampling.max_tokens < 0:
        raise SharpenError(
            f"A flow policy was asked for temperature {sampling.temperature} and {sampling.max_tokens} denoising "
            "steps. Give a temperature of 0 or more, and a number of steps of 0 (the policy's own) or more."
        )


def _given(segments: Sequence[Segment]) -> tuple[Tensor, Tensor]:
    """The condition `[1, c]` and the latent `[1, d]` that the next segment of a trace begins with."""
    conditions = [s.atoms for s in segments if s.role == "user"]
    latents = [s.atoms for s in segments if s.role in ("noise", "assistant") and len(s)]
    if not conditions or not latents:
        raise SharpenError(
            "A denoising chain begins with a condition and a starting noise, and this trace lacks one of them. In a "
            "rollout program of your own, sample after `[*play.prompt(), *play.start()]`."
        )
    return conditions[-1][-1:], latents[-1][-1:]


def _density(logp: Tensor, entropy: Tensor, learnt: Tensor) -> tuple[Tensor, Tensor]:
    """A number a step from a number a dimension: their sum where the noise is learnt, their mean elsewhere."""
    parts = torch.where(learnt, logp.shape[1], 1)
    return logp.mean(1) * parts, entropy.mean(1) * parts


def is_flow(folder: str | Path) -> bool:
    """Whether a folder holds a flow policy."""
    try:
        config = json.loads((Path(folder) / "config.json").read_text())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(config, dict) and config.get("model_type") == KIND


def load_flow(source: str | Path, setup: ModelSetup | None = None) -> FlowActor:
    """A flow policy from a folder that `FlowActor.export` wrote."""
    setup = setup or ModelSetup()
    if not is_flow(source):
        raise SharpenError(
            f"The model {str(source)!r} could not be loaded as a flow policy: it is no folder with a config.json of "
            f"model_type {KIND!r}. Give one, such as the `policy` of a run on a task with latents, or `nano`; language "
            "models do not draw latents."
        )
    odd = [n for n in ("lora", "lora_alpha", "checkpointing", "max_context") if getattr(setup, n)]
    odd += ["dtype"] if setup.dtype != "float32" else []
    if odd:
        raise SharpenError(
            f"A flow policy is a small network without adapters or a context, computed in double precision: "
            f"`{option(odd[0])}` means nothing to it. Leave that option out."
        )
    device = torch.device("cpu") if setup.device == "auto" else pick_device(setup.device)
    if device.type == "mps":
        raise SharpenError("A flow policy is computed in double precision, which mps has not. Use `--device cpu`.")
    folder = Path(source)
    try:
        plain = json.loads((folder / "config.json").read_text())
        plain.pop("model_type")
        config = FlowConfig(**{**plain, "shape": tuple(plain["shape"])})
        field = VelocityField(config)
        field.load_state_dict(load_file(folder / "model.safetensors"))
        field.to(device)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise SharpenError(
            f"The flow policy in {folder} could not be loaded: {first[:300]}. Give a folder that a run wrote and "
            "nobody changed."
        ) from error
    return FlowActor(field, config, rate=setup.lr, max_tokens=setup.max_tokens)
