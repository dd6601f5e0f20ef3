"""Runs: what every command writes."""
