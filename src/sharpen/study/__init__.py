"""Methods compared: the same model, problems and evaluation, budgets counted in one place, intervals over seeds.

A `Study` is a value: recipes, tasks, seeds and a budget. `compared` makes its runs, which are ordinary run folders, and
says what came out.
"""

from sharpen.study.base import Entry, Study, entries
from sharpen.study.compared import Compared, compared
from sharpen.study.gather import Final, Found
from sharpen.study.runner import run
from sharpen.study.summary import summary

__all__ = ["Compared", "Entry", "Final", "Found", "Study", "compared", "entries", "run", "summary"]
