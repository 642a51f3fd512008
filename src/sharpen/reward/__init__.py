"""Rewards: what a trace earned."""
