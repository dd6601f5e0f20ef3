"""Figures of runs: every function takes runs as read from run.json and returns one matplotlib Figure.

Colours are handed in, so that a model has one colour in all figures of a page. A figure draws what
there is: a model without a curve is left out, and a number that is not finite leaves a gap.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
