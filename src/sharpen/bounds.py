"""Ranges of hyper-parameters, refused where a part is made."""

from __future__ import annotations

from sharpen.errors import SharpenError


def require(part: object, name: str, ok: bool, wanted: str) -> None:
    """Raise SharpenError unless `ok`: the field `name` of a part is not `wanted`.

    Write conditions so that a NaN fails them: `0 < x < inf`, not `not x <= 0`.
    """
    if not ok:
        kind = type(part).__name__
        raise SharpenError(
            f"{kind}: {name} is {getattr(part, name)!r}, and must be {wanted}. Give another value "
            f"(`--set {kind}.{name}=VALUE`)."
        )
