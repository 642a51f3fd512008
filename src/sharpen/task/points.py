"""Points in the plane: eight spots on a ring, and a point is asked for at the one nearest to a direction."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from sharpen.task.base import RewardSpec
from sharpen.task.latent import Latent
from sharpen.types import Problem

SPOTS = 8
RING = 1.5
"""Radius of the ring the spots lie on; neighbours are 1.15 apart."""
SPREAD = 0.15
"""Standard deviation of the data around a spot, in each coordinate."""
NEAR = 0.45
"""How near a point must be to the spot that was asked for."""


def spot(k: int) -> tuple[float, float]:
    """Where spot k lies: at k eighths of a turn."""
    return RING * math.cos(2 * math.pi * k / SPOTS), RING * math.sin(2 * math.pi * k / SPOTS)


@dataclass(frozen=True)
class Points(Latent):
    """Points in the plane: draw one at the spot, of eight on a ring, that lies nearest to a direction.

    A problem is a direction in whole degrees; its condition is cos and sin of the angle and of its double, fourfold and
    eightfold. `correct` is 1 within 0.45 of the spot's centre, `near` falls in a straight line with the distance.
    """

    name = "points"
    shape = (2,)
    conditions = 8
    rewards = (
        RewardSpec("correct", about="1 for a point within 0.45 of the spot that was asked for"),
        RewardSpec("near", about="1 at the centre of the spot, falling to 0 at a distance of 3"),
    )

    def everything(self) -> list[Problem]:
        """The 360 directions; none lies half way between two spots."""
        found = []
        for degrees in range(360):
            k = round(degrees * SPOTS / 360) % SPOTS
            turns = [math.radians(degrees) * m for m in (1, 2, 4, 8)]
            condition = [f(a) for a in turns for f in (math.cos, math.sin)]
            prompt = f"a point at the spot nearest to {degrees} degrees"
            found.append(self.problem(str(degrees), prompt, str(k), condition, category=k))
        return found

    def target(self, problem: Problem) -> Tensor:
        """The spot's centre."""
        return torch.tensor(spot(problem.info["category"]))

    def judge(self, problem: Problem, x: Tensor) -> dict[str, float]:
        """By the distance to the spot's centre."""
        away = math.dist(x.tolist(), self.target(problem).tolist())  # the centre in float32, as latents are
        return {"correct": float(away < NEAR), "near": 1 - min(1.0, away / (2 * RING))}

    def data(self, problems: list[Problem], gen: torch.Generator) -> Tensor:
        """A Gaussian around each spot."""
        centres = torch.tensor([spot(p.info["category"]) for p in problems])
        return centres + SPREAD * torch.randn(len(problems), 2, generator=gen)

    def answer(self, x: Tensor) -> str | None:
        """The spot a point is near to; None far from all."""
        return next((str(k) for k in range(SPOTS) if math.dist(x.tolist(), spot(k)) < NEAR), None)
