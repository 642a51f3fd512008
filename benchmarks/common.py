"""What the benchmarks share: models of a size, work in turns, times with their spread, peak memory, and a table."""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sharpen.actor.nano import character_tokenizer

LETTERS = [chr(i) for i in (*range(32, 127), *range(0x4E00, 0x4E00 + 413))]
"""508 characters: each is a token, so that text drawn at random survives the way to text and back."""


@dataclass(frozen=True)
class Size:
    """A Qwen3 architecture."""

    name: str
    hidden: int
    layers: int
    inner: int
    heads: int
    kv: int
    vocab: int = 512
    context: int = 512

    def model(self, seed: int = 0) -> Any:
        """One with fresh weights."""
        from transformers import Qwen3Config, Qwen3ForCausalLM

        torch.manual_seed(seed)
        return Qwen3ForCausalLM(
            Qwen3Config(
                vocab_size=self.vocab,
                hidden_size=self.hidden,
                intermediate_size=self.inner,
                num_hidden_layers=self.layers,
                num_attention_heads=self.heads,
                num_key_value_heads=self.kv,
                head_dim=self.hidden // self.heads,
                max_position_embeddings=self.context,
                tie_word_embeddings=True,
                bos_token_id=1,
                eos_token_id=2,
                pad_token_id=0,
            )
        )


NANO = Size("1.05 M", 128, 4, 512, 4, 2)
SMALL = Size("8.0 M", 256, 8, 1024, 8, 4)
"""Sizes that a laptop trains."""


def tokenizer() -> Any:
    """A character a token, 512 of them, and the plainest chat template."""
    made = character_tokenizer(LETTERS, "{% for m in messages %}{{ m['content'] }}{% endfor %}")
    made.padding_side = "left"
    return made


def parameters(model: Any) -> int:
    """How many numbers it has."""
    return sum(p.numel() for p in model.parameters())


# ------------------------------------------------------------------ time


@dataclass(frozen=True)
class Times:
    """Seconds of one side, a number for each turn."""

    seconds: tuple[float, ...]

    @property
    def middle(self) -> float:
        """The median."""
        return statistics.median(self.seconds)

    def text(self) -> str:
        """Median, and the range."""
        return f"{shown(self.middle)} ({shown(min(self.seconds))} to {shown(max(self.seconds))})"


def shown(seconds: float) -> str:
    """Three figures."""
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"


def turns(sides: Mapping[str, Callable[[], float | None]], repeats: int) -> dict[str, Times]:
    """Each side once to warm up, then all of them in turn, `repeats` times.

    What happens on the machine meanwhile meets all of them, so their ratio can be trusted more than their times. A side
    that returns a number says itself how many seconds its work took, beside what it had to prepare.
    """
    for work in sides.values():
        work()
    found: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, work in sides.items():
            gc.collect()
            start = time.perf_counter()
            told = work()
            found[name].append(time.perf_counter() - start if told is None else told)
    return {name: Times(tuple(x)) for name, x in found.items()}


def ratio(slow: Times, fast: Times) -> str:
    """How many times as long `slow` takes: the median over turns of the ratio within a turn, and its range."""
    each = [a / b for a, b in zip(slow.seconds, fast.seconds, strict=True)]
    return f"{statistics.median(each):.2f} ({min(each):.2f} to {max(each):.2f})"


def product_rate(dtype: torch.dtype = torch.float32, size: int = 1024, repeats: int = 5) -> float:
    """Floating-point operations a second of one large matrix product: what no training step can beat here."""
    a, b = torch.randn(size, size).to(dtype), torch.randn(size, size).to(dtype)
    a @ b
    best = min(_once(lambda: a @ b) for _ in range(repeats))
    return 2 * size**3 / best


def _once(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def peak_memory() -> float:
    """The most memory that this process has had at once, in MiB."""
    scale = 1024 if sys.platform != "darwin" else 1024**2
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale


def asked(about: str | None, repeats: int) -> int:
    """How often each side takes its turn, as the command line says; its number of threads is set."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=repeats)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    return int(args.repeats)


# ------------------------------------------------------------------ what is told


def machine() -> dict[str, Any]:
    """What the figures depend on besides the code."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": version("transformers"),
    }


def version(package: str) -> str | None:
    """Of an installed package; None where it is not."""
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


RESULTS = Path(__file__).parent / "results"


def keep(name: str, title: str, text: str, figures: Mapping[str, Any]) -> None:
    """Print a section and write it, with its figures and the machine, for `RESULTS.md` to be made of."""
    print(f"\n## {title}\n\n{text}\n")
    RESULTS.mkdir(exist_ok=True)
    what = {"title": title, "text": text, "figures": dict(figures), "machine": machine(), "command": _command()}
    (RESULTS / f"{name}.json").write_text(json.dumps(what, indent=1, ensure_ascii=False) + "\n")


def _command() -> str:
    return " ".join(["python", "benchmarks/" + Path(sys.argv[0]).name, *sys.argv[1:]])
