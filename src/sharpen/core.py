"""Parts, and the check that they fit together.

A part is a frozen dataclass of hyper-parameters whose behaviour is its `__call__`. It declares the columns it `reads`
and `writes` and what it `needs` of a task. `Wiring` walks a recipe in the order it will run and refuses one in which a
part reads what nothing before it wrote, or rewrites what was used already: a mis-wired recipe fails when it is built.

Names of columns: `traces` (there are some), `solved`, `reward:NAME` (one named reward, `reward:*` when only the task
knows the names), `reward` (their total), and per-atom columns by their own name (`logp_old`, `adv`, ...).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar, runtime_checkable

from sharpen.errors import SharpenError

if TYPE_CHECKING:
    from sharpen.ctx import Ctx
    from sharpen.task.base import Task
    from sharpen.types import Group

F = TypeVar("F", bound=Callable[..., Any])


class Part:
    """Base of every part. Subclasses are frozen dataclasses and final; vary one with `dataclasses.replace`.

    `reads`, `writes`, `needs` are class variables, or properties where they depend on the fields. A part that adds
    traces to groups which have some makes every column of theirs incomplete, but for what it writes and what it
    `keeps`. `observes` is what a source looks at when it is shown groups, after everything else. A part that remembers
    something between iterations returns its first memory from `init` and finds it again
    with `ctx.state(self)`. One that `draws` asks an actor for samples.
    """

    reads: ClassVar[tuple[str, ...]] = ()
    writes: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ()
    keeps: ClassVar[tuple[str, ...]] = ()
    observes: ClassVar[tuple[str, ...]] = ()
    draws: ClassVar[bool] = False

    @property
    def asks(self) -> tuple[str, ...]:
        """Names of the actors it uses: the field `actor`, where there is one."""
        actor = getattr(self, "actor", None)
        return (actor,) if isinstance(actor, str) else ()

    def init(self) -> dict[str, Any] | None:
        """Plain data to remember between iterations; None for a part without memory."""
        return None

    def wire(self, wiring: Wiring) -> None:
        """Check this part against what comes before it. Combinators replace this to check what they hold."""
        wiring.visit(self)


@runtime_checkable
class Stage(Protocol):
    """Groups in, groups out: rollouts, searches, rewards, filters, relabelling, annotation, credit, stores."""

    def __call__(self, groups: list[Group], ctx: Ctx) -> list[Group]:
        """Do it."""
        ...


def reads(*names: str) -> Callable[[F], F]:
    """Declare which columns a predicate or selector looks at, so that the part holding it is checked for them."""

    def mark(fn: F) -> F:
        fn.reads = names  # type: ignore[attr-defined]
        return fn

    return mark


def walk(x: Any) -> Iterator[Part]:
    """Every part inside `x`, outermost first, in the order of fields."""
    if isinstance(x, Part):
        yield x
    if dataclasses.is_dataclass(x) and not isinstance(x, type):
        for f in dataclasses.fields(x):
            yield from walk(getattr(x, f.name))
    elif isinstance(x, (tuple, list)):
        for y in x:
            yield from walk(y)


def addresses(x: Any) -> dict[str, Part]:
    """A name for every part inside `x`: its class name, with `.1`, `.2`, ... from the second of a kind on."""
    seen: dict[str, int] = {}
    out: dict[str, Part] = {}
    done: set[int] = set()
    for part in walk(x):
        if id(part) in done:
            continue
        done.add(id(part))
        kind = type(part).__name__
        k = seen.get(kind, 0)
        seen[kind] = k + 1
        out[kind if k == 0 else f"{kind}.{k}"] = part
    return out


def columns_read(part: Part) -> tuple[str, ...]:
    """What a part reads: its own declaration and that of the predicates among its fields."""
    names = list(part.reads)
    if dataclasses.is_dataclass(part):
        for f in dataclasses.fields(part):
            names += getattr(getattr(part, f.name), "reads", ()) if callable(getattr(part, f.name)) else ()
    return tuple(dict.fromkeys(names))


class Wiring:
    """What has been written so far, and what has been used already."""

    def __init__(self, recipe: str, task: Task | None = None) -> None:
        self.recipe = recipe
        self.task = task
        self.have: set[str] = set()
        self.used: dict[str, str] = {}

    def holds(self, name: str) -> bool:
        """Whether a column is there (any named reward counts as long as no task says which there are)."""
        return name in self.have or (name.startswith("reward:") and "reward:*" in self.have and self.task is None)

    def visit(self, part: Part) -> None:
        """Check one part, then count what it writes as written."""
        kind = type(part).__name__
        wanted = columns_read(part)
        for name in wanted:
            if not self.holds(name):
                self.refuse(kind, name)
        for name in part.writes:
            if name in self.used and name not in wanted and name != "traces":
                raise SharpenError(
                    f"Recipe {self.recipe!r}: {kind} writes {name!r} after {self.used[name]} has used it, so what it "
                    "writes "
                    f"would be ignored. Put {kind} before {self.used[name]}."
                )
        self.require(part)
        for name in wanted:
            self.used.setdefault(name, kind)
        if "traces" in part.writes and "traces" in self.have:
            # new traces have been judged and credited by nobody yet
            self.have &= set(part.keeps)
            self.used.clear()
        self.have |= set(part.writes)
        if "reward:*" in part.writes and self.task is not None:
            self.have |= {f"reward:{r.name}" for r in self.task.rewards}

    def require(self, part: Part) -> None:
        """Check what a part needs of the task, once there is one."""
        if self.task is None:
            return
        for need in part.needs:
            if need not in self.task.gives:
                raise SharpenError(
                    f"Recipe {self.recipe!r}: {type(part).__name__} needs {need!r} of the task, and task "
                    f"{self.task.name!r} "
                    f"gives only {', '.join(sorted(self.task.gives)) or 'nothing'}. Choose another task (`sharpen "
                    "tasks` "
                    f"says what each gives) or a recipe without {type(part).__name__}."
                )

    def refuse(self, kind: str, name: str) -> None:
        """Say what is missing and who would supply it."""
        if name.startswith("reward:") and self.task is not None and "reward:*" in self.have:
            known = ", ".join(r.name for r in self.task.rewards)
            raise SharpenError(
                f"Recipe {self.recipe!r}: {kind} weighs the reward {name[7:]!r}, and task {self.task.name!r} computes "
                f"{known}. Weigh one of those, or add a Reward part named {name[7:]!r} before {kind}."
            )
        makers = suppliers(name)
        remedy = f"Put one of {', '.join(makers)} before it." if makers else "No known part writes it."
        raise SharpenError(
            f"Recipe {self.recipe!r}: {kind} reads {name!r}, and no part before it writes that. {remedy}"
        )

    def branch(self, stages: Iterable[Part]) -> None:
        """Check stages that may run on none or only some of the groups.

        What they alone write is not counted on after, and neither is what they leave incomplete.
        """
        before, used = set(self.have), dict(self.used)
        for stage in stages:
            stage.wire(self)
        self.have &= before
        self.used = used | self.used


def suppliers(name: str) -> list[str]:
    """Names of the parts that write a column."""

    def below(cls: type[Part]) -> Iterator[type[Part]]:
        for kind in cls.__subclasses__():
            yield kind
            yield from below(kind)

    out = set()
    for cls in below(Part):
        writes = cls.__dict__.get("writes", ())
        # a property is computed from fields; a part whose fields all have defaults can be asked
        if isinstance(writes, property):
            try:
                writes = cls().writes
            except TypeError:
                continue
        if name in writes or (name.startswith("reward:") and "reward:*" in writes):
            out.add(cls.__name__)
    return sorted(out)
