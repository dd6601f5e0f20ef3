"""Tokens on a graph: odd couplings, energies and their flow, equilibria, stability and bifurcations."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
