"""sharpen: make a model reason better by reinforcement, every method a short recipe over shared parts.

The commands as functions, with the same options by the same names:

    import sharpen

    run = sharpen.train("grpo", set=["Loop.iterations=20"])
    measures = sharpen.measure(run.path)
    longer = replace(sharpen.find_recipe("grpo"), loop=Loop(iterations=200))
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["__version__", "compare", "find_recipe", "measure", "train"]

if TYPE_CHECKING:
    from sharpen.api import compare, find_recipe, measure, train


def __getattr__(name: str) -> Any:
    # torch and transformers take seconds to import, so that waits until something is asked for
    if name in __all__:
        from sharpen import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
