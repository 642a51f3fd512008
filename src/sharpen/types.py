"""What flows through a run: problems, segments, traces, groups; and what reaches a loss: batches and scores.

Everything here is plain data. A stage receives groups and returns groups, writing rewards on traces and columns on
segments; an actor lays traces out as a `Batch` only when an update is about to be made.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

Unit = Literal["atom", "segment", "trace", "episode", "group", "batch"]
"""Units of credit, rewards, ratios, reductions and losses, from the smallest to the largest."""

End = Literal["stop", "length", "cut", "error"]
"""How a trace ended: by itself, at a token limit, cut by a search or a filter, or by a failure outside the model."""

Message = Mapping[str, str]
"""One message of a conversation: `{"role": "user", "content": "..."}`."""


@dataclass(frozen=True)
class Problem:
    """One thing to solve.

    `key` names it for curricula and logs and is the same in every epoch. `prompt` is a string, a sequence of messages,
    or whatever the actor of another modality understands; a last message of the assistant's is the beginning of the
    answer, which the model goes on with. `solution` is a worked solution, one string a step, the last of which gives
    the answer. `parent` is the key of the problem from whose trace this one was made.
    """

    key: str
    prompt: Any
    answer: Any = None
    solution: tuple[str, ...] | None = None
    info: Mapping[str, Any] = field(default_factory=dict)
    parent: str | None = None


def opening(prompt: Any) -> tuple[Any, str]:
    """A prompt without the beginning of the answer, and that beginning: a last message of the assistant's, else ''."""
    last = prompt[-1] if isinstance(prompt, (list, tuple)) and prompt else None
    if isinstance(last, Mapping) and last.get("role") == "assistant":
        return prompt[:-1], last["content"]
    return prompt, ""


@dataclass(frozen=True)
class Sampling:
    """The distribution atoms were drawn from; a log-prob means nothing without it.

    `temperature` 0 is greedy. `max_tokens` 0 leaves the limit to the actor. `support` names a restriction of the
    alternatives other than top-p and top-k (a constrained decoder); `method` how the draw was made.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    max_tokens: int = 0
    stop: tuple[str, ...] = ()
    support: str = "all"
    method: str = "sample"

    @property
    def full(self) -> bool:
        """Whether every atom could be drawn, so that the density drawn from is the policy's own."""
        return self.top_p >= 1.0 and self.top_k == 0 and self.support == "all" and self.temperature > 0


@dataclass(eq=False)
class Segment:
    """One stretch of a trace: tokens `int64[n]`, or latents `float32[n, ...]` of a denoising chain.

    `trainable` (may gradient reach it?) and `by` with `logp` (who drew it, with which log-probs?) are two facts. Trees
    are traces that share segment objects. `fresh` starts a new context: what came before is not seen by what follows.
    `moved` marks atoms drawn in another context than the one they stand in; a ratio over them is refused unless the
    loss says how to treat them. `cols` holds one `float32[n]` per named per-atom column.
    """

    atoms: Tensor
    trainable: bool = False
    logp: Tensor | None = None
    drawn: Sampling | None = None
    by: str = "data"
    role: str = "user"
    text: str | None = None
    state: Hashable = None
    reward: float = 0.0
    fresh: bool = False
    moved: bool = False
    cols: dict[str, Tensor] = field(default_factory=dict)
    info: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return int(self.atoms.shape[0])

    def put(self, name: str, value: float | Tensor) -> None:
        """Write the column `name`: one value for every atom, or one tensor of them."""
        if isinstance(value, Tensor) and value.dim():
            if value.shape[0] != len(self):
                raise ValueError(f"column {name!r} has {value.shape[0]} entries for {len(self)} atoms")
            self.cols[name] = value.to(torch.float32)
        else:
            self.cols[name] = torch.full((len(self),), float(value), dtype=torch.float32)


@dataclass(eq=False)
class Trace:
    """Segments along one path, what they earned, and how they ended.

    `rewards` are raw and named, each in the range its task states; `reward` is the total that a recipe made of them
    (None until one did). `solved` is the task's verdict. `episode` ties traces that belong together (speakers, context
    windows).
    """

    problem: Problem
    segments: list[Segment]
    rewards: dict[str, float] = field(default_factory=dict)
    reward: float | None = None
    solved: bool | None = None
    end: End = "stop"
    agent: str = "policy"
    episode: str | None = None
    info: dict[str, Any] = field(default_factory=dict)

    @property
    def actions(self) -> list[Segment]:
        """The segments gradient may reach."""
        return [s for s in self.segments if s.trainable]

    @property
    def text(self) -> str:
        """The answer: the text of the segments that may be trained on, in order, and of an opening that was given.

        An answer that was begun for the model (a hint) is read whole, though the opening is not trained.
        """
        return "".join(s.text or "" for s in self.segments if s.trainable or s.role == "opening")

    @property
    def length(self) -> int:
        """Number of trainable atoms."""
        return sum(len(s) for s in self.actions)


@dataclass(eq=False)
class Group:
    """The traces of one problem. `cols` holds `n x n` tensors of pairwise judgements."""

    problem: Problem
    traces: list[Trace] = field(default_factory=list)
    cols: dict[str, Tensor] = field(default_factory=dict)
    info: dict[str, Any] = field(default_factory=dict)


@dataclass(eq=False)
class Sets:
    """Sets of rows that a loss compares (a pair is a set of two, best first), each with numbers of its own.

    `members[i]` are indices into the rows; `cols[name]` is `float32[len(members)]`.
    """

    members: list[tuple[int, ...]]
    cols: dict[str, Tensor] = field(default_factory=dict)

    def take(self, chosen: Sequence[int]) -> tuple[list[int], Sets]:
        """The sets `chosen`, with their rows renumbered from 0, and those rows' old numbers."""
        rows = list(dict.fromkeys(r for i in chosen for r in self.members[i]))
        new = {r: k for k, r in enumerate(rows)}
        members = [tuple(new[r] for r in self.members[i]) for i in chosen]
        index = torch.tensor(list(chosen), dtype=torch.long)
        return rows, Sets(members, {name: col[index] for name, col in self.cols.items()})


@dataclass(eq=False)
class Batch:
    """Trainable atoms of some traces, flat: entry `i` of every column belongs to the same atom.

    There is no padding and no mask: atoms nobody trains are context, known only to `data`, the actor's own layout.
    `segment[i]` and `trace[i]` say what atom `i` belongs to (both count from 0 in order), `group[t]` gives the group of
    trace `t`. An unknown value of a column (no behaviour log-prob, say) is NaN.
    """

    traces: list[Trace]
    cols: dict[str, Tensor]
    segment: Tensor
    trace: Tensor
    group: Tensor
    data: dict[str, Any]
    sets: Sets | None = None

    def __len__(self) -> int:
        return int(self.trace.shape[0])

    def ids(self, unit: Unit) -> Tensor:
        """`int64[N]`: which unit each atom belongs to, counted from 0."""
        if unit == "atom":
            return torch.arange(len(self))
        if unit == "segment":
            return self.segment
        if unit == "trace":
            return self.trace
        if unit == "group":
            return self.group[self.trace]
        if unit == "batch":
            return torch.zeros(len(self), dtype=torch.long)
        raise ValueError(f"a batch does not know the unit {unit!r}")

    def count(self, unit: Unit) -> int:
        """How many units there are; traces without a trainable atom count."""
        if unit == "trace":
            return len(self.traces)
        ids = self.ids(unit)
        return int(ids.max()) + 1 if len(ids) else 0


@dataclass(eq=False)
class Scored:
    """What an actor says of a batch now, with gradient: `logp[N]`, and the extras that were asked for by name."""

    logp: Tensor
    extra: dict[str, Tensor] = field(default_factory=dict)
