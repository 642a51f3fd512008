"""Rollouts: programs, and stages that draw, branch, edit and annotate traces."""
