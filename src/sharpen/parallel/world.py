"""The processes that make one run together, as the rest of the library sees them; here: a process alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from torch import Tensor

from sharpen.parallel.deal import spans

if TYPE_CHECKING:
    from sharpen.actor.base import Actor
    from sharpen.task.base import Task
    from sharpen.types import Problem, Scored, Trace

T = TypeVar("T")
A = TypeVar("A", bound="Actor")


class World:
    """A process alone, which shares nothing out: every method is the identity or as near to it as can be.

    `sharpen.parallel.group.Group` is several. What a method gives back is the same in every process unless it says
    otherwise; those that exchange something must be called by all processes in the same order.
    """

    rank: int = 0
    size: int = 1

    @property
    def main(self) -> bool:
        """Whether this process writes the run's folder and speaks to the user."""
        return self.rank == 0

    def share(self, n: int) -> range:
        """Which of `n` items in order are this process's."""
        return spans(n, self.size)[self.rank]

    # ------------------------------------------------------------------ exchange

    def gather(self, mine: T) -> list[T]:
        """What each process has, in order of rank: plain data that JSON knows."""
        return [mine]

    def join(self, mine: Tensor) -> Tensor:
        """The rows of all processes below each other, in order of rank; all but the first dimension are the same."""
        return mine

    def first(self, make: Callable[[], T]) -> T:
        """What `make` gives here, made by the main process before the others begin (what it writes they find)."""
        return make()

    def alike(self, what: Callable[[], Any], where: str) -> None:
        """Raise where what `what` gives (plain data) is not the same in every process."""

    def verify(self, task: Task, pairs: Sequence[tuple[Problem, Trace]]) -> Sequence[Any]:
        """`task.verify_many`, each process its share: a reward that is not reproducible is the same for all then."""
        return task.verify_many(pairs)

    # ------------------------------------------------------------------ models

    def spread(self, actor: A) -> Actor:
        """An actor that computes its share in each process, made of one that every process has alike."""
        return actor

    def backward(self, loss: Tensor, new: Scored) -> None:
        """Add the gradient of the sum of all processes' losses to the parameters; `new` is what the loss is of."""
        if loss.requires_grad:
            loss.backward()  # type: ignore[no-untyped-call]

    def kept(self, tensor: Tensor) -> Tensor:
        """A tensor of the optimiser as a checkpoint has it: whole, in the main process (elsewhere it is empty)."""
        return tensor

    def like(self, tensor: Tensor, parameter: Tensor) -> Tensor:
        """This process's piece of a whole tensor, cut like a parameter of the same shape (others stay whole)."""
        return tensor

    def settle(self, tensor: Tensor) -> None:
        """Write the main process's numbers into everybody's tensor."""

    def number(self, tensor: Tensor) -> float:
        """A scalar that may be spread."""
        return float(tensor)

    # ------------------------------------------------------------------ ends

    @contextmanager
    def together(self) -> Iterator[None]:
        """Within, an error in one process ends the others too, where it becomes `Elsewhere`."""
        yield


ALONE = World()
"""The world of a process that was not started together with others."""
