"""Search over steps: one object for training (a rollout's program) and for use (`sharpen eval --with`)."""

from sharpen.search.base import Search
from sharpen.search.beam import Beam
from sharpen.search.mcts import MCTS
from sharpen.search.whole import BestOfN

SEARCHES: dict[str, Search] = {
    "best-of-n": BestOfN(),
    "majority": BestOfN(pick="majority"),
    "weighted-majority": BestOfN(pick="weighted"),
    "beam": Beam(by="logp"),
    "step-beam": Beam(),
    "mcts": MCTS(),
}
"""Searches by name; `--set MCTS.sims=20` varies one."""

__all__ = ["MCTS", "SEARCHES", "Beam", "BestOfN", "Search"]
