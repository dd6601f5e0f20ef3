"""Compositions that split into phases and react: equations, their solvers, residuals for mixers."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
