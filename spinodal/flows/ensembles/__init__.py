"""Many small systems of tokens at once: what phase diagrams are made of.

file      what
systems   starts, their reduction to min(n, d) coordinates, their layout, the pull on one system
tiles     products of small matrices
layers    the layer clock             flow  the ode clock
matrices  random Q, K and V           maps  a probability and its standard error
diagram   phase diagrams, row by row
starts    one simulation from many starts: means with error bars, lifetimes of clusters
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
