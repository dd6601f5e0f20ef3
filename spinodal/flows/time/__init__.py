"""Time: from a field and a start to a trajectory with its merges.

file             what
simulate         the loop from start to end: the span of the tokens, frames, checkpoints
methods          which steps are taken: adaptive, layers, noisy
integrators      adaptive steps, layers and noisy steps behind one interface
dormand_prince   a step of order 5(4) on the sphere, its error and its interpolant
whole_steps      the same steps among few tokens, compiled
angles           the same steps of many tokens on the circle, and how neighbours merge
euclidean        the same steps of tokens anywhere in R^d
frames           the states that are kept
merging          tokens that meet: capture of near pairs, times of merges, the tree of merges
layers           x <- normalise(x + h A(x))
noise            Brownian motion on the sphere
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
