"""What a run spends, counted in one place so that methods can be compared at equal cost."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass
class Cost:
    """Everything a run spent so far. Methods are compared at equal cost, so it is counted here and nowhere else."""

    generated_tokens: int = 0
    prompt_tokens: int = 0
    scored_tokens: int = 0
    trained_tokens: int = 0
    verifier_calls: int = 0
    judge_calls: int = 0
    problems: int = 0
    traces: int = 0
    updates: int = 0

    def add(self, other: Cost) -> None:
        """Count what something else has spent."""
        for f in fields(self):
            setattr(self, f.name, getattr(self, f.name) + getattr(other, f.name))

    def as_dict(self) -> dict[str, int]:
        """Plain numbers by name."""
        return {f.name: getattr(self, f.name) for f in fields(self)}
