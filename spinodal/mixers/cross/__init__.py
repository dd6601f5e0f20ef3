"""Mixers that read another sequence."""
