"""Losses: pure functions of scores and columns, not yet reduced."""
