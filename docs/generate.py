"""Writes cli.md, recipes.md, catalogue.md, claims.md, comparison.md and scaling.md.

They are made from the parsers, the recipes, the results in claims/, comparison/ and benchmarks/, and the arithmetic in
scaling.py.

Run it after changing any of them.

python docs/generate.py
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from sharpen.claims import all_claims
from sharpen.claims.report import page as claims_text
from sharpen.cli.looking import shown
from sharpen.cli.main import COMMANDS, parser
from sharpen.recipes import all_recipes
from sharpen.run.compose import difference
from sharpen.study.page import verdict
from sharpen.study.tables import NOTE as SHARES
from sharpen.study.tables import sections

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from lines import catalogue_page  # noqa: E402
from scaling import page as scaling_page  # noqa: E402
from scaling import table  # noqa: E402

NOTE = "<!-- Written by docs/generate.py; change the source, not this page. -->"


def cli_page() -> str:
    """Every command with its arguments and options."""
    out = [NOTE, "", "# Command line", ""]
    out += [
        "Every command exits with 0, with 1 where a check failed, with 2 after an error you can mend (one paragraph on "
        "standard error), and with 130 after Ctrl-C. `python -m sharpen` is the same program.",
        "",
    ]
    subparsers = next(a for a in parser()._actions if isinstance(a, argparse._SubParsersAction))
    for name, sub in subparsers.choices.items():
        actions = [a for a in sub._actions if not isinstance(a, argparse._HelpAction)]
        positional = [a for a in actions if not a.option_strings]
        words = [f"[{a.metavar}]" if a.nargs == "?" else str(a.metavar) for a in positional]
        out += [f"## sharpen {name}", "", f"{sentence(COMMANDS[name])}", ""]
        out += [f"`{' '.join(['sharpen', name, *words])} [options]`", ""]
        out += ["| argument or option | default | what it is |", "|---|---|---|"]
        out += [row(a) for a in [*positional, *(a for a in actions if a.option_strings)]]
        out += [""]
    return "\n".join(out)


def row(a: argparse.Action) -> str:
    """One line of a table."""
    value = "" if a.nargs == 0 or not a.option_strings else f" {a.metavar or a.dest.upper()}"
    if a.choices:
        value = f" {'|'.join(map(str, a.choices))}"
    name = a.option_strings[0] if a.option_strings else str(a.metavar)
    none = a.default is None or a.default is False or a.default in ("", argparse.SUPPRESS) or a.default == []
    default = "" if none or not a.option_strings else f"`{a.default}`"
    return f"| `{(name + value).replace('|', ' or ')}` | {default} | {(a.help or '').replace('|', ' or ')} |"


def sentence(text: str) -> str:
    """The text with a capital and a full stop."""
    return text[0].upper() + text[1:] + "."


def recipes_page() -> str:
    """Every recipe as `sharpen show` prints it."""
    known = all_recipes()
    out = [NOTE, "", "# Recipes", ""]
    out += ["What `sharpen show NAME` prints, for every built-in recipe.", ""]
    for r in known.values():
        parent = known.get(r.parent)
        lines = shown(r, difference(parent, r) if parent else [], False)
        out += [f"## {r.name}", "", "```text", *lines, "```", ""]
    return "\n".join(out)


def claims_page() -> str:
    """What papers claim and what came out, from the results that are kept in claims/."""
    return f"{NOTE}\n\n{claims_text(list(all_claims().values()), HERE.parent / 'claims')}"


def comparison_page() -> str:
    """comparison.md: its text with the tables of comparison/results.json."""
    told = json.loads((HERE / "comparison" / "results.json").read_bytes())
    tables = [f"### {name[0].upper() + name[1:]}\n\n{table(rows[0], rows[1:])}" for name, rows in sections(told)]
    text = (HERE / "comparison.in").read_text(encoding="utf-8")
    text = text.replace("[[VERDICT]]", verdict(told)).replace("[[TABLES]]", "\n\n".join([*tables, SHARES]))
    return f"{NOTE}\n\n{text}"


PAGES = {
    "cli.md": cli_page,
    "recipes.md": recipes_page,
    "catalogue.md": lambda: catalogue_page(NOTE),
    "claims.md": claims_page,
    "comparison.md": comparison_page,
    "scaling.md": lambda: f"{NOTE}\n\n{scaling_page()}",
}
"""The generated pages."""

if __name__ == "__main__":
    for page, make in PAGES.items():
        (HERE / page).write_text(make(), encoding="utf-8")
