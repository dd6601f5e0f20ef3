"""Tokens as a physical system; importing this registers the models with transformers' Auto classes."""

from importlib.metadata import version

from spinodal import models

__version__ = version("spinodal")
__all__ = ["__version__", "models"]
