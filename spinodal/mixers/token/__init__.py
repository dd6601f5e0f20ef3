"""Mixers that move information between tokens."""
