"""Actors: what draws and scores traces, whatever their atoms are."""
