"""Building HTML from functions: every string is escaped unless it is `Html` already."""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import dataclass

from sharpen.visible import visible


@dataclass(frozen=True)
class Html:
    """Markup that was built by this module."""

    text: str


Child = str | Html | Iterable["Html"]
"""What an element may hold: text (escaped), an element, or elements."""

VOID = frozenset({"meta", "br", "hr", "rect", "circle", "line", "polyline", "path"})
"""Elements written without a closing tag of their own."""


def escape(text: str) -> str:
    """Text as HTML, quotes included, with controls and direction overrides made visible."""
    return html.escape(visible(text), quote=True)


def tag(name: str, /, *children: Child, **attributes: str | float | bool | None) -> Html:
    """The element `name`. In attribute names `_` is `-`, dropped at the end (`class_`); None and False leave it out."""
    parts = [name]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        label = key.rstrip("_").replace("_", "-")
        parts.append(label if value is True else f'{label}="{escape(_plain(value))}"')
    opening = " ".join(parts)
    if name in VOID and not children:
        return Html(f"<{opening}/>")
    return Html(f"<{opening}>{join(*children).text}</{name}>")


def join(*children: Child) -> Html:
    """Children one after another, text escaped."""
    out = []
    for child in children:
        if isinstance(child, Html):
            out.append(child.text)
        elif isinstance(child, str):
            out.append(escape(child))
        else:
            out.extend(c.text for c in child)
    return Html("".join(out))


def _plain(value: str | float) -> str:
    """Coordinates need no more than two decimals."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def table(head: Iterable[str], rows: Iterable[Iterable[Child]], label: str, numbers: bool = True) -> Html:
    """A table that scrolls sideways inside its own frame where the screen is too narrow; `label` names it for readers.

    The first column are row headings; `numbers` aligns the others to the right.
    """
    top = tag("thead", tag("tr", [tag("th", h, scope="col") for h in head]))
    body = []
    for row in rows:
        first, *rest = row
        body.append(tag("tr", tag("th", first, scope="row"), [tag("td", cell) for cell in rest]))
    inner = tag("table", top, tag("tbody", body), class_="numbers" if numbers else None)
    return tag("div", inner, class_="scroll", role="region", aria_label=label, tabindex="0")


def fold(summary: Child, *children: Child, open_: bool = False) -> Html:
    """Content behind a heading that opens by click or key."""
    return tag("details", tag("summary", summary), *children, open=open_)
