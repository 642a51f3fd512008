"""Actors of which each process computes a share: samples and scores from a whole copy, training through FSDP2.

FSDP gathers parameters in every forward pass, so all processes must make equally many. Training does
(`sharpen.learner`); sampling cannot, for it makes as many as its longest answer has tokens. So all that needs no
gradient is computed by a plain copy of the whole model, which is gathered when it is first asked for after an update
and let go when training begins. A process thus holds, of a model with P parameters, its pieces of parameters,
gradients and both moments of AdamW (16 P / size bytes), and besides either the whole copy (4 P bytes, or 2 P where the
products are of bfloat16) or what FSDP gathers of the model at a time (the embeddings and a layer or two).
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from sharpen.actor.base import Actor, Request
from sharpen.actor.engine.base import Draw
from sharpen.actor.language import LanguageActor
from sharpen.actor.text import TextActor
from sharpen.errors import SharpenError
from sharpen.numbers import NotFinite
from sharpen.parallel.world import World
from sharpen.types import Batch, Problem, Scored, Segment, Sets, Trace

Both = tuple[Tensor, dict[str, Tensor]]


def sharded(actor: Actor, world: World) -> Sharded:
    """An actor of which every process has a copy, spread over them."""
    actor = _text(actor)
    device = next(actor.module.parameters()).device.type
    if device not in ("cpu", "cuda"):
        raise SharpenError(f"Several processes cannot train together on {device}. Use `--device cpu`, or one process.")
    return Sharded(actor, world)


def _text(actor: Actor) -> TextActor:
    if isinstance(actor, TextActor):
        return actor
    raise SharpenError(
        f"A {type(actor).__name__} is trained in one process: only language models (and value models made of them) can "
        "be spread over several. Start it without `torchrun`."
    )


class Replica(Actor):
    """A whole model in each process, which draws and scores that process's share; gradient never reaches it.

    `source` is the actor whose module it uses (a model without its adapters), which must be whole then.
    """

    def __init__(self, whole: TextActor, world: World, source: Sharded | None = None) -> None:
        self.whole = whole
        self.world = world
        self.module = whole.module
        self.source = source
        for name in ("rate", "agreement", "max_context", "max_tokens"):
            setattr(self, name, getattr(whole, name))

    def ready(self, exact: bool = True) -> TextActor:
        """The whole model; not `exact`: in the type it computes with, which is enough to draw and to score. All
        processes must ask for it at the same time.
        """
        if self.source is not None:
            self.source.ready(exact)
        return self.whole

    def undivided(self, exact: bool = True) -> TextActor:
        """The whole model as an actor of its own."""
        return self.ready(exact)

    # ------------------------------------------------------------------ shares

    @torch.no_grad()
    def sample(self, requests: Sequence[Request]) -> list[Segment]:
        """One segment a request, in order; each process draws a stretch of them.

        A draw depends on its own seed alone, but for the rounding of matrix products.
        """
        whole = self.ready(exact=False)
        if not isinstance(whole, LanguageActor):
            return whole.sample(requests)
        share = self.world.share(len(requests))
        try:
            mine = whole.draws(requests[share.start : share.stop])
        except NotFinite as error:
            error.item = None if error.item is None else error.item + share.start
            raise
        return whole.spoken(requests, self._joined(mine))

    def _joined(self, mine: list[Draw]) -> list[Draw]:
        """Everybody's draws."""
        heads = self.world.join(torch.tensor([[len(d.tokens), d.end == "stop"] for d in mine]).view(-1, 2).long())
        none = torch.zeros(0, dtype=torch.long)
        tokens = self.world.join(torch.cat([none, *(d.tokens for d in mine)]))
        columns = [torch.stack([d.logp, d.logp_full, d.entropy], 1) for d in mine]
        numbers = self.world.join(torch.cat([torch.zeros(0, 3), *columns]))
        lengths = heads[:, 0].tolist()
        parts = zip(heads[:, 1].tolist(), torch.split(tokens, lengths), torch.split(numbers, lengths), strict=True)
        return [
            Draw(t.clone(), n[:, 0].clone(), n[:, 1].clone(), n[:, 2].clone(), "stop" if stopped else "length")
            for stopped, t, n in parts
        ]

    def score(self, batch: Batch, wants: Sequence[str] = ()) -> Scored:
        """What the whole model says."""
        return self.ready(exact=False).score(batch, wants)

    # ------------------------------------------------------------------ the same in every process

    def decode(self, tokens: Sequence[int]) -> str:
        """As the model's own."""
        return self.whole.decode(tokens)

    def prompt(self, problem: Problem) -> list[Segment]:
        """As the model's own."""
        return self.whole.prompt(problem)

    def start(self, rng: random.Random) -> list[Segment]:
        """As the model's own."""
        return self.whole.start(rng)

    def say(self, text: str, role: str = "user") -> Segment:
        """As the model's own."""
        return self.whole.say(text, role)

    def given(self, text: str) -> Segment:
        """As the model's own."""
        return self.whole.given(text)

    def spare(self, name: str = "") -> Segment:
        """As the model's own."""
        return self.whole.spare(name)

    @property
    def longest(self) -> int:
        """As the model's own."""
        return self.whole.longest

    def size(self, trace: Trace) -> int:
        """As the model's own."""
        return self.whole.size(trace)

    def collate(
        self, traces: Sequence[Trace], groups: Tensor, columns: Sequence[str], sets: Sets | None = None
    ) -> Batch:
        """As the model's own."""
        return self.whole.collate(traces, groups, columns, sets)

    # ------------------------------------------------------------------ weights

    def parameters(self) -> list[tuple[str, nn.Parameter]]:
        """None: gradient never reaches it."""
        return []

    def weights(self) -> dict[str, Tensor]:
        """Whole, in every process."""
        return self.ready().weights()

    def load_weights(self, weights: dict[str, Tensor]) -> None:
        """In every process."""
        self.ready().load_weights(weights)

    def freeze(self, *, still: bool = True) -> Replica:
        """A copy in each process."""
        return Replica(_text(self.ready().freeze(still=still)), self.world)

    def twin(self) -> Sharded:
        """A copy that is trained on its own, sharded too."""
        return sharded(self.ready().twin(), self.world)

    def export(self, folder: Any) -> None:
        """The main process writes; the others must ask for it too."""
        whole = self.ready()
        if self.world.main:
            whole.export(folder)


class Sharded(Replica):
    """A model that is trained: FSDP2 keeps a piece of every parameter in each process."""

    def __init__(self, whole: TextActor, world: World) -> None:
        super().__init__(whole, world)
        for p in whole.module.parameters():
            world.settle(p.detach())
        # the trained module takes the parameters over as they are; its pieces are cut from them
        mine = {id(p): nn.Parameter(p.detach(), p.requires_grad) for p in whole.module.parameters()}
        self.trained = whole.around(copy.deepcopy(whole.module, mine))
        self._root = _Root(self.trained.module)
        _shard(self._root, self.trained.blocks(), world.size, whole.compute)
        self._there: Literal["exact", "narrow", "no"] = "exact"
        self._release()

    def ready(self, exact: bool = True) -> TextActor:
        """The whole model, gathered if it is not there, or not there as it is asked for."""
        if self._there != "exact" and (exact or self._there != "narrow"):
            narrow = None if exact else self.whole.compute
            pieces = dict(self.trained.module.named_parameters())
            with torch.no_grad():
                for name, p in self.whole.module.named_parameters():
                    p.data = pieces[name].full_tensor().to(narrow)  # type: ignore[operator]
            self._there = "exact" if exact else "narrow"
        return self.whole

    def _release(self) -> None:
        if self._there != "no":
            for p in self.whole.module.parameters():
                p.data = p.data.new_empty(0)
            self._there = "no"

    def changed(self) -> None:
        """What was gathered is out of date."""
        self._release()

    def score(self, batch: Batch, wants: Sequence[str] = ()) -> Scored:
        """With gradient through FSDP: all processes must make the same number of passes, each with its backward."""
        if not torch.is_grad_enabled():
            return super().score(batch, wants)
        self._release()

        def work() -> Both:
            said = self.trained.score(batch, wants)
            # FSDP hangs its hooks on these, which a view may lose
            return said.logp.clone(), {name: x.clone() for name, x in said.extra.items()}

        return Scored(*self._root(work))

    def parameters(self) -> list[tuple[str, nn.Parameter]]:
        """This process's pieces."""
        return self.trained.parameters()

    def load_weights(self, weights: dict[str, Tensor]) -> None:
        """Each process keeps its pieces of them."""
        whole = self.ready()
        whole.load_weights(weights)
        pieces = dict(self.trained.module.named_parameters())
        with torch.no_grad():
            for name, tensor in whole.weights().items():
                pieces[name].copy_(self.world.like(tensor, pieces[name]))

    def freeze(self, *, still: bool = True) -> Replica:
        """A copy in each process; a model with fresh adapters lends its own module, as in one process."""
        twin = _text(self.ready().freeze(still=still))
        return Replica(twin, self.world, self if twin.module is self.module else None)


class _Root(nn.Module):
    """Whatever is computed with a module, as one forward pass of it, which is what FSDP watches."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, work: Callable[[], Both]) -> Both:
        return work()


def _shard(root: nn.Module, blocks: Sequence[nn.Module], size: int, compute: torch.dtype) -> None:
    """Cut parameters in pieces: each block is gathered by itself, what is left with the root.

    They are rounded to `compute` before they are gathered, as `sharpen.actor.precision.rounded` does in one process;
    gradients are summed over processes in float32.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    mesh = init_device_mesh(next(root.parameters()).device.type, (size,))
    policy = MixedPrecisionPolicy(param_dtype=compute, reduce_dtype=torch.float32, cast_forward_inputs=False)
    for module in (*blocks, root):
        fully_shard(module, mesh=mesh, mp_policy=policy)
