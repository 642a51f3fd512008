"""What language models share as actors: text to tokens once, traces to rows, weights, and their arithmetic.

What the model drew is never tokenised again: later turns are appended to the very tokens it drew, so the log-probs of a
conversation are those of the conversation that took place.
"""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from sharpen.actor.adapters import merged
from sharpen.actor.base import Actor
from sharpen.actor.engine.causal import FULL, attention_kinds
from sharpen.actor.precision import attend_in_float32, in_pieces, recomputes, rounded
from sharpen.actor.prefix import hidden_states, shared
from sharpen.errors import SharpenError
from sharpen.types import Batch, Problem, Segment, Sets, Trace, opening

TURNS = ({"role": "user", "content": "."}, {"role": "assistant", "content": "."})
"""The shortest conversation."""

PROMPTS = 4096
"""Prompts whose tokens an actor keeps, at most; then it forgets them all."""


class TextActor(Actor):
    """A transformer over tokens with its tokenizer and chat template; what it computes is its subclasses' business.

    `compute` is the type of all arithmetic but sums over the vocabulary (parameters stay as they were loaded). With
    `adapter=False` a model with LoRA adapters is used without them. `agreement` is how far, in mean absolute log-prob,
    rollout and training may differ.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        rate: float,
        max_context: int,
        max_tokens: int = 0,
        compute: torch.dtype = torch.float32,
        adapter: bool = True,
    ) -> None:
        self.module = model
        self.tokenizer = tokenizer
        self.rate = rate
        self.max_context = max_context
        self.max_tokens = max_tokens
        self.compute = compute
        self.adapter = adapter
        self.agreement = 1e-4 if compute == torch.float32 else 3e-2
        self._plain = model.get_base_model() if hasattr(model, "get_base_model") else model
        if compute != torch.float32:
            attend_in_float32(self._plain)
        self._ends = end_tokens(self._plain, tokenizer)
        self._full = attention_kinds(self._plain, self._plain.config.get_text_config(decoder=True)) == (FULL,)
        self._prompts: dict[Any, Tensor] = {}
        # a frozen copy trains nothing and still has these weights to hand over
        self._kept = [n for n, p in model.named_parameters() if p.requires_grad]

    @property
    def ends(self) -> list[int]:
        """The tokens that end a turn."""
        return list(self._ends)

    @property
    def plain(self) -> Any:
        """The model without adapters around it."""
        return self._plain

    def options(self) -> dict[str, Any]:
        """What it takes to wrap another model the same way."""
        names = ("rate", "max_context", "max_tokens", "compute", "adapter")
        return {n: getattr(self, n) for n in names}

    def around(self, module: Any) -> Self:
        """The same actor about a copy of its module, which shares all but that."""
        twin = copy.copy(self)
        twin.module = module
        twin._plain = module.get_base_model() if hasattr(module, "get_base_model") else module
        return twin

    def blocks(self) -> list[nn.Module]:
        """The layers of the model, as `transformers` names those that must stay in one piece."""
        names = set(getattr(self._plain, "_no_split_modules", None) or ())
        return [m for m in self._plain.modules() if type(m).__name__ in names]

    # ------------------------------------------------------------------ text

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens, without special ones."""
        text: str = self.tokenizer.decode(list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text

    def encode(self, text: str) -> list[int]:
        """Tokens of plain text, nothing added."""
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def _render(self, messages: Sequence[Any], generate: bool) -> list[int]:
        if self.tokenizer.chat_template is None:
            return self.encode("\n".join(m["content"] for m in messages) + ("\n" if generate else ""))
        try:
            text = self.tokenizer.apply_chat_template(
                [dict(m) for m in messages], tokenize=False, add_generation_prompt=generate
            )
        except Exception as error:  # a template is a program that came with the model, and can fail in any way
            raise SharpenError(
                f"The model's chat template failed ({type(error).__name__}: {' '.join(str(error).split())[:199]}). "
                "Mend it in the model's folder (chat_template.jinja, or tokenizer_config.json), or use another model."
            ) from error
        return self.encode(text)

    def prompt(self, problem: Problem) -> list[Segment]:
        """The problem through the chat template, up to where the model goes on: the beginning of its answer, where
        the prompt gives one, is a segment of its own.
        """
        p, begun = opening(problem.prompt)
        start = [Segment(torch.tensor(self.encode(begun)), role="opening", text=begun)] if begun else []
        key = p if isinstance(p, str) else tuple((m["role"], m["content"]) for m in p)
        if key not in self._prompts:
            messages = [{"role": "user", "content": p}] if isinstance(p, str) else p
            if len(self._prompts) >= PROMPTS:
                self._prompts.clear()
            self._prompts[key] = torch.tensor(self._render(messages, generate=True))
        tokens = len(self._prompts[key]) + sum(map(len, start))
        if tokens >= self.max_context:
            raise SharpenError(
                f"The prompt of problem {problem.key!r} has {tokens} tokens, and the model's context holds "
                f"{self.max_context}, answer included. Shorten or drop that problem, or use a model with a longer "
                "context."
            )
        text = p if isinstance(p, str) else p[-1]["content"]
        return [Segment(self._prompts[key], role="user", text=text), *start]

    def say(self, text: str, role: str = "user") -> Segment:
        """The tokens a conversation gains between the end of the model's turn and the start of its next one."""
        if self.tokenizer.chat_template is None:
            return Segment(torch.tensor(self.encode("\n" + text + "\n")), role=role, text=text)
        stem = self._render(TURNS, generate=False)
        whole = self._render([*TURNS, {"role": role, "content": text}], generate=True)
        # the model's own turn ends with its end token, so what follows that token in the template is what is still to
        # come
        ends = [i for i, t in enumerate(stem) if t in self._ends]
        start = ends[-1] + 1 if ends else len(stem)
        if whole[:start] != stem[:start]:
            raise SharpenError(
                "This model's chat template rewrites earlier turns when a later one is added, so a conversation "
                "cannot be "
                "continued on the tokens the model drew. Use a template that only appends, or single-turn tasks."
            )
        return Segment(torch.tensor(whole[start:]), role=role, text=text)

    def given(self, text: str) -> Segment:
        """A demonstration, complete with the token that ends a turn."""
        return Segment(torch.tensor([*self.encode(text), self._ends[0]]), trainable=True, role="assistant", text=text)

    def spare(self, name: str = "") -> Segment:
        """The token called `name`; without one the last special token that no conversation and no padding holds."""
        special = list(self.tokenizer.all_special_ids)
        used = {*self._ends, self.tokenizer.pad_token_id, *self._render(TURNS, generate=True)}
        free = sorted(t for t in special if t not in used)
        token = self.tokenizer.get_vocab().get(name) if name else next(reversed(free), None)
        if token is None:
            named = f"there is no token {name!r} in its vocabulary" if name else "all its special tokens are in use"
            raise SharpenError(
                f"The model has no spare token to say what it thinks of its answer: {named}. Name a token of its "
                "vocabulary that no text holds, a reserved one for instance (`--set Probe.token=...`)."
            )
        return Segment(torch.tensor([token]), trainable=True, by="probe", role="probe", text="")

    # ------------------------------------------------------------------ layout

    @property
    def longest(self) -> int:
        """The limit of a drawn segment, or of the context where there is none."""
        return self.max_tokens or self.max_context

    def size(self, trace: Trace) -> int:
        """Atoms of the longest context of a trace, what its row costs."""
        return max(sum(len(s) for s in row) for row in rows_of(trace))

    def collate(
        self, traces: Sequence[Trace], groups: Tensor, columns: Sequence[str], sets: Sets | None = None
    ) -> Batch:
        """One right-padded row a context; nothing after a row's end is seen by what stands before, so no mask is
        needed.
        """
        rows = [(b, row) for b, t in enumerate(traces) for row in rows_of(t)]
        width = max(sum(len(s) for s in row) for _, row in rows)
        ids = torch.full((len(rows), width), self.tokenizer.pad_token_id)
        where: list[Tensor] = []
        trained: list[Segment] = []
        owner: list[int] = []
        start, ends = [], []
        for r, (b, row) in enumerate(rows):
            at, first = 0, -1
            for s in row:
                n = len(s)
                ids[r, at : at + n] = s.atoms
                if s.trainable and n:
                    if at == 0:
                        raise SharpenError(
                            f"A trace of {traces[b].problem.key!r} begins with a trained token; give it a prompt."
                        )
                    first = at if first < 0 else first
                    where.append(torch.arange(r * width + at - 1, r * width + at - 1 + n))
                    trained.append(s)
                    owner.append(b)
                at += n
            # of a row that nobody trains on, nothing need be computed
            start.append(1 if first < 0 else first)
            ends.append(1 if first < 0 else at)
        lengths = torch.tensor([len(s) for s in trained], dtype=torch.long)
        heat = [s.drawn.temperature if s.drawn and s.drawn.temperature > 0 else 1.0 for s in trained]
        index = torch.cat(where) if where else torch.zeros(0, dtype=torch.long)
        return Batch(
            list(traces),
            {name: torch.cat([column_of(s, name) for s in trained]) if trained else torch.zeros(0) for name in columns},
            torch.arange(len(trained)).repeat_interleave(lengths),
            torch.tensor(owner, dtype=torch.long).repeat_interleave(lengths),
            groups,
            {
                "ids": ids,
                "where": index,
                "start": torch.tensor(start),
                "ends": torch.tensor(ends),
                "targets": torch.cat([s.atoms for s in trained]) if trained else index,
                "temperature": torch.tensor(heat, dtype=torch.float32).repeat_interleave(lengths),
            },
            sets,
        )

    def states(self, d: dict[str, Tensor], shifts: Sequence[int] = (0,)) -> Tensor:
        """The last hidden states before each of N trained atoms, or so many places behind that, `[shifts * N, H]`.

        `d` is a batch's data. Prompts that several rows share are computed once where that saves enough.
        """
        decoder, ids = self._plain.get_decoder(), d["ids"]
        where = torch.cat([d["where"] + shift for shift in shifts])
        if self._full and len(where) and not recomputes(self.module) and not in_pieces(self.module):
            how = shared(ids, d["start"], d["ends"])
            if how is not None:
                states: Tensor = hidden_states(decoder, how, where, ids.shape[1])
                return states
        hidden: Tensor = decoder(input_ids=ids, use_cache=False).last_hidden_state
        return hidden.flatten(0, 1).index_select(0, where)

    @contextlib.contextmanager
    def _mode(self) -> Iterator[None]:
        """The arithmetic both rollout and training use, adapters off where this actor is the model without them."""
        device = next(self.module.parameters()).device
        with contextlib.ExitStack() as stack:
            if self.compute != torch.float32 and not in_pieces(self.module):
                autocast = torch.autocast(device.type, dtype=self.compute)
                stack.enter_context(autocast if recomputes(self.module) else rounded(self.module, self.compute))
            if not self.adapter:
                stack.enter_context(self.module.disable_adapter())
            yield

    # ------------------------------------------------------------------ weights

    def parameters(self) -> list[tuple[str, nn.Parameter]]:
        """What gradient may reach."""
        return [(n, p) for n, p in self.module.named_parameters() if p.requires_grad]

    def weights(self) -> dict[str, Tensor]:
        """The trainable parameters (with adapters only these), each once."""
        mine = dict(self.module.named_parameters())
        return {n: mine[n].detach() for n in self._kept}

    @torch.no_grad()
    def load_weights(self, weights: dict[str, Tensor]) -> None:
        """Copy in place, so that the engine and the optimiser see the same parameters."""
        mine = self.weights()
        if mine.keys() != weights.keys():
            odd = sorted(mine.keys() ^ weights.keys())[:3]
            raise SharpenError(
                f"The checkpoint's weights are of another model: {', '.join(odd)} ... stand in only one of the two. "
                "Resume with "
                "the model and LoRA options the run was started with."
            )
        for name, tensor in mine.items():
            if tensor.shape != weights[name].shape:
                raise SharpenError(
                    f"The checkpoint's {name} has shape {tuple(weights[name].shape)}, the model's "
                    f"{tuple(tensor.shape)}: "
                    "it is of another model. Resume with the model the run was started with."
                )
            tensor.copy_(weights[name])
        self.changed()

    def export(self, folder: Path) -> None:
        """A Hugging Face folder: weights in float32 (adapters merged), configuration, tokenizer with its template."""
        weights = {n: p.float().cpu() for n, p in merged(self.module)}
        self._plain.save_pretrained(folder, state_dict=weights, safe_serialization=True)
        config = Path(folder) / "config.json"  # names the type the model was held in
        config.write_text(json.dumps(json.loads(config.read_text()) | {"dtype": "float32"}, indent=2) + "\n")
        self.tokenizer.save_pretrained(folder)


def end_tokens(model: Any, tokenizer: Any) -> list[int]:
    """The tokens that end a turn, the tokenizer's own first."""
    out = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    for config in (getattr(model, "generation_config", None), model.config):
        more = getattr(config, "eos_token_id", None)
        out += [] if more is None else [more] if isinstance(more, int) else list(more)
    if not out:
        raise SharpenError(
            "The tokenizer has no end-of-text token and the model's configuration names none, so an answer could "
            "never end. "
            "Set `eos_token` in the model folder's tokenizer_config.json."
        )
    return list(dict.fromkeys(out))


def rows_of(trace: Trace) -> list[list[Segment]]:
    """A trace's contexts: a new one begins at each fresh segment."""
    rows: list[list[Segment]] = [[]]
    for s in trace.segments:
        if s.fresh and rows[-1]:
            rows.append([])
        rows[-1].append(s)
    return rows


def column_of(segment: Segment, name: str) -> Tensor:
    """A segment's column, NaN where it is unknown; the behaviour log-prob of moved atoms is not known here."""
    if name in segment.cols and not (name in ("logp_old", "mismatch") and segment.moved):
        return segment.cols[name]
    return torch.full((len(segment),), float("nan"))
