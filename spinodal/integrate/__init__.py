"""Parts of adaptive time integration that its three loops share: coefficients, sums of stages, step control.

file     what
tableau  Dormand--Prince 5(4) and its interpolant, as data
kernels  sums of stages, compiled
control  the next step from the error of this one

There are three loops, because their states and their rules for merging tokens are different:

loop       file                  state                       merging of tokens                       controller
tokens     flows/time            one system, path length     nearer than 1e-8 (chord; captured       0.1 to 10 times,
                                 in the place of time        before, `merging`)                      with the trend
ensembles  flows/ensembles/flow  many small systems,         nearer than 1e-5 (cosine 1 - 5e-11)     0.2 to 10 times
                                 a step each
densities  meanfield/steps       points of panels, or Gauss  by gap and mass: what it moves in W2    0.2 to 10 times
                                 nodes, with weights         is below the tolerance (`panels.Rule`)
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
