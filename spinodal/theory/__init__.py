"""Closed forms that a simulation must reproduce; they share no code with it.

Each function is one statement; the first line of its docstring is the equation and the source. All arguments
are numbers, or arrays that broadcast, unless a signature says otherwise; SA and USA are the two flows of
[glpr2023], USA with weights e^{beta <x,y>} / n.

    gamma          equiangular tokens                   normalisation  six layer norms
    layers         the layer clock, long context        metastability  the theorem, the staircase
    pairs          two tokens, two clusters, causal     points         optimal and random points
    growth, splay  linear rates, thresholds, noise      dirac          rates at which a density becomes a Dirac
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
