"""Rows of the table of recipes, a module a family."""
