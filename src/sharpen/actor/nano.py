"""A nano language model made on the spot: Qwen3 architecture, character tokenizer, trained from scratch by a careless
teacher.

It stands in for a pretrained model where none can be had: small enough to be trained on a laptop in about a minute,
able but unreliable, with entropy left, so that reinforcement has something to work on.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError

from sharpen.errors import SharpenError
from sharpen.task.base import Task
from sharpen.types import Problem

CHARACTERS = "\n" + "".join(map(chr, range(32, 127)))
SPECIAL = ("<pad>", "<bos>", "<eos>", "<unk>")
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{{ m['content'] }}"
    "{% if m['role'] == 'assistant' %}{{ eos_token }}{% else %}{{ '\\n' }}{% endif %}{% endfor %}"
)


@dataclass(frozen=True)
class Nano:
    """Size and upbringing of a nano model. The number of steps is fixed, not the time, so that the same seed gives the
    same model.

    A short rotary period and a wide initialisation let so small a model find its attention patterns in half the steps.
    """

    width: int = 64
    layers: int = 3
    heads: int = 4
    context: int = 512
    rope_theta: float = 100.0
    spread: float = 0.08
    steps: int = 420
    batch: int = 160
    lr: float = 3e-3
    warmup: int = 50
    seed: int = 0
    format: int = 1


def character_tokenizer(characters: Sequence[str] = CHARACTERS, template: str = TEMPLATE) -> Any:
    """Every character is a token: printable ASCII and the newline, and a conversation is its messages, one a line."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {c: i for i, c in enumerate([*SPECIAL, *characters])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        unk_token="<unk>",
        chat_template=template,
        clean_up_tokenization_spaces=False,
    )


def nano_model(nano: Nano) -> Any:
    """An untrained model; its weights depend on `nano.seed` alone."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    config = Qwen3Config(
        vocab_size=len(SPECIAL) + len(CHARACTERS),
        hidden_size=nano.width,
        intermediate_size=4 * nano.width,
        num_hidden_layers=nano.layers,
        num_attention_heads=nano.heads,
        num_key_value_heads=nano.heads,
        head_dim=nano.width // nano.heads,
        max_position_embeddings=nano.context,
        rope_parameters={"rope_type": "default", "rope_theta": nano.rope_theta},
        initializer_range=nano.spread,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(nano.seed)
        return Qwen3ForCausalLM(config)


def cache_folder() -> Path:
    """Where models made on the spot are kept: $SHARPEN_CACHE, else the user's cache folder."""
    root = os.environ.get("SHARPEN_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "sharpen"
    )
    return Path(root)


def nano_base(task: Task, nano: Nano | None = None, watch: Callable[[int, float], None] | None = None) -> Path:
    """The folder of the base model for a task, trained now if it is not in the cache.

    `watch(step, loss)` sees it learn.
    """
    nano = nano or Nano()
    key = json.dumps([asdict(nano), task.identity()], sort_keys=True)
    folder = cache_folder() / f"nano-{task.label}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
    if (folder / "config.json").exists():
        return folder
    legible(task, nano.context)
    from transformers.utils import logging

    logging.disable_progress_bar()  # a run shows its own progress
    tokenizer = character_tokenizer()
    model = upbringing(task, nano, tokenizer, watch)

    def write(made: Path) -> None:
        model.save_pretrained(made, safe_serialization=True)
        tokenizer.save_pretrained(made)

    keep(folder, write)
    return folder


def keep(folder: Path, write: Callable[[Path], None], mark: str = "config.json") -> None:
    """Put what `write` leaves in an empty folder at `folder`, whole or not at all; the first of two processes wins.

    `mark` is a file by which a folder that is whole is known. What killed processes left there a day ago is removed.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        for left in folder.parent.glob(".making-*"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - left.stat().st_mtime > 86_400:  # of a process that was killed: writing takes seconds
                    shutil.rmtree(left, ignore_errors=True)
        made = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".making-"))
        try:
            write(made)
            if not folder.exists():
                os.rename(made, folder)
        finally:
            shutil.rmtree(made, ignore_errors=True)
    except (OSError, SafetensorError) as error:
        if (folder / mark).exists():  # another process was faster
            return
        why = getattr(error, "strerror", None) or error
        raise SharpenError(
            f"The base model could not be kept in {folder.parent}: {why}. Set SHARPEN_CACHE to a folder where you may "
            "write and where there is room."
        ) from error


def upbringing(task: Task, nano: Nano, tokenizer: Any, watch: Callable[[int, float], None] | None = None) -> Any:
    """Train a fresh model by maximum likelihood on what a careless teacher writes about the task."""
    code = {c: i for i, c in enumerate([*SPECIAL, *CHARACTERS])}
    rng = random.Random(nano.seed)
    model = nano_model(nano)
    model.train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=nano.lr, betas=(0.9, 0.95), weight_decay=0.01)
    for step in range(nano.steps):
        rows = sorted(
            (_encoded(*task.lesson(rng), code, nano.context) for _ in range(nano.batch)), key=lambda r: len(r[0])
        )
        learnt = sum(label >= 0 for _, labels in rows for label in labels)
        # the rate rises, stays, and falls to a twentieth over the last two fifths: what is learnt late is learnt finely
        rise, left = min(1.0, (step + 1) / nano.warmup), (nano.steps - step) / (0.4 * nano.steps)
        for g in optimiser.param_groups:
            g["lr"] = nano.lr * rise * min(1.0, 0.05 + 0.95 * left)
        optimiser.zero_grad(set_to_none=True)
        total = 0.0
        for start in range(0, len(rows), 40):  # rows of like length share a pass, which saves padding
            ids, labels = _laid_out(rows[start : start + 40])
            hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
            target = labels[:, 1:]
            loss = F.cross_entropy(model.lm_head(hidden[target >= 0]), target[target >= 0], reduction="sum") / learnt
            loss.backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        if watch:
            watch(step + 1, total)
    return model.eval()


def legible(task: Task, context: int, n: int = 100) -> None:
    """Refuse a task that a nano model cannot read, before it is trained: `n` problems of each split are looked at."""
    for split in task.splits:
        for problem in task.fixed(split, n):
            turns = [problem.prompt] if isinstance(problem.prompt, str) else [m["content"] for m in problem.prompt]
            text = "\n".join([*turns, *(problem.solution or ()), str(problem.answer)])
            odd = next((c for c in text if c not in CHARACTERS), None)
            size = sum(len(t) + 1 for t in turns)
            if odd is not None:
                what = f"has the character {odd!r}, and it knows printable ASCII and line feeds only"
            elif size >= context:
                what = f"has a prompt of {size} characters, and its context holds {context}, answer included"
            else:
                continue
            raise SharpenError(
                f"The nano model cannot read task {task.name!r}: problem {problem.key!r} of its split {split!r} {what}."
                " Change the problems, or give a pretrained model (`--model`)."
            )


def _encoded(problem: Problem, lines: Sequence[str], code: dict[str, int], context: int) -> tuple[list[int], list[int]]:
    """Tokens as the chat template has them, and labels: -100 for what the user says, which is not learnt.

    What the assistant said in earlier turns is learnt as the last turn is. What does not fit the context is cut off.
    """
    unknown = code["<unk>"]
    prompt = problem.prompt
    turns = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
    ids, labels = [1], [-100]
    for m in [*turns, {"role": "assistant", "content": "\n".join(lines)}]:
        tokens = [code.get(c, unknown) for c in m["content"]]
        if m["role"] == "assistant":
            ids += [*tokens, 2]
            labels += [*tokens, 2]
        else:
            ids += [*tokens, code["\n"]]
            labels += [-100] * (len(tokens) + 1)
    return ids[:context], labels[:context]


def _laid_out(rows: list[tuple[list[int], list[int]]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Right-padded ids and labels."""
    width = max(len(ids) for ids, _ in rows)
    ids, labels = torch.zeros(len(rows), width, dtype=torch.long), torch.full((len(rows), width), -100)
    for i, (one, other) in enumerate(rows):
        ids[i, : len(one)], labels[i, : len(other)] = torch.tensor(one), torch.tensor(other)
    return ids, labels
