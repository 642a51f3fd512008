"""What to advise: options of the recipe that was run and recipes that are there, never others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

USUAL = {"AdamW.scale": 1.0, "AdamW.clip": 1.0, "Term.kl.weight": 0.04, "PPOClip.high": 0.2, "Sample.n": 16}
"""Options a remedy may name and their values, where the recipe is not known."""


@dataclass(frozen=True)
class Known:
    """What the history does not say of a run.

    Group size, token limit and the option that sets it, name of the format reward, known recipes, and the options of
    this recipe with their values (`sharpen.overrides.options`): a remedy names only options that there are.
    """

    samples: int = 0
    max_tokens: int = 0
    limit: str = "--max-tokens "
    format: str = "format"
    recipes: frozenset[str] = frozenset()
    options: Mapping[str, Any] = field(default_factory=lambda: dict(USUAL))

    def offer(self, *wanted: str) -> str:
        """The known recipes among `wanted` (dashes and case aside), as ` (ghpo, guide-grpo)`; else nothing."""

        def flat(name: str) -> str:
            return "".join(c for c in name.lower() if c.isalnum())

        known = {flat(r): r for r in self.recipes}
        found = [known[flat(w)] for w in wanted if flat(w) in known]
        return f" ({', '.join(found)})" if found else ""

    def change(self, what: str, option: str, factor: float, least: float = 0.0) -> list[str]:
        """The advice to do `what` by multiplying an option; nothing for a recipe that lacks it."""
        now = self.options.get(option)
        if not isinstance(now, (int, float)):
            return []
        return [f"{what} (`--set {option}={max(least, factor * now):.3g}`)"]

    @property
    def slower(self) -> list[str]:
        """The advice to learn more slowly."""
        return self.change("lower the learning rate", "AdamW.scale", 0.3)

    @property
    def nearer(self) -> list[str]:
        """The advice to stay nearer to the reference."""
        return self.change("give the KL term more weight", "Term.kl.weight", 2.5, 0.01)

    @property
    def wider(self) -> list[str]:
        """The advice to let rare tokens grow."""
        return self.change("raise the upper clip bound", "PPOClip.high", 1.4)

    @property
    def more(self) -> list[str]:
        """The advice to draw more samples."""
        if "Sample.n" not in self.options:
            return []
        return [f"more samples a problem (`--set Sample.n={max(32, 2 * self.samples)}`)"]


def either(remedies: Sequence[str]) -> str:
    """Remedies as one sentence: `Do a, do b, or do c.`; empty for none."""
    if not remedies:
        return ""
    comma = "," if len(remedies) > 2 else ""
    text = f"{', '.join(remedies[:-1])}{comma} or {remedies[-1]}" if len(remedies) > 1 else remedies[0]
    return f" {text[0].upper()}{text[1:]}."
