"""Which prompts go through the model together."""

from __future__ import annotations

from collections.abc import Sequence

PADDED = 2**15
"""Most tokens, padding included, that go through the model at once (one prompt may be longer)."""

WASTE = 1024
"""Padding that is cheaper than another forward pass; beyond it padding may be a quarter of all tokens."""


class Queue:
    """Distinct prompts, longest first, each with the requests that share it."""

    def __init__(self, prompts: Sequence[tuple[int, ...]]) -> None:
        shared: dict[tuple[int, ...], list[int]] = {}
        for i, tokens in enumerate(prompts):
            shared.setdefault(tokens, []).append(i)
        # the next is taken from the end; among equals that of the first request
        self.rest = sorted(shared.items(), key=lambda item: (len(item[0]), -item[1][0]))

    def __bool__(self) -> bool:
        return bool(self.rest)

    def next(self, samples: int) -> tuple[list[tuple[int, ...]], list[tuple[int, int]]]:
        """Prompts that fill `samples` rows or one forward pass, and `(index among them, request)` for their requests.

        The last of them may have more requests than there are rows left.
        """
        tokens: list[tuple[int, ...]] = []
        members: list[tuple[int, int]] = []
        useful = 0
        while self.rest and len(members) < samples:
            candidate, requests = self.rest[-1]
            if tokens:
                padded = len(tokens[0]) * (len(tokens) + 1)
                waste = padded - useful - len(candidate)
                if padded > PADDED or waste > max(WASTE, padded // 4):
                    break
            self.rest.pop()
            useful += len(candidate)
            members += [(len(tokens), r) for r in requests]
            tokens.append(candidate)
        return tokens, members
