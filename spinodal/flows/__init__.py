"""Tokens as particles on a sphere: their fields, the engines that evaluate them, and time."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
