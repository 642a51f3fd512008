"""The table of recipes: one row each, a module a family, in the order the families are listed."""

from importlib import import_module

from sharpen.recipes import FAMILIES

TABLE = [row for family in FAMILIES for row in import_module(f"rows.{family}").ROWS]
"""What every recipe must do, by one row each."""
