"""The local sampling engine: a decode loop of our own around the model that is being trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from sharpen.actor.engine.base import Draw, Engine, Prompt, room_of
from sharpen.actor.engine.causal import CausalModel, Prefilled
from sharpen.actor.engine.pick import Picked, pick
from sharpen.actor.engine.queue import Queue
from sharpen.actor.engine.rows import Rows
from sharpen.actor.engine.slots import SlotCache
from sharpen.actor.engine.stop import StopStrings
from sharpen.errors import SharpenError
from sharpen.maths import uniforms
from sharpen.numbers import NotFinite


class LocalEngine(Engine):
    """Samples from a causal language model of `transformers` that lives in this process.

    `end_tokens` end a sample. `pad_token` fills rows of unequal prompts and is never looked at. `max_context` is the
    number of tokens a prompt and its sample may have together. `decode` turns tokens into text, for stop strings. At
    most `max_rows` samples are alive at once; others start as those end, once an eighth of the rows is free, because a
    forward pass over few prompts costs nearly as much as one over many.
    """

    exact = True

    def __init__(
        self,
        model: Any,
        *,
        end_tokens: frozenset[int],
        pad_token: int,
        max_context: int,
        decode: Callable[[Sequence[int]], str],
        max_rows: int = 512,
    ) -> None:
        if max_rows < 1:
            raise SharpenError(f"The local engine was given max_rows={max_rows}; it needs at least 1.")
        self.causal = CausalModel(model, pad_token)
        self.end_tokens = end_tokens
        self.max_context = max_context
        self.decode = decode
        self.max_rows = max_rows

    def sync(self, weights: Mapping[str, Tensor]) -> dict[str, int]:
        """Nothing: it samples from the trainer's own parameters, and keeps nothing from one call to the next."""
        return {}

    def generate(self, prompts: Sequence[Prompt]) -> list[Draw]:
        """One `Draw` for each prompt, in their order.

        Equal prompts go through the model once. `SharpenError` for a prompt without room for a sample and for settings
        that mean nothing or that this engine cannot serve.
        """
        limits = [room_of(p, self.max_context) for p in prompts]
        if not prompts:
            return []
        with self.causal.sampling():
            decoding = _Decoding(self, prompts, limits)
            decoding.run()
            columns = [torch.cat(c).cpu() for c in zip(*decoding.record, strict=True)]
        if not bool(columns[3].isfinite().all()):
            raise NotFinite(
                "The local engine drew from logits that are not numbers (NaN or infinite): the model's weights have "
                "diverged, or overflow in half precision. Go back to an earlier checkpoint, or load the model in "
                "float32 or bfloat16.",
                item=int(columns[0][(~columns[3].isfinite()).int().argmax()]),
            )
        # outside inference mode: tensors made inside could not take part in a loss
        request = columns[0]
        order = request.argsort(stable=True)
        counts = torch.bincount(request, minlength=len(prompts)).tolist()
        split = [torch.split(column[order], counts) for column in columns[1:]]
        draws = []
        for i, parts in enumerate(zip(*split, strict=True)):
            # copies, for a view would keep (and pickle) what all the others share
            tokens, logp, logp_full, entropy = (part.clone() for part in parts)
            draws.append(Draw(tokens, logp, logp_full, entropy, self._end(int(tokens[-1]), i in decoding.stopped)))
        return draws

    def _end(self, last: int, stopped: bool) -> Literal["stop", "length"]:
        return "stop" if stopped or last in self.end_tokens else "length"


class _Decoding:
    """The state of one call: rows alive, their cache, what was drawn, and what waits."""

    def __init__(self, engine: LocalEngine, prompts: Sequence[Prompt], limits: Sequence[int]) -> None:
        self.causal = engine.causal
        device = engine.causal.device
        self.slots = min(engine.max_rows, len(prompts))
        self.cache = SlotCache(self.slots, max(len(p.tokens) + n for p, n in zip(prompts, limits, strict=True)))
        self.queue = Queue([p.tokens for p in prompts])
        self.waiting = Rows.of(prompts, limits, device)
        self.alive = self.waiting.take(torch.empty(0, dtype=torch.long, device=device))
        self.names: list[int] = []
        self.reach = 0
        self.chunk: tuple[Prefilled, list[tuple[int, int]]] | None = None
        self.record: list[tuple[Tensor, ...]] = []
        self.stopped: set[int] = set()
        self.ends = torch.tensor(sorted(engine.end_tokens), dtype=torch.long, device=device)
        finders = {s: StopStrings(s, engine.decode) for s in {p.sampling.stop for p in prompts} if s}
        self.watched = {i: finders[p.sampling.stop] for i, p in enumerate(prompts) if p.sampling.stop}
        self.spoken: dict[int, list[int]] = {i: [] for i in self.watched}
        self.cut = frozenset(i for i, p in enumerate(prompts) if p.sampling.top_k or p.sampling.top_p < 1)
        self.cutting = False

    def run(self) -> None:
        """Start, step and drop rows until nothing waits and nothing lives."""
        while True:
            free = self.slots - len(self.names)
            if (self.chunk or self.queue) and (not self.names or free >= max(1, self.slots // 8)):
                start, logits = len(self.names), self.admit(free)
            elif self.names:
                start = 0
                at = self.alive.prompt + self.alive.drawn - 1
                logits = self.causal.step(self.alive.token, at, self.reach, self.cache)
            else:
                return
            self.drop(self.draw(start, logits))

    def admit(self, free: int) -> Tensor:
        """Start up to `free` samples of prompts gone through the model together; returns their logits."""
        if self.chunk is None:
            tokens, members = self.queue.next(free)
            self.chunk = (self.causal.prefill(tokens), members)
        done, members = self.chunk
        now, later = members[:free], members[free:]
        self.chunk = (done, later) if later else None
        device = self.alive.request.device
        owner = torch.tensor([row for row, _ in now], device=device)
        self.cache.fill(len(self.names), owner, done.keys, done.values)
        self.alive = self.alive.join(self.waiting.take(torch.tensor([i for _, i in now], device=device)))
        self.names += [i for _, i in now]
        self.changed()
        return done.logits.index_select(0, owner)

    def changed(self) -> None:
        """Note what depends on which rows are alive: where the longest ends, and whether one is truncated."""
        self.reach = int((self.alive.prompt + self.alive.drawn).max()) if self.names else 0
        self.cutting = not self.cut.isdisjoint(self.names)

    def draw(self, start: int, logits: Tensor) -> list[int]:
        """Draw a token for the rows from `start` on; returns which of them ended."""
        new = self.alive.behind(start)
        cut = (new.top_k, new.top_p) if self.cutting else (None, None)
        got: Picked = pick(logits, uniforms(new.seed, new.drawn, check=False), new.temperature, *cut)
        self.record.append((new.request, *got))
        # views of the rows alive: written in place
        new.token.copy_(got.token)
        new.drawn.add_(1)
        over = torch.isin(got.token, self.ends) | (new.drawn >= new.limit)
        ended = over.nonzero().squeeze(1).tolist()
        if self.watched:
            ended = sorted({*ended, *self.matched(start, got.token.tolist())})
        if start:
            self.changed()
        else:
            self.reach += 1
        return [start + i for i in ended]

    def matched(self, start: int, tokens: list[int]) -> list[int]:
        """Which rows from `start` on have just completed a stop string."""
        found = []
        for i, name in enumerate(self.names[start:]):
            finder = self.watched.get(name)
            if finder is not None:
                self.spoken[name].append(tokens[i])
                if finder.completed(self.spoken[name]):
                    found.append(i)
                    self.stopped.add(name)
        return found

    def drop(self, ended: list[int]) -> None:
        """Fill the slots of rows that ended with the last rows alive, so that those alive are the first ones again.

        This moves no more rows than ended, and moving a row costs no more than computing it for one or two further
        tokens (benchmarks/sampling.py measures both), so it is done after every step in which a row ended.
        """
        if not ended:
            return
        gone = set(ended)
        left = len(self.names) - len(gone)
        holes = [i for i in ended if i < left]
        movers = [i for i in range(left, len(self.names)) if i not in gone]
        order = list(range(left))
        for hole, mover in zip(holes, movers, strict=True):
            order[hole] = mover
        device = self.alive.request.device
        if holes:
            self.cache.move(torch.tensor(movers, device=device), torch.tensor(holes, device=device), self.reach)
        self.alive = self.alive.take(torch.tensor(order, dtype=torch.long, device=device))
        self.names = [self.names[i] for i in order]
        self.changed()
