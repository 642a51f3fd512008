"""TRL's trainers as sides of a benchmark: quiet, and clocked step by step."""

from __future__ import annotations

import copy
import logging
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import common
import torch

HERE = common.version("trl") is not None
"""Whether there is a TRL to compare with."""

DEFAULTS: dict[str, Any] = {}
WHOLE = {"bf16": False, "gradient_checkpointing": False}
"""Options: what TRL does by itself (on a CPU, too: bfloat16 by autocast, activations recomputed), and float32 without
recomputing."""

RATE = 1e-5


@dataclass(frozen=True)
class Trained:
    """What a run of a trainer told: seconds of every step but the first, which is not counted, and its log."""

    seconds: tuple[float, ...]
    log: list[dict[str, float]]

    @property
    def step(self) -> float:
        """Mean seconds of a step."""
        return sum(self.seconds) / len(self.seconds)

    def column(self, name: str) -> list[float]:
        """What the log says of each step."""
        return [entry[name] for entry in self.log if name in entry]


def quiet() -> None:
    """TRL and transformers say nothing but errors."""
    from datasets import disable_progress_bars

    disable_progress_bars()
    for name in ("transformers", "trl", "accelerate"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.simplefilter("ignore")


def options(folder: str, rows: int, steps: int, rate: float = RATE, **how: Any) -> dict[str, Any]:
    """What all trainers are told: `steps` steps on `rows` rows with our AdamW at a constant rate; `how` has the say."""
    usual: dict[str, Any] = {
        "output_dir": folder,
        "per_device_train_batch_size": rows,
        "max_steps": steps,
        "learning_rate": rate,
        "lr_scheduler_type": "constant",
        "adam_beta2": 0.95,
        "use_cpu": not torch.cuda.is_available(),
        "report_to": "none",
        "logging_strategy": "no",
        "save_strategy": "no",
        "disable_tqdm": True,
    }
    return usual | how


def train(make: Callable[[str, list[Any]], Any]) -> Trained:
    """Let the trainer that `make(folder, callbacks)` gives train."""
    from transformers import PrinterCallback, TrainerCallback

    class Clock(TrainerCallback):
        def __init__(self) -> None:
            self.ends: list[float] = []

        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            self.ends.append(time.perf_counter())

    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        trainer = make(folder, [clock])
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    ends = clock.ends
    return Trained(tuple(b - a for a, b in pairwise(ends)), trainer.state.log_history)


def grpo(
    model: Any,
    tokens: Any,
    rows: Sequence[dict[str, Any]],
    reward: Callable[..., list[float]],
    *,
    samples: int,
    length: int,
    steps: int,
    prompts: int,
    **how: Any,
) -> Trained:
    """`steps` steps of GRPO without a reference on `prompts` of the rows each, in their order."""
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    def make(folder: str, callbacks: list[Any]) -> Any:
        usual = {
            "num_generations": samples,
            "max_completion_length": length,
            "beta": 0.0,
            "loss_type": "grpo",
            "temperature": 1.0,
            "top_k": 0,
            "shuffle_dataset": False,
        }
        return GRPOTrainer(
            model=model,
            reward_funcs=reward,
            args=GRPOConfig(**options(folder, prompts * samples, steps, **usual | how)),
            train_dataset=Dataset.from_list(list(rows)),
            processing_class=tokens,
            callbacks=callbacks,
        )

    return train(make)


def updates(name: str, model: Any, tokens: Any, rows: Sequence[dict[str, str]], steps: int, **how: Any) -> Trained:
    """`steps` steps of TRL's `name`Trainer, each on all rows; DPO's reference is a copy of the model."""
    import trl
    from datasets import Dataset

    def make(folder: str, callbacks: list[Any]) -> Any:
        return getattr(trl, f"{name}Trainer")(
            model=model,
            args=getattr(trl, f"{name}Config")(**options(folder, len(rows), steps, **how)),
            train_dataset=Dataset.from_list(list(rows)),
            processing_class=tokens,
            callbacks=callbacks,
            **({"ref_model": copy.deepcopy(model)} if name == "DPO" else {}),
        )

    return train(make)
