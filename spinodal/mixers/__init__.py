"""Mixers, one mechanism a file: trainable layers that move tokens, as `spinodal.mixers.PhaseCompetition`.

    attention     dot products                 phase_memory  a memory for each phase
    retention     fixed decays                 partition     phases in equilibrium, instead of a feed-forward
    gated         decays that depend on tokens gates         gates between few phases, feature by feature
    places        one matrix over positions    cross         reading another sequence
    convolution   kernels and Toeplitz         graph         odd couplings on a graph of tokens

`base` says what a mixer is: tokens in, `Mixed` out.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
