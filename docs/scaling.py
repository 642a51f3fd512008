"""The arithmetic behind scaling.md: what a model takes and how fast it can be, from its shape alone.

Everything here is in bytes, floating-point operations and seconds. tests/docs/test_scaling.py holds it against models
that are built and run.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE.parent / "benchmarks" / "results"
GB = 1e9


@dataclass(frozen=True)
class Shape:
    """A decoder of the Qwen2.5 kind: grouped queries with biases, gated inner layers."""

    name: str
    hidden: int
    layers: int
    heads: int
    kv: int
    inner: int
    vocab: int
    tied: bool = False
    dim: int = 128

    @property
    def products(self) -> int:
        """Parameters of a layer's matrices."""
        q, kv = self.heads * self.dim, self.kv * self.dim
        return self.hidden * (q + 2 * kv) + q * self.hidden + 3 * self.hidden * self.inner

    @property
    def block(self) -> int:
        """Parameters of a layer: matrices, biases of queries, keys and values, two norms."""
        return self.products + (self.heads + 2 * self.kv) * self.dim + 2 * self.hidden

    @property
    def ends(self) -> int:
        """Parameters of the embeddings and the last norm."""
        return (1 if self.tied else 2) * self.vocab * self.hidden + self.hidden

    @property
    def parameters(self) -> int:
        """All of them."""
        return self.layers * self.block + self.ends

    def adapters(self, rank: int) -> int:
        """Parameters of LoRA around every linear layer of the blocks."""
        q, kv = self.heads * self.dim, self.kv * self.dim
        sides = (self.hidden + q) + 2 * (self.hidden + kv) + (q + self.hidden) + 3 * (self.hidden + self.inner)
        return self.layers * rank * sides

    @property
    def kept(self) -> int:
        """Bytes of keys and values of a token, in two bytes a number."""
        return 2 * 2 * self.layers * self.kv * self.dim

    @property
    def saved(self) -> int:
        """Bytes that a layer keeps of a token for its backward pass, in two bytes a number.

        Each norm: its input in four bytes and the normed one in two. Inputs of the linear layers. Attention: queries,
        keys, values, its output and that once more in order. Inner layer: gate, its activation, the other half, and
        their product.
        """
        q, kv = self.heads * self.dim, self.kv * self.dim
        norms, inputs = 2 * (4 + 2) * self.hidden, 2 * 2 * self.hidden
        attention = 2 * (q + 2 * kv) + 2 * 2 * q
        return norms + inputs + attention + 4 * 2 * self.inner

    def activations(self, tokens: int, checkpointing: bool) -> float:
        """Bytes kept for the backward pass of a micro-batch: of all layers, or each one's input and one made anew."""
        if checkpointing:
            return tokens * (self.layers * 2 * self.hidden + self.saved)
        return tokens * self.layers * self.saved

    def work(self, context: float) -> float:
        """Operations of a token's forward pass behind `context` others: products with weights, and attention."""
        weights = self.layers * self.products + self.vocab * self.hidden
        return 2 * weights + 4 * self.layers * self.heads * self.dim * context


SHAPES = (
    Shape("0.5 B", 896, 24, 14, 2, 4864, 151936, tied=True, dim=64),
    Shape("1.5 B", 1536, 28, 12, 2, 8960, 151936, tied=True),
    Shape("7 B", 3584, 28, 28, 4, 18944, 152064),
    Shape("14 B", 5120, 48, 40, 8, 13824, 152064),
    Shape("32 B", 5120, 64, 40, 8, 27648, 152064),
    Shape("70 B", 8192, 80, 64, 8, 29568, 152064),
)
"""The sizes of Qwen2.5; the last is usually called 72 B."""

TOKENS, RANK = 8192, 32
"""Of a micro-batch (the default of `--micro-tokens`); of adapters."""


def held(shape: Shape, processes: int = 1, lora: bool = False, reference: bool = True) -> float:
    """Bytes of weights, gradients, moments and copies in one process, with `--dtype bfloat16`.

    A trained parameter: weight, gradient, two moments of 4 bytes each, and while it computes its rounded copy (2). In
    several processes the first four are shared out, and each draws and scores with a whole copy (2). A reference is
    one more copy (2); with adapters it is the model without them.
    """
    p = shape.parameters
    if lora:
        return 2 * p + 18 * shape.adapters(RANK)
    return 16 * p / processes + 2 * p + (2 * p if reference else 0)


def needed(shape: Shape, processes: int = 1, lora: bool = False, reference: bool = True) -> float:
    """Bytes that training takes in one process: what is held, and activations of a micro-batch made anew."""
    return held(shape, processes, lora, reference) + shape.activations(TOKENS, checkpointing=True)


@dataclass(frozen=True)
class Device:
    """An accelerator as its maker describes it."""

    name: str
    memory: float
    bandwidth: float
    rate: float


H100 = Device("H100", 80 * GB, 3.35e12, 989e12)
SHARE = 0.4
"""The share of its rate that training is taken to reach."""

PROBLEMS, SAMPLES, PROMPT, ANSWER = 64, 16, 200, 1000
"""An iteration that stands for many: as large as published GRPO runs."""


def update_seconds(shape: Shape, device: Device, processes: int = 1) -> float:
    """Of the update of an iteration: a forward and a backward pass (twice the work) over prompts and answers."""
    tokens = PROBLEMS * SAMPLES * (PROMPT + ANSWER)
    return 3 * tokens * shape.work((PROMPT + ANSWER) / 2) / (SHARE * device.rate * processes)


def sampling_seconds(shape: Shape, device: Device, at_once: int) -> float:
    """The least time in which one device draws the samples of an iteration, `at_once` of them at a time.

    Each token of a batch reads all weights once and the keys and values of every row: memory bounds it, not the rate.
    """
    rows = PROBLEMS * SAMPLES
    middle = PROMPT + ANSWER / 2
    a_token = (2 * shape.parameters + at_once * middle * shape.kept) / device.bandwidth
    return rows / at_once * ANSWER * a_token


def rows_at_once(shape: Shape, free: float) -> int:
    """How many samples have room for their keys and values, at most all of an iteration."""
    return min(PROBLEMS * SAMPLES, max(0, int(free // ((PROMPT + ANSWER) * shape.kept))))


# ---------------------------------------------------------------------- tables


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """In Markdown, the first column to the left and figures to the right."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, rule, *rows])


def gb(x: float) -> str:
    """Gigabytes, two figures or more."""
    return f"{x / GB:.1f}" if x < 10 * GB else f"{x / GB:,.0f}"


def seconds(x: float) -> str:
    """Two figures."""
    return f"{x:.1f} s" if x < 10 else f"{x:.0f} s" if x < 600 else f"{x / 60:.0f} min"


def memory_table() -> str:
    """What training holds, without activations."""
    rows = []
    for s in SHAPES:
        each = [held(s), held(s, 8), held(s, 8, reference=False), held(s, lora=True)]
        rows.append([s.name, f"{s.parameters / 1e9:.2f}", *map(gb, each)])
    head = ["model", "10^9 parameters", "1 process", "each of 8", "each of 8, no reference", f"LoRA of rank {RANK}"]
    return table(head, rows)


def activation_table() -> str:
    """What a micro-batch adds, and what a token of a sample does."""
    rows = [
        [
            s.name,
            gb(s.activations(TOKENS, False)),
            gb(s.activations(TOKENS, True)),
            f"{s.kept / 1e3:.0f}",
            gb(1000 * s.kept * 256),
        ]
        for s in SHAPES
    ]
    head = ["model", "activations", "with `--checkpointing`", "kB of a token's keys and values", "256 samples of 1 000"]
    return table(head, rows)


def fit_table() -> str:
    """The fewest GPUs of 80 GB on which training fits."""

    def least(shape: Shape, reference: bool) -> str:
        fits = [n for n in (1, 2, 4, 8, 16, 32, 64) if needed(shape, n, reference=reference) <= 0.95 * H100.memory]
        return str(fits[0]) if fits else "does not fit"

    rows = [
        [
            s.name,
            least(s, True),
            least(s, False),
            "yes" if needed(s, lora=True) <= 0.95 * H100.memory else "no",
            "yes" if needed(s, lora=True) <= 0.95 * 24 * GB else "no",
        ]
        for s in SHAPES
    ]
    return table(["model", "all weights", "all weights, no reference", "LoRA on 80 GB", "LoRA on 24 GB"], rows)


def time_table() -> str:
    """Bounds of an iteration on H100s."""
    rows = []
    for s in SHAPES:
        n = rows_at_once(s, 0.9 * H100.memory - 2 * s.parameters)
        drawn = sampling_seconds(s, H100, n) if n else None
        update = update_seconds(s, H100)
        many = f"{drawn / update:.1f}" if drawn else ""
        rows.append(
            [s.name, str(n), seconds(drawn) if drawn else "does not fit", seconds(update), many, gb(2 * s.parameters)]
        )
    head = [
        "model",
        "samples at once",
        "sampling, at least",
        "update",
        "sampling over update",
        "GB a sync",
    ]
    return table(head, rows)


def figures(name: str) -> dict[str, Any]:
    """What a benchmark left."""
    found: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))["figures"]
    return found


def ahead_table() -> str:
    """Drawing in the trainer, on a worker, and ahead."""
    found = figures("ahead")
    alone = found["local"]["seconds"]
    rows = [
        [name, f"{f['seconds']:.2f} s", f"{f['seconds'] / alone:.2f}", f"{f['reward']:.3f}", f"{f['held out']:.3f}"]
        for name, f in found.items()
    ]
    return table(["drawn by", "an iteration", "over local", "reward of the last 10", "held out"], rows)


def growth_table() -> str:
    """Ours next to TRL by size."""
    rows = []
    for name, sides in figures("growth").items():
        samples, length, size = name.split(" x ")
        if (samples, length) == ("64", "64"):
            ours, theirs = (median(sides[s]["seconds"]) for s in ("sharpen", "TRL"))
            memory = (f"{sides[s]['memory']:.0f}" for s in ("sharpen", "TRL"))
            rows.append([size, f"{ours:.2f} s", f"{theirs:.2f} s", *memory])
    return table(["parameters", "sharpen", "TRL", "MiB, sharpen", "MiB, TRL"], rows)


def page() -> str:
    """scaling.md: its text with the tables."""
    text = (HERE / "scaling.in").read_text(encoding="utf-8")
    tables = {
        "MEMORY": memory_table(),
        "ACTIVATIONS": activation_table(),
        "FIT": fit_table(),
        "TIME": time_table(),
        "AHEAD": ahead_table(),
        "GROWTH": growth_table(),
    }
    for name, made in tables.items():
        text = text.replace(f"[[{name}]]", made)
    return text


if __name__ == "__main__":
    print(page())
